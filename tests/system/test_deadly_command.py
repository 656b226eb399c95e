# SPDX-License-Identifier: BSD-3-Clause
"""A command that kills every host which works on it: it alone fails, after three deaths of which it is the cause.

UMDEV_FAULTS_BUILD  a build with -Dfaults=true (build-faults beside the build under test)
"""

import os
from pathlib import Path

import pytest

from umdevtest import wait_for
from umdevtest.daemon import Daemon, build_directory
from umdevtest.load import Load, wait_worked
from umdevtest.mortal import faults_hit
from umdevtest.nvme import ASYNC_EVENT, INTERNAL, PAGE, READ, WRITE, ready_drive

FAULTS_BUILD = Path(os.environ.get("UMDEV_FAULTS_BUILD") or build_directory().parent / "build-faults")
DEATHS = 3       # drivers/nvme/state.h: NVME_DEATHS_MAX
BLOCK = 10240    # in the first piece of the parent
COMMANDS = 24
LIMIT_S = 40
# How many die before it is known, by where they do: while they work on the command, their page says so; while it is at
# the storage that takes two deaths more.
STEPS = {"io.starting": DEATHS, "io.submitting": 2 + DEATHS}


def mortal(step: str) -> Daemon:
    """A daemon whose hosts die at that step of a command that begins at BLOCK."""
    if not (FAULTS_BUILD / "bin/umdev-host").exists():
        pytest.fail(f"there is no build with -Dfaults=true in {FAULTS_BUILD}: run make build-faults")
    value = f"io.starting {BLOCK * 512}" + (f" {step}" if step != "io.starting" else "")
    return Daemon(bindir=FAULTS_BUILD / "bin", environment={"UMDEV_FAULT_VALUE": value})


def submit_many(nvme, culprit: int, opcode: int) -> list:
    """Commands in flight at once, of which one is deadly: (cid, block, address)."""
    sent = []
    for number in range(COMMANDS):
        block = BLOCK if number == culprit else 8 * number
        page = nvme.pages()
        if opcode == WRITE:
            nvme.memory.write(page, bytes([number + 1]) * PAGE)
        sent.append((nvme.put(1, nvme.sqe(opcode, nsid=1, prp1=page, cdw=[block, 0, 7])), block, page))
    nvme.ring(1)
    return sent


def check(daemon, ident: str, nvme, step: str, opcode: int, culprit: int) -> None:
    """All commands end well but the deadly one."""
    before = len(faults_hit(daemon.log()))
    sent = submit_many(nvme, culprit, opcode)
    ended = {cid: nvme.wait(1, cid, LIMIT_S) for cid, *_ in sent}
    for cid, block, page in sent:
        if block == BLOCK:
            assert ended[cid].status == INTERNAL and ended[cid].dnr
        else:
            assert ended[cid].status == 0
            assert nvme.memory.read(page, PAGE) == bytes([block // 8 + 1]) * PAGE
        nvme.release(page)
    assert faults_hit(daemon.log())[before:] == [step] * STEPS[step]
    told = [event["message"] for event in daemon.events(ident) if event["event"] == "driver"]
    assert f"3 hosts died over a command of queue 1: cid {sent[culprit][0]}, opcode {opcode:02x}h, " \
           f"cdw10 {BLOCK:x}h" in told[-1]


# A command on memory is never at the storage: it ends as it starts.
@pytest.mark.parametrize("step, backend", [("io.starting", "memory"), ("io.starting", "file"),
                                           ("io.submitting", "file")])
def test_one_command(step, backend):
    """Its neighbours in the queue end well, so do those on other devices, and its client keeps its connection."""
    with mortal(step) as daemon:
        options = ["path={}/disk.img".format(daemon.directory), "size=64M"] if backend == "file" else ["ram=64M"]
        daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", "types=16m",
                  *(word for text in options for word in ("--option", text)))
        ident, other = (daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip() for _ in range(2))
        nvme = ready_drive(daemon.socket_path(ident))
        with nvme.client:
            load = Load(daemon, other, 3600, rw="randrw", queues=2, depth=32, verify=True, timeout=60)
            wait_for(lambda: daemon.mdev(other)["in_use"], "the neighbour", 20)
            waiting = nvme.submit(0, nvme.sqe(ASYNC_EVENT))
            check(daemon, ident, nvme, step, WRITE, 5)
            # A transient internal error, of one command (NVM Express 1.4, figure 146); the page to read is the errors'.
            assert nvme.wait(0, waiting).result == 0x010400
            # A guest that tries it again does not get further, and that is all.
            check(daemon, ident, nvme, step, READ, 5)
            assert nvme.read(8, 512) == bytes([2]) * 512
            wait_worked(daemon, other)
            report = load.stop()
        assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
        assert daemon.parent("p")["state"] == "ready"
        for mdev in (ident, other):
            names = [event["event"] for event in daemon.events(mdev)]
            assert names.count("client.connected") == 1 and "client.refused" not in names
