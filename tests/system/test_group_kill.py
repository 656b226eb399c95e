# SPDX-License-Identifier: BSD-3-Clause
"""The daemon is killed at every step of a group start: nothing is half-made, definitions are as they were.

A step is a system call: between two of them nothing that it does can be seen from outside.
"""

import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from test_groups import GROUP, active, define, group
from umdevtest import wait_for
from umdevtest.daemon import driver_directory
from umdevtest.killer import Killer, possible

STEPS_MAX = 2000


@pytest.fixture
def crew(make_daemon, reachable_bin):
    """A daemon, with two parents of driver crew, that can be traced."""
    reason = possible()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="umdev-", dir="/tmp") as directory:
        drivers = driver_directory(Path(directory) / "drivers", reachable_bin)
        daemon = make_daemon(os.geteuid(), arguments=["--driver-dir", drivers, "--no-tree"])
        daemon.start()
        for name in ("p0", "p1"):
            daemon.ok("parent", "add", name, "--driver", "crew")
        yield daemon


def free(daemon) -> list:
    """What is left for others, type by type, on both parents."""
    return [(kind["parent"], kind["id"], kind["available_instances"]) for kind in daemon.rpc("type.list")["types"]]


def ask(daemon) -> str:
    """Asks for the start of the group; what came of it."""
    try:
        with contextlib.closing(daemon.connect()) as connection:
            return connection.call("group.start", group=GROUP)["state"]
    except Exception as error:  # pylint: disable=broad-except
        return type(error).__name__


def sockets(daemon) -> list:
    """All that lies below run/umdev/mdevs."""
    return sorted(str(path) for path in (daemon.root / "run/umdev/mdevs").rglob("*"))


def definitions(daemon) -> dict:
    """The files of definitions and of parents, without the maps of pools."""
    return {path: data for path, data in daemon.files().items() if not path.endswith(".map")}


def killed_at(daemon, step: int) -> bool:
    """Starts the group with the daemon killed before its @step-th call. False when it was through before that."""
    killer = Killer(daemon.pid, step)
    asking = threading.Thread(target=ask, args=(daemon,))
    asking.start()
    asking.join()
    time.sleep(0.02)  # what it still does after the answer
    return killer.end() == -1


def count_steps(daemon) -> int:
    """How many calls a start takes, answer and all."""
    killer = Killer(daemon.pid)
    assert ask(daemon) == "active"
    time.sleep(0.02)
    steps = killer.end()
    daemon.ok("group", "stop", GROUP)
    return steps


@pytest.mark.parametrize("transient_beside", [False, True], ids=["alone", "beside-others"])
def test_killed_at_every_step(crew, transient_beside):
    """Whatever it was doing: the next daemon finds what was defined, and the group starts whole."""
    idents = {define(crew, "p0", "crew-deck"), define(crew, "p1", "crew-part"), define(crew, "p0", "crew-part")}
    count_steps(crew)  # the first one makes more than it starts: directories, room in tables
    steps = count_steps(crew)
    assert 20 < steps < STEPS_MAX
    before, room = definitions(crew), free(crew)
    killed = 0
    for step in range(1, steps + 1):
        if transient_beside:
            crew.ok("start", "-p", "p1", "-t", "crew-part")
        if killed_at(crew, step):
            killed += 1
            crew.kill()
            crew.start()
        elif crew.running:
            crew.ok("group", "stop", GROUP)
            if transient_beside:
                crew.ok("stop", "-u", active(crew).pop())
        assert definitions(crew) == before, step
        assert active(crew) == set() and sockets(crew) == [], step
        assert group(crew)["state"] == "defined" and {mdev["uuid"] for mdev in group(crew)["mdevs"]} == idents
        assert free(crew) == room, step
        assert not [path for path in crew.root.rglob("*~")], step
    assert killed > steps * 0.9
    crew.ok("group", "start", GROUP)
    assert active(crew) == idents


def test_killed_start_of_a_group_that_starts_by_itself(crew):
    """After the kill it is there as a whole."""
    idents = {define(crew, "p0", "crew-deck", "--auto"), define(crew, "p1", "crew-part", "--auto")}
    steps = count_steps(crew)
    for step in range(1, steps + 1, 5):
        if not killed_at(crew, step):
            continue
        crew.kill()
        crew.start()
        wait_for(lambda: active(crew) == idents, "all of it to be active")
        crew.ok("group", "stop", GROUP)
