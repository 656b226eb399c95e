# SPDX-License-Identifier: BSD-3-Clause
"""Options of an nvme parent that say how much it does at once, and how fast."""

import json
import subprocess

import pytest

from umdevtest.daemon import new_uuid, program

EACH_US = 2000
COUNT = 60


def detail(daemon, name: str) -> str:
    """What the list of parents says about one."""
    return next(line for line in daemon.ok("parent", "list").splitlines() if line.startswith(name + " "))


def add(daemon, name: str, **options) -> None:
    """Adds an nvme parent."""
    daemon.ok("parent", "add", name, "--driver", "nvme", *(f"--option={key}={value}" for key, value in options.items()))


def start(daemon, parent: str) -> str:
    """Starts a drive on all of a parent."""
    ident = new_uuid()
    daemon.ok("start", "--uuid", ident, "--parent", parent, "--type", "nvme-rest")
    return ident


def perf(daemon, ident: str, *arguments) -> dict:
    """Runs umdev-perf on a drive."""
    done = subprocess.run([program("umdev-perf"), "--uuid", ident, "--root", daemon.root, "--bs", "4k", "--json",
                           *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_at_once_is_shown(daemon):
    add(daemon, "file", path=f"{daemon.directory}/file.img", size="16M")
    assert "at once (measured)" in detail(daemon, "file")
    add(daemon, "memory", ram="16M")
    assert detail(daemon, "memory").endswith("memory, 16 MiB, 64 at once")
    add(daemon, "given", ram="16M", parallelism=8, reserved_slots=7)
    assert detail(daemon, "given").endswith("memory, 16 MiB, 8 at once")


@pytest.mark.parametrize("storage", ["path", "ram"])
def test_every_command_takes_its_time(daemon, storage):
    options = {"ram": "16M"} if storage == "ram" else {"path": f"{daemon.directory}/slow.img", "size": "16M"}
    add(daemon, "slow", parallelism=1, service_us=EACH_US, types="rest", **options)
    assert detail(daemon, "slow").endswith(f"1 at once, {EACH_US} us each")
    ident = start(daemon, "slow")
    alone = perf(daemon, ident, "--rw", "randrw", "--depth", 1, "--count", COUNT)
    assert alone["lat_ns"]["min"] >= EACH_US * 1000
    # One after the other, however many wait.
    queued = perf(daemon, ident, "--rw", "randread", "--depth", 8, "--count", COUNT)
    assert queued["iops"] <= 1.02 * 1e6 / EACH_US
    assert queued["lat_ns"]["max"] >= 8 * EACH_US * 1000
    assert perf(daemon, ident, "--mixed", "--depth", 8, "--count", COUNT)["errors"] == 0
    # Nobody waits for what is in flight.
    daemon.ok("stop", "--uuid", ident)
    daemon.ok("parent", "remove", "slow")
