# SPDX-License-Identifier: BSD-3-Clause
"""Many mdevs and many clients on one parent, and what that costs the daemon and the host."""

import os
import re
import signal
import time
from collections import Counter, namedtuple
from pathlib import Path

from . import Failure, process, wait_for
from .daemon import new_uuid
from .load import Load, sleep_until, start_time
from .vfiouser import Client

PARENT = "p"
TYPE = "nvme-1m"
RELAXED = {"rw": "randrw", "bs": "4k", "depth": 4, "size": "64K", "verify": True, "timeout": 30}
PAGE_NAME = "umdev-state"
CONNECT_LIMIT_S = 120
CONNECT_NS = 20_000_000  # of each client
CALM = 10  # looks

# Of one process: descriptors; resident, and its fair part of it; threads.
Cost = namedtuple("Cost", "fds rss_kib pss_kib threads")


class Census:
    """What the daemon and the host of the parent hold at one moment."""

    def __init__(self, daemon):
        self.pids = {"umdevd": daemon.pid, "umdev-host": daemon.host_pid(PARENT)}
        self.costs = {name: cost(pid) for name, pid in self.pids.items()}
        self.kinds = {name: kinds(pid) for name, pid in self.pids.items()}
        self.pages, self.page_kib = state_pages(daemon.pid)
        run = daemon.root / "run/umdev"
        self.files = sum(len(names) + len(files) for _, names, files in walk(run))

    def fds(self, name: str) -> int:
        """Descriptors of a process."""
        return self.costs[name].fds

    def per(self, earlier: "Census", count: int) -> dict:
        """What each of a number of things that came since costs: (descriptors, RSS, PSS) by process."""
        return {name: tuple((now - then) / count for now, then in zip(self.costs[name][:3], earlier.costs[name][:3]))
                for name in self.costs}

    def counts(self) -> dict:
        """All that must be the same again when the same is there again, and comes in whole numbers."""
        found = {f"{name} {kind}": count for name in self.kinds for kind, count in self.kinds[name].items()}
        return {**found, "state pages": self.pages, "files in run/umdev": self.files}

    def resident(self) -> dict:
        """name -> KiB."""
        return {name: self.costs[name].rss_kib for name in self.costs}


def walk(run: Path):
    """As os.walk(), without the tree that is mounted there."""
    for found in os.walk(run):
        if found[0] == str(run) and "tree" in found[1]:
            found[1].remove("tree")
        yield found


def cost(pid: int) -> Cost:
    """What a process holds."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    found = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", rollup, re.MULTILINE)}
    return Cost(len(os.listdir(f"/proc/{pid}/fd")), found["Rss"], found["Pss"], len(os.listdir(f"/proc/{pid}/task")))


def kinds(pid: int) -> Counter:
    """How many descriptors of each kind."""
    return Counter(re.sub(r":\[\d+\]$", "", what) if not what.startswith("/memfd:") else what.partition(" ")[0]
                   for what in process.descriptors(pid).values())


def state_pages(pid: int) -> tuple:
    """How many state pages the daemon keeps, and the memory behind them in KiB."""
    pages = {}
    for fd, what in process.descriptors(pid).items():
        if what.startswith("/memfd:" + PAGE_NAME):
            found = os.stat(f"/proc/{pid}/fd/{fd}")
            pages[found.st_ino] = found.st_blocks / 2
    return len(pages), sum(pages.values())


def settled(daemon, limit_s: float = 30) -> Census:
    """A census of a daemon that has come to rest: the same so often in a row."""
    last = []

    def calm():
        now = Census(daemon)
        last.append(now.counts())
        return now if last[-CALM:] == last[-1:] * CALM else None

    return wait_for(calm, "descriptors that do not come and go", limit_s, 0.02)


def busy_ns(pid: int) -> int:
    """Processor time of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text(encoding="utf-8").split()[0])
    return total


def idle_ns(daemon, seconds: float) -> dict:
    """Processor time that each process of the daemon uses in so many seconds of peace."""
    pids = {daemon.pid, *process.children(daemon.pid)}
    before = {pid: busy_ns(pid) for pid in pids}
    time.sleep(seconds)
    return {Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip(): busy_ns(pid) - before[pid] for pid in pids}


def add_parent(daemon, mdevs: int) -> None:
    """A parent in memory with room for so many."""
    daemon.rpc("parent.add", name=PARENT, driver="nvme", options={"ram": f"{mdevs}M", "types": "1m"})


def start(daemon, count: int) -> tuple:
    """Starts mdevs one after the other: (uuids, seconds of each)."""
    idents, times = [new_uuid() for _ in range(count)], []
    for ident in idents:
        began = time.monotonic()
        daemon.rpc("mdev.start", uuid=ident, parent=PARENT, type=TYPE)
        times.append(time.monotonic() - began)
    return idents, times


def stop(daemon, idents) -> list:
    """Stops them one after the other: seconds of each."""
    times = []
    for ident in idents:
        began = time.monotonic()
        daemon.rpc("mdev.stop", uuid=ident)
        times.append(time.monotonic() - began)
    return times


def visit(daemon, idents, commands: int = 50) -> None:
    """A client on each of some mdevs at once, for so many commands."""
    made = [Load(daemon, ident, 3600, count=commands, **RELAXED) for ident in idents]
    try:
        for load in made:
            check(load.result())
    finally:
        for load in made:
            load.kill()


def check(report: dict) -> None:
    """A client did something, and saw no error and no wrong data."""
    if report["errors"] or report["mismatches"] or not report["verified_blocks"]:
        raise Failure(f"a client saw errors, or did nothing: {report}")


class Crowd:
    """
    A client on each of some mdevs, all of which read, write and verify at so many commands a second.
    They begin together, when all had the time to connect. A context manager.
    """

    def __init__(self, daemon, idents, rate: int):
        self._daemon, self._idents = daemon, list(idents)
        self.loads = []
        begin_ns = start_time(CONNECT_NS * (1 + len(self._idents)))
        try:
            for seed, ident in enumerate(self._idents):
                self.loads.append(Load(daemon, ident, 3600, rate=rate, arrival="poisson", seed=seed + 1,
                                       start_at=begin_ns, **RELAXED))
            wait_for(self._joined, "all clients connected", CONNECT_LIMIT_S, 0.1)
            sleep_until(begin_ns)
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.kill()

    def _joined(self) -> bool:
        ended = [load for load in self.loads if not load.running]
        if ended:
            ended[0].result()
            raise Failure(f"{len(ended)} clients have ended")
        mdevs = self._daemon.rpc("mdev.list", statistics=False)["mdevs"]
        return {mdev["uuid"] for mdev in mdevs if mdev["in_use"]} >= set(self._idents)

    def stop(self) -> list:
        """Ends all of them: their reports. None may have seen an error or wrong data."""
        for load in self.loads:
            load.signal(signal.SIGTERM)
        reports = [load.result() for load in self.loads]
        for report in reports:
            check(report)
        wait_for(lambda: not any(mdev["in_use"] for mdev in
                                 self._daemon.rpc("mdev.list", statistics=False)["mdevs"]), "all clients to be gone",
                 CONNECT_LIMIT_S, 0.1)
        return reports

    def kill(self) -> None:
        """Ends those that are left."""
        for load in self.loads:
            load.kill()


def answers(daemon, ident: str, limit_s: float = 30) -> None:
    """Connects to an mdev, is answered, and leaves."""
    with Client(daemon.socket_path(ident), limit_s=limit_s) as client:
        client.version()
