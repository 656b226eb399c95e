# SPDX-License-Identifier: BSD-3-Clause
"""What all suites of pytest have in common.

UMDEV_TEST_TMP   where daemons have their roots
"""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 << 30


def scratch() -> str:
    """Memory where it can hold them, since file systems are slow to sync and to empty."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return "/tmp"
    found = os.statvfs(MEMORY)
    fits = found.f_bavail * found.f_frsize >= MEMORY_BYTES and not found.f_flag & os.ST_NOEXEC
    return str(MEMORY) if fits else "/tmp"


def pytest_configure(config):
    """Declares the marks, and says where roots are."""
    config.addinivalue_line("markers", "alone: measures time or counts what a machine has, so nothing may run beside it")
    os.environ.setdefault("UMDEV_TEST_TMP", scratch())
