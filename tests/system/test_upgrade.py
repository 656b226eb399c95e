# SPDX-License-Identifier: BSD-3-Clause
"""Another process for a parent while clients use its mdevs: umdevctl upgrade.

UMDEV_UPGRADES   how often under load (4)
"""

import json
import os
import statistics
import time

import pytest

from lib_system import fails
from umdevtest import wait_for
from umdevtest.load import Load, wait_worked
from umdevtest.replaced import Replaced

UPGRADES = int(os.environ.get("UMDEV_UPGRADES", "4"))


def drive(daemon, name: str = "p") -> str:
    """A drive on a parent of that name."""
    words = ["--option", f"path={daemon.directory}/{name}.img", "--option", "size=64M", "--option", "types=16m"]
    daemon.ok("parent", "add", name, "--driver", "nvme", *words)
    return daemon.ok("start", "-p", name, "-t", "nvme-16m").strip()


def verified(daemon, ident: str, **options) -> Load:
    """Load that verifies what it reads."""
    load = Load(daemon, ident, 3600, **{"rw": "randrw", "queues": 4, "depth": 64, "verify": True, "timeout": 20,
                                        **options})
    wait_for(lambda: daemon.mdev(ident)["in_use"] or not load.running, "the client", 20)
    wait_worked(daemon, ident)
    return load


def healthy(daemon, ident: str, load: Load) -> dict:
    """Ends the load: nothing was wrong, and the client was there all the time."""
    time.sleep(0.2)
    report = load.stop()
    assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
    assert [event["event"] for event in daemon.events(ident)].count("client.connected") == 1
    return report


def wrapped(daemon) -> bool:
    """Whether the host of p runs the driver that stands in the place of nvme."""
    return "real.so" in open(f"/proc/{daemon.host_pid('p')}/maps", encoding="ascii").read()


def test_under_load(daemon, record_property):
    """Over and over: no error, no byte wrong; each says how long every mdev stood still."""
    ident = drive(daemon)
    idle = daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip()
    load = verified(daemon, ident, depth=256, mixed=True)
    pauses = []
    for _ in range(UPGRADES):
        before = daemon.host_pid("p")
        (result,) = json.loads(daemon.ok("upgrade", "p", "--json"))
        assert result["from_pid"] == before and result["pid"] == daemon.host_pid("p") != before
        assert {(mdev["uuid"], mdev["in_use"]) for mdev in result["mdevs"]} == {(ident, True), (idle, False)}
        pauses += [mdev["pause_ns"] / 1e6 for mdev in result["mdevs"] if mdev["in_use"]]
        assert not os.path.exists(f"/proc/{before}")
    report = healthy(daemon, ident, load)
    text = f"{UPGRADES} upgrades: pause p50 {statistics.median(pauses):.1f} ms, max {max(pauses):.1f} ms; " \
           f"longest command {report['lat_ns']['max'] / 1e6:.0f} ms"
    record_property("figures", text)
    print(text)
    Load(daemon, idle, 0.2).result()


def test_all_parents(daemon):
    """Without a name all parents, one after the other; what a person reads."""
    idents = [drive(daemon, name) for name in ("a", "b")]
    before = [daemon.host_pid(name) for name in ("a", "b")]
    lines = daemon.ok("upgrade").splitlines()
    assert len(lines) == 4
    for name, ident, pid, pair in zip(("a", "b"), idents, before, (lines[:2], lines[2:])):
        assert pair[0].startswith(f"{ident} paused for ") and pair[0].endswith(" ms")
        assert pair[1].startswith(f"{name}: process {daemon.host_pid(name)} serves what process {pid} did, 1 mdevs")
    fails(daemon, "upgrade", "c", says=("there is no parent 'c'", "a, b"))


def test_another_driver(tmp_path):
    """The driver that lies on disk now is the one that serves."""
    it = Replaced(tmp_path, "none")
    with it.daemon as daemon:
        ident = drive(daemon)
        load = verified(daemon, ident)
        it.replace()
        assert not wrapped(daemon)
        daemon.ok("upgrade", "p")
        assert wrapped(daemon)
        healthy(daemon, ident, load)


@pytest.mark.parametrize("fault,says", [
    ("version", ("lays out the state of mdevs as version", "cannot convert it")),
    ("types", ("no longer offers the types",)),
])
def test_refused_beforehand(tmp_path, fault, says):
    """What cannot take the place of what runs is refused before anything is touched."""
    it = Replaced(tmp_path, fault)
    with it.daemon as daemon:
        ident = drive(daemon)
        load = verified(daemon, ident)
        it.replace()
        before = daemon.host_pid("p")
        since = daemon.next_event()
        fails(daemon, "upgrade", "p", says=("parent p is not upgraded", *says), unchanged=False)
        assert daemon.host_pid("p") == before
        assert {event["event"] for event in daemon.events(since=since)} == {"parent.upgraded"}
        healthy(daemon, ident, load)


@pytest.mark.parametrize("fault,says", [
    ("crash", "killed by signal 11"),
    ("refuse", "this state is nothing for me"),
    ("later", "killed by signal 11"),
])
def test_falls_back(tmp_path, fault, says):
    """A new host that fails in its first seconds is replaced by the old process, which was still there."""
    it = Replaced(tmp_path, fault)
    with it.daemon as daemon:
        ident = drive(daemon)
        load = verified(daemon, ident)
        it.replace()
        before = daemon.host_pid("p")
        fails(daemon, "upgrade", "p", says=("parent p is not upgraded", says), unchanged=False)
        assert daemon.host_pid("p") == before and not wrapped(daemon)
        assert daemon.mdev(ident)["in_use"]
        daemon.ok("qos", ident, "--weight", "300")
        healthy(daemon, ident, load)


def test_busy_meanwhile(tmp_path):
    """A second upgrade, and the removal of the parent, are refused while one is under way; verbs on mdevs work."""
    it = Replaced(tmp_path, "none")
    with it.daemon as daemon:
        ident = drive(daemon)
        rpc = daemon.connect()
        rpc.send(b'{"jsonrpc":"2.0","id":1,"method":"parent.upgrade","params":{"name":"p"}}\n')
        before = daemon.host_pid("p")
        wait_for(lambda: daemon.parent("p")["state"] == "ready" and daemon.host_pid("p") != before, "the next host")
        fails(daemon, "upgrade", "p", says="being upgraded already", unchanged=False)
        fails(daemon, "parent", "remove", "p", "--force", says="being upgraded", unchanged=False)
        other = daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip()
        daemon.ok("stop", "-u", ident)
        assert rpc.read()["result"]["mdevs"][0]["uuid"] == ident
        rpc.close()
        daemon.ok("stop", "-u", other)
        daemon.ok("parent", "remove", "p")
