# SPDX-License-Identifier: BSD-3-Clause
"""Hosts that are killed while clients use their devices.

UMDEV_TEST_SEED   of the random moments; printed, so that a run can be repeated
"""

import os
import random
import re
import signal
import time

from . import Failure, wait_for
from .daemon import TOP

LABEL = re.compile(r'FAULT_POINT\("([a-z.]+)"\)')
FAULT = re.compile(r"^fault: ([a-z.]+)$", re.MULTILINE)
BACK_LIMIT_S = 20
# A host that has lived so long has proven itself (broker.h: restart_probation_ns); sooner deaths are followed by pauses.
PROBATION_S = 0.5


def seeded() -> random.Random:
    """Random numbers, and a line that says how to have the same again."""
    seed = int(os.environ.get("UMDEV_TEST_SEED") or random.randrange(1 << 31))
    print(f"UMDEV_TEST_SEED={seed}")
    return random.Random(seed)


def labels() -> list:
    """The labelled steps in the sources."""
    found = set()
    for directory in ("src", "drivers"):
        for path in (TOP / directory).rglob("*.c"):
            found.update(LABEL.findall(path.read_text()))
    if not found:
        raise Failure("there are no labelled steps")
    return sorted(found)


def faults_hit(log: str) -> list:
    """At which steps hosts have died, in their order."""
    return FAULT.findall(log)


def kill_host(daemon, parent: str, sign: int = signal.SIGKILL) -> int:
    """Kills the host of a parent; returns which it was."""
    pid = daemon.host_pid(parent)
    os.kill(pid, sign)
    return pid


def wait_back(daemon, parent: str, before: int) -> int:
    """Waits until another host than that serves the parent; returns its process."""
    wait_for(lambda: daemon.host_pid(parent) != before, f"another host of {parent}", BACK_LIMIT_S)
    return daemon.host_pid(parent)


def kill_often(daemon, parent: str, times: int, rnd, alive, between_s=(PROBATION_S, 1.2)) -> None:
    """Kills the host at random moments, as long as alive() says that what uses it is still there."""
    for number in range(times):
        time.sleep(rnd.uniform(*between_s))
        if not alive():
            raise Failure(f"the client ended before kill {number + 1}")
        wait_back(daemon, parent, kill_host(daemon, parent))
