# SPDX-License-Identifier: BSD-3-Clause
"""Hosts that die under load: their clients notice nothing but a pause.

umdev-perf verifies every block against what it wrote last, sees that each command is completed once,
and fails at the first error.

UMDEV_KILLS         kills at random moments (12)
UMDEV_FAULT_KILLS   kills at labelled steps (60)
UMDEV_FAULTS_BUILD  a build with -Dfaults=true (build-faults beside the build under test)
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from umdevtest import Failure, wait_for
from umdevtest.daemon import Daemon, build_directory
from umdevtest.load import Load
from umdevtest.mortal import PROBATION_S, faults_hit, kill_host, kill_often, labels, seeded, wait_back
from umdevtest.replaced import Replaced

KILLS = int(os.environ.get("UMDEV_KILLS", "12"))
FAULT_KILLS = int(os.environ.get("UMDEV_FAULT_KILLS", "60"))
FAULTS_BUILD = Path(os.environ.get("UMDEV_FAULTS_BUILD") or build_directory().parent / "build-faults")
LOG_SHOWN = 20000  # bytes, of a run that failed
PER_KILL_S = 2.0  # for a host to get to its step
# Steps that are passed while a client connects, and hardly ever after that.
CONNECTING = ["keep.sending", "keep.sent", "rx.peeked", "tx.begun", "tx.sent"]
CONNECTING_MORE = 100  # clients, when some step is still to come
BACKENDS = {"file": ["path={directory}/disk.img", "size=64M"], "memory": ["ram=64M"]}


def drive(daemon, backend: str = "file", *attributes) -> str:
    """A drive on a parent p."""
    words = [text.format(directory=daemon.directory) for text in (*BACKENDS[backend], "types=16m")]
    daemon.ok("parent", "add", "p", "--driver", "nvme", *(word for text in words for word in ("--option", text)))
    return daemon.ok("start", "-p", "p", "-t", "nvme-16m",
                     *(word for text in attributes for word in ("--attr", text))).strip()


def verified(daemon, ident: str, **options) -> Load:
    """Load that verifies what it reads, on four queues."""
    options = {"rw": "randrw", "queues": 4, "depth": 64, "verify": True, "timeout": 60, **options}
    load = Load(daemon, ident, 3600, **options)
    wait_for(lambda: daemon.mdev(ident)["in_use"] or not load.running, "the client", 20)
    return load


def stop_all(found) -> list:
    """Their reports."""
    for load in found:
        load.terminate()
    return [load.result() for load in found]


def check_report(daemon, ident: str, report: dict, kills: int) -> None:
    """Nothing was lost, nobody was disconnected, the client is the same one."""
    assert report["errors"] == report["mismatches"] == 0
    assert report["verified_blocks"] > 0
    events = [event["event"] for event in daemon.events(ident)]
    assert events.count("client.connected") == 1 and "client.refused" not in events
    assert [event["event"] for event in daemon.events()].count("host.started") >= kills


@pytest.mark.parametrize("backend,options,attributes", [
    ("file", {}, ()),
    ("memory", {}, ()),
    ("file", {"mixed": True, "doorbells": "trapped"}, ()),
    ("file", {"doorbells": "shared", "poll": True}, ("nvme/doorbells=shared",)),
    ("memory", {"bs": "128k", "depth": 16, "sgl": True}, ("nvme/interrupts=msi",)),
    ("file", {"depth": 1, "queues": 1}, ("nvme/interrupts=intx",)),
], ids=["shadow", "memory", "trapped-mixed", "shared", "large-msi", "single-intx"])
def test_random_moments(daemon, record_property, backend, options, attributes):
    """Killed by SIGKILL now and then, with every way of ringing and of being told."""
    rnd = seeded()
    kills = max(2, KILLS // 3)
    ident = drive(daemon, backend, *attributes)
    assert daemon.parent("p")["restart"] == "seamless"
    load = verified(daemon, ident, **options)
    kill_often(daemon, "p", kills, rnd, lambda: load.running)
    time.sleep(0.3)
    report = load.stop()
    check_report(daemon, ident, report, kills)
    record_property("figures", f"{kills} kills: longest command {report['lat_ns']['max'] / 1e6:.0f} ms")
    print(f"{kills} kills: longest command {report['lat_ns']['max'] / 1e6:.0f} ms of {report['commands']}")


@pytest.mark.parametrize("sign", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM], ids=lambda sign: sign.name)
def test_other_signals(daemon, sign):
    """It need not be SIGKILL."""
    ident = drive(daemon)
    load = verified(daemon, ident)
    time.sleep(0.3)
    wait_back(daemon, "p", kill_host(daemon, "p", sign))
    time.sleep(0.3)
    check_report(daemon, ident, load.stop(), 1)


def test_many_clients(daemon):
    """All devices of the parent go on, and so does one on another parent, which sees nothing."""
    rnd = seeded()
    idents = [drive(daemon)]
    idents += [daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip() for _ in range(2)]
    daemon.ok("parent", "add", "other", "--driver", "nvme", "--option", "ram=16M", "--option", "types=16m")
    other = daemon.ok("start", "-p", "other", "-t", "nvme-16m").strip()
    bystander = daemon.host_pid("other")
    all_loads = [verified(daemon, ident, queues=1, depth=32) for ident in [*idents, other]]
    kill_often(daemon, "p", 3, rnd, lambda: all(load.running for load in all_loads))
    time.sleep(0.3)
    reports = stop_all(all_loads)
    for ident, report in zip(idents, reports):
        check_report(daemon, ident, report, 3)
    assert reports[-1]["errors"] == reports[-1]["mismatches"] == 0
    assert daemon.host_pid("other") == bystander


def test_group_keeps_its_consumer(daemon):
    """The client of a group is still its one consumer after its host died."""
    group = "8d2f9d6c-3a52-4d0e-93c6-5f2d9a1b7c11"
    daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    idents = [daemon.ok("define", "-p", "p", "-t", "nvme-16m", "--group", group).strip() for _ in range(2)]
    daemon.ok("group", "start", group)
    load = verified(daemon, idents[0])
    time.sleep(0.3)
    wait_back(daemon, "p", kill_host(daemon, "p"))
    stranger = Load(daemon, idents[1], 1)
    with pytest.raises(Failure):
        stranger.result()
    assert "turned away" in wait_for(lambda: daemon.mdev(idents[1]).get("last_refusal"), "the refusal is told")
    load.stop()
    wait_for(lambda: not daemon.mdev(idents[0])["in_use"], "the client's end")
    Load(daemon, idents[1], 0.2).result()


def test_driver_that_resets(tmp_path):
    """A driver that cannot go on says so beforehand; its client stays connected to a device that begins anew."""
    it = Replaced(tmp_path, "reset")
    it.replace()
    with it.daemon as daemon:
        ident = drive(daemon)
        assert daemon.parent("p")["restart"] == "reset"
        load = verified(daemon, ident, timeout=2)
        time.sleep(0.3)
        wait_back(daemon, "p", kill_host(daemon, "p"))
        event = daemon.wait_event("driver", ident)
        assert "cannot go on from a state: the device was reset" in event["message"]
        with pytest.raises(Failure):
            load.result()
        wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client's end")
        Load(daemon, ident, 0.3, rw="randrw", verify=True).result()


def test_given_up(daemon):
    """A host that dies as soon as it serves is tried so often, with pauses, and then said to have failed."""
    ident = drive(daemon)
    seen = set()

    def failed():
        parent = daemon.parent("p")
        pid = (parent.get("host") or {}).get("pid")
        if pid and pid not in seen and parent["state"] == "ready":
            seen.add(pid)
            os.kill(pid, signal.SIGKILL)
        return parent["state"] == "failed"
    wait_for(failed, "the parent to be given up", 30)
    assert len(seen) == 6
    assert "6 hosts in a row" in daemon.parent("p")["error"]
    assert daemon.mdev(ident)["state"] == "failed"
    assert "6 hosts in a row" in daemon.mdev(ident)["error"]
    assert any("6 hosts in a row" in event["message"] for event in daemon.events() if event["event"] == "parent.failed")
    assert "6 hosts in a row" in daemon.ctl("doctor").out


def faulty(rnd, steps, at_once: str = "") -> Daemon:
    """A daemon whose hosts die at one of these steps each; with "!" as soon as they come to it."""
    if not (FAULTS_BUILD / "bin/umdev-host").exists():
        pytest.fail(f"there is no build with -Dfaults=true in {FAULTS_BUILD}: run make build-faults")
    return Daemon(bindir=FAULTS_BUILD / "bin", arguments=["--host-deaths", "1000000"],
                  environment={"UMDEV_FAULTS": " ".join([f"{rnd.randrange(1 << 30)}{at_once}", *steps])})


def count(found) -> dict:
    """How often each."""
    return {label: found.count(label) for label in sorted(set(found))}


def test_every_step(record_property):
    """Hosts die at each labelled step of the path of a command, over and over, under a busy client and a slow one."""
    rnd = seeded()
    steps = [label for label in labels() if label not in CONNECTING]
    with faulty(rnd, steps) as daemon:
        busy = drive(daemon)
        slow = daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip()
        both = [verified(daemon, busy, depth=256, mixed=True), verified(daemon, slow, depth=1, queues=1, rate=200)]
        for _ in range(FAULT_KILLS):
            before = daemon.host_pid("p")
            deadline = time.monotonic() + rnd.uniform(0.5, PER_KILL_S)
            while time.monotonic() < deadline and daemon.parent("p")["state"] == "ready" and \
                    daemon.host_pid("p") == before:
                time.sleep(0.01)
            if daemon.host_pid("p") == before:  # its step is too rare
                with contextlib.suppress(ProcessLookupError):  # it came to it after all
                    os.kill(before, signal.SIGKILL)
            wait_back(daemon, "p", before)
            if not all(load.running for load in both):
                print(daemon.log()[-LOG_SHOWN:])  # it says who was let go, and why
                break
        reports = stop_all(both)
        hit = count(faults_hit(daemon.log()))
        for ident, report in zip((busy, slow), reports):
            check_report(daemon, ident, report, FAULT_KILLS)
    text = f"{FAULT_KILLS} kills, {sum(hit.values())} at {len(hit)} of {len(steps)} steps; longest command " \
           f"{max(report['lat_ns']['max'] for report in reports) / 1e6:.0f} ms; " \
           f"never: {' '.join(sorted(set(steps) - set(hit))) or 'none'}"
    record_property("figures", text)
    print(text, hit)
    assert sum(hit.values()) > FAULT_KILLS // 3
    if FAULT_KILLS >= 1000:
        assert set(hit) == set(steps)


@pytest.mark.parametrize("steps", [["command.begun", "command.acted"], ["io.starting"]], ids=["request", "command"])
def test_chance_is_held_against_nobody(steps):
    """Hosts that die by chance, one after another, within one request or one command: a client over whose requests hosts
    die is let go, a command ends with an error, but the last one of them is spared here, or a long run would meet that
    now and then."""
    with faulty(seeded(), steps, "!") as daemon:
        ident = drive(daemon)
        load = verified(daemon, ident, mixed=True)
        wait_for(lambda: len(faults_hit(daemon.log())) >= 12 or not load.running, "12 deaths", 180)
        check_report(daemon, ident, load.stop(), 12)


def test_while_connecting(record_property):
    """Clients that connect, while hosts die at the steps of that: they get through, but for those whose host died
    between accepting them and the next system call; what they leave is the same as if nothing had happened."""
    rnd = seeded()
    wanted = max(12, FAULT_KILLS // 4)
    with faulty(rnd, CONNECTING, "!") as daemon:
        ident = drive(daemon, "memory")
        served = clients = 0
        hit = {}
        # Which step a host dies at is left to chance, so until each was one's last.
        while clients < wanted or (set(hit) != set(CONNECTING) and clients < wanted + CONNECTING_MORE):
            if clients % 2 == 0:  # another one, with another step
                wait_back(daemon, "p", kill_host(daemon, "p"))
                time.sleep(PROBATION_S)  # else pauses grow from death to death
            try:
                served += verified(daemon, ident, depth=4, queues=1).stop()["errors"] == 0
            except Failure as error:
                assert any(word in str(error) for word in ("hung up", "turned this client away")), error
            wait_for(lambda: not daemon.mdev(ident)["in_use"], "its end", 20)
            clients += 1
            hit = count(faults_hit(daemon.log()))
        assert daemon.mdev(ident)["state"] == "active"
    text = f"{served} of {clients} clients served, {sum(hit.values())} deaths: {hit}"
    record_property("figures", text)
    print(text)
    assert clients - served <= hit["keep.sending"]
    assert set(hit) == set(CONNECTING)
