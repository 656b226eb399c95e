# SPDX-License-Identifier: BSD-3-Clause
"""What all suites of pytest have in common."""


def pytest_configure(config):
    """Declares the marks."""
    config.addinivalue_line("markers", "alone: measures time or counts what a machine has, so nothing may run beside it")
