# SPDX-License-Identifier: BSD-3-Clause
"""Load on mdevs, and what the scheduler says of it: for tests and measurements of QoS.

A Load is one umdev-perf. Several that are to be compared begin at the same time of the monotonic
clock, and what they owned comes from two snapshots, each of which shows all mdevs of a parent at one
moment.
"""

import json
import subprocess
import time
from collections import namedtuple
from contextlib import ExitStack, contextmanager

from . import Failure, wait_for
from .daemon import as_user, program

LEAD_NS = 400_000_000  # for clients to connect and bring the controller up
END_LIMIT_S = 60
LOOK_NS = 100_000_000
NS = 1_000_000_000

Snapshot = namedtuple("Snapshot", "time_ns mdevs")


class Load:
    """umdev-perf on one mdev, from now on. Options are those of umdev-perf; True stands for a switch."""

    def __init__(self, daemon, ident: str, runtime_s: float = 600, *, depth: int = 64, prefix=(), **options):
        self.ident = ident
        options = {"rw": "randread", "bs": "4k", "depth": depth, "runtime": f"{runtime_s:.3f}", "json": True, **options}
        command = [*as_user(daemon.uid), *prefix, program("umdev-perf", daemon.bindir), "--socket",
                   daemon.socket_path(ident)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def result(self, limit_s: float = END_LIMIT_S) -> dict:
        """Waits for its end: the report. No command may have failed."""
        try:
            out, errors = self._process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"umdev-perf on {self.ident} does not end within {limit_s} s") from None
        if self._process.returncode or errors:
            raise Failure(f"umdev-perf on {self.ident} ended with {self._process.returncode}: {errors.strip()}")
        return json.loads(out)

    def signal(self, sign: int) -> None:
        """Sends its process a signal."""
        self._process.send_signal(sign)

    def stop(self) -> dict:
        """Ends it early: the report so far."""
        self.terminate()
        return self.result()

    def terminate(self) -> None:
        """Asks it to end. Several on one file are asked before any is waited for: the flush at the end of one takes
        as long as others write."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it, whatever it does."""
        if self.running:
            self._process.kill()
        self._process.communicate()


@contextmanager
def loads(daemon, *wanted, **common):
    """Runs a Load for each (uuid, options); they end with the block, without a report unless it asked for them."""
    with ExitStack() as stack:
        made = []
        for ident, options in wanted:
            made.append(Load(daemon, ident, **{**common, **options}))
            stack.callback(made[-1].kill)
        yield made


def start_time(lead_ns: int = LEAD_NS) -> int:
    """A time soon enough, at which clients that are started now can begin together."""
    return time.monotonic_ns() + lead_ns


def sleep_until(time_ns: int) -> None:
    """Returns at that time of the monotonic clock; not to wait for something, but to measure as long as said."""
    left = time_ns - time.monotonic_ns()
    if left > 0:
        time.sleep(left / NS)


def usage(daemon, ident: str) -> dict:
    """What mdev.qos says, with the numbers of its host."""
    found = daemon.rpc("mdev.qos", uuid=ident)
    if "owned_ns" not in found:
        raise Failure(f"the host of {ident} did not say what it used: {found}")
    return found


def snapshot(daemon, ident: str) -> Snapshot:
    """All mdevs on the parent of one, at one moment."""
    reply = daemon.rpc("mdev.blame", uuid=ident)
    mdevs = {mdev["uuid"]: mdev for mdev in [reply["mdev"], *reply["peers"]]}
    if any("owned_ns" not in mdev for mdev in mdevs.values()):
        raise Failure(f"the host of {ident} did not say what was used: {reply}")
    return Snapshot(reply["time_ns"], mdevs)


def wait_backlogged(daemon, idents) -> None:
    """Waits until each of them has jobs that wait."""
    for ident in idents:
        wait_for(lambda i=ident: usage(daemon, i)["queued"] > 0, f"jobs of {ident} to wait", 20)


def wait_worked(daemon, ident: str, jobs: int = 1000) -> None:
    """Waits until it has begun so many more jobs: enough for a load that verifies to have read what it wrote."""
    before = usage(daemon, ident)["jobs"]
    wait_for(lambda: usage(daemon, ident)["jobs"] >= before + jobs, f"{jobs} jobs of {ident}", 20)


class Span:
    """What lies between the first and the last of some snapshots."""

    def __init__(self, looks: list):
        self.looks = looks
        self.first, self.last = looks[0], looks[-1]
        self.ns = self.last.time_ns - self.first.time_ns

    def delta(self, ident: str, key: str) -> int:
        """By how much a number of one mdev grew."""
        was = self.first.mdevs.get(ident)
        return self.last.mdevs[ident][key] - (was[key] if was else 0)

    def shares(self, idents, key: str = "owned_ns") -> list:
        """How the growth of a number divides among some mdevs; sums to 1."""
        grown = [self.delta(ident, key) for ident in idents]
        if sum(grown) <= 0:
            raise Failure(f"nothing was done: {grown}")
        return [value / sum(grown) for value in grown]

    def of_wall(self, ident: str) -> float:
        """The part of wall time that one owned the parent, in percent."""
        return 100 * self.delta(ident, "owned_ns") / self.ns

    def empty(self, idents) -> float:
        """In which part of the snapshots one of them had nothing queued: its client was too slow to compete."""
        return sum(any(look.mdevs[ident]["queued"] == 0 for ident in idents) for look in self.looks) / len(self.looks)


def span(daemon, ident: str, seconds: float, begin_ns: int = 0) -> Span:
    """Looks at the parent of one mdev for so long, from a time on."""
    sleep_until(begin_ns)
    looks = [snapshot(daemon, ident)]
    end = looks[0].time_ns + int(seconds * NS)
    while looks[-1].time_ns < end:
        sleep_until(min(end, looks[-1].time_ns + LOOK_NS))
        looks.append(snapshot(daemon, ident))
    return Span(looks)


def share_error(shares, weights) -> float:
    """The largest relative error of shares that are to be as weights: 0.01 is one percent."""
    total = sum(weights)
    return max(abs(share * total / weight - 1) for share, weight in zip(shares, weights))


def change(daemon, ident: str, **knobs) -> dict:
    """Changes knobs with umdevctl: what they are then."""
    words = [word for name, value in knobs.items() for word in (f"--{name}", value)]
    return json.loads(daemon.ok("qos", ident, *words, "--json"))
