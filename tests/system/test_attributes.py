# SPDX-License-Identifier: BSD-3-Clause
"""Attributes, not params: typed, documented, each with when it may change; several at once are all or none.

The driver `crew` (tests/drivers/crew.c) has one for each time: fail (create), seat (idle), mood (live).
What XML's <params> may hold is in test_libvirt_xml.py, the tree's side in test_tree_writes.py.
"""

import json

import pytest

from lib_system import fails, refused
from umdevtest import wait_for
from umdevtest.daemon import driver_directory
from umdevtest.vfiouser import Client


@pytest.fixture
def crew(make_daemon, user, reachable_bin, tmp_path_factory):
    """A daemon with a parent of driver crew."""
    place = tmp_path_factory.mktemp("crew")
    for path in (place, *place.parents[:3]):
        path.chmod(0o755)
    daemon = make_daemon(user, arguments=["--driver-dir", driver_directory(place / "drivers", reachable_bin)])
    daemon.start()
    daemon.ok("parent", "add", "p0", "--driver", "crew")
    return daemon


def start(daemon, *more) -> str:
    """An mdev that is defined and active."""
    ident = daemon.ok("define", "-p", "p0", "-t", "crew-part", *more).strip()
    daemon.ok("start", "-u", ident)
    return ident


def values(daemon, ident) -> dict:
    """What it runs as, where that was said."""
    return {name: value for pair in daemon.mdev(ident)["attrs"] for name, value in pair.items()}


def test_documented(crew):
    """Each is listed with a description, its default and when it may change; the standard ones too."""
    rows = {row["name"]: row for row in crew.parent("p0")["attributes"]}
    assert {name: rows[name]["when"] for name in rows} == {
        "mdev/group": "never", "mdev/socket_user": "create", "mdev/socket_group": "create",
        "mdev/socket_mode": "create", "mdev/cap": "live", "mdev/weight": "live", "mdev/priority": "live",
        "mdev/min_share": "create", "crew/fail": "create", "crew/seat": "idle", "crew/mood": "live"}
    assert all(row["description"] for row in rows.values())
    assert (rows["crew/seat"]["default"], rows["crew/mood"]["default"]) == ("1", "calm")


@pytest.mark.parametrize("name, value, says", [
    ("seat", "0", ["seat", "1..8"]), ("seat", "9", ["seat", "1..8"]), ("seat", "x", ["seat"]), ("mood", "", ["mood"]),
    ("mood", "angry", ["mood", "calm merry sad"]), ("fail", "2", ["fail"]), ("colour", "red", ["colour", "crew/seat"]),
    ("params", "seat=2", ["params"]), ("nvme/queues", "2", ["nvme/queues"])], ids=str)
def test_typed(crew, name, value, says):
    """A value out of its type, and an attribute that is none, wherever they come from."""
    fails(crew, "define", "-p", "p0", "-t", "crew-part", "--attr", f"{name}={value}", says=says)
    fails(crew, "start", "-p", "p0", "-t", "crew-part", "--attr", f"{name}={value}", says=says)
    ident = start(crew)
    fails(crew, "modify", "-u", ident, "--addattr", name, "--value", value, says=says)
    fails(crew, "modify", "-u", ident, "--live", "--attr", f"{name}={value}", says=says)
    assert refused(crew, "INVALID", "mdev.set", uuid=ident, name=name, value=value).errno == 22


def test_when(crew):
    """In use: live ones only. Idle: those as well, and what takes effect at creation makes the device anew."""
    ident = start(crew)
    with Client(crew.socket_path(ident)) as client:
        client.like_qemu()
        wait_for(lambda: crew.mdev(ident)["in_use"], "use")
        for name in ("crew/seat", "crew/fail", "mdev/socket_mode", "mdev/min_share"):
            value = {"crew/seat": "2", "crew/fail": "1", "mdev/socket_mode": "0660", "mdev/min_share": "1"}[name]
            error = refused(crew, "DEVICE_BUSY", "mdev.set", uuid=ident, name=name, value=value)
            assert error.errno == 16 and ident in error.message
            fails(crew, "modify", "-u", ident, "--live", "--attr", f"{name}={value}", says=[name, ident])
        crew.rpc("mdev.set", uuid=ident, name="mood", value="merry")
        assert client.read32(0, 4) == 2 << 16 | 1
    wait_for(lambda: not crew.mdev(ident)["in_use"], "idle")
    crew.rpc("mdev.set", uuid=ident, name="crew/seat", value="5")
    crew.rpc("mdev.set", uuid=ident, name="mdev/socket_mode", value="0660")
    assert crew.socket_path(ident).stat().st_mode & 0o777 == 0o660
    assert values(crew, ident) == {"crew/mood": "merry", "crew/seat": "5", "mdev/socket_mode": "0660"}
    assert crew.mdev(ident, defined=True)["attrs"] == []  # the definition is changed by those who ask for that


@pytest.mark.parametrize("bad", [
    ("mood", "angry"), ("mood", "sad"), ("fail", "1"), ("colour", "red"), ("mdev/cap", "0"),
    ("mdev/group", "00000000-0000-4000-8000-0000000000aa")], ids=str)
def test_all_or_none(crew, bad):
    """One bad among several: nothing has changed, in the device, in its definition, on disk; whoever refused it."""
    ident = start(crew, "--attr", "seat=3")
    good = [("mdev/weight", "300"), ("seat", "4"), ("mdev/priority", "2")]
    before = (values(crew, ident), crew.mdev(ident, defined=True)["attrs"], crew.files())
    for place in range(len(good) + 1):
        wanted = good[:place] + [bad] + good[place:]
        words = [word for name, value in wanted for word in ("--attr", f"{name}={value}")]
        fails(crew, "modify", "-u", ident, "--live", "--defined", *words)
        definition = {"mdev_type": "crew-part", "start": "manual", "attrs": [{name: value} for name, value in wanted]}
        result = crew.ctl("modify", "-u", ident, "--live", "--jsonfile", "/dev/stdin", stdin=json.dumps(definition))
        assert result.rc == 1
        assert (values(crew, ident), crew.mdev(ident, defined=True)["attrs"], crew.files()) == before
        shown = crew.rpc("mdev.qos", uuid=ident)
        assert (shown["weight"], shown["priority"], shown["cap"]) == (100, 0, 100)
        with Client(crew.socket_path(ident)) as client:
            client.like_qemu()
            assert client.read32(0, 4) in (0, 1 << 16 | 3)  # set back, or never touched
        wait_for(lambda: not crew.mdev(ident)["in_use"], "idle")
    words = [word for name, value in good for word in ("--attr", f"{name}={value}")]
    crew.ok("modify", "-u", ident, "--live", "--defined", *words)
    assert values(crew, ident) == {"crew/seat": "4", "mdev/weight": "300", "mdev/priority": "2"}
    assert crew.rpc("mdev.qos", uuid=ident)["weight"] == 300
