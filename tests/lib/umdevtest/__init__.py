# SPDX-License-Identifier: BSD-3-Clause
"""What the wire and system tests share: a daemon to test, a raw vfio-user client, an NVMe driver over it.

Standard library only. Nothing in here trusts the programs under test: every wait has a limit, every
process and descriptor is accounted for.
"""

import time


class Failure(AssertionError):
    """The program under test, or its surroundings, did not do what it should."""


def wait_for(condition, what: str, limit_s: float = 10.0, step_s: float = 0.005):
    """Calls condition() until it returns something true, which is returned."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {limit_s} s")
        time.sleep(step_s)
