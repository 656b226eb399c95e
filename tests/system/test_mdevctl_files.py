# SPDX-License-Identifier: BSD-3-Clause
"""The real mdevctl and umdevd on one directory of definitions: what either writes, the other reads."""

import json

import pytest

from umdevtest import wait_for
from umdevtest.daemon import new_uuid
from umdevtest.mdevctl import HostMdevctl, NewMdevctl
from umdevtest.tree import CARD, PLAIN, PLAIN_TYPE, STORE, STORE_TYPE, add_parents


@pytest.fixture(params=["host", "new"], name="real")
def fixture_real(request, user, make_scene, make_daemon, new_mdevctl_base):
    """The host's mdevctl and a newer one; /etc/mdevctl.d is the daemon's directory of definitions."""
    if request.param == "host":
        return HostMdevctl(make_scene(user))
    daemon = make_daemon(user)
    daemon.start()
    add_parents(daemon)
    return NewMdevctl(new_mdevctl_base, daemon)


def user_of(real) -> int:
    """The daemon's user as the daemon sees itself: in a namespace of a user's own that is root."""
    return 0 if isinstance(real, HostMdevctl) else real.daemon.uid


def until(real, ident: str, key: str, value) -> dict:
    """Waits until the daemon knows a definition with a value."""
    daemon = real.daemon
    wait_for(lambda: (daemon.mdev(ident, defined=True) or {}).get(key) == value, f"{key} of {ident} to be {value}")
    return daemon.mdev(ident, defined=True)


def same_lists(real) -> list:
    """Both must list the same definitions, as JSON and as text. Returns the JSON."""
    ours, theirs = real.daemon.ok("list", "-d", "--dumpjson"), real.ok("list", "-d", "--dumpjson")
    assert json.loads(ours) == json.loads(theirs)
    # 1.2.0 ends its text with an empty line.
    assert real.daemon.ok("list", "-dv").rstrip("\n") == real.ok("list", "-dv").rstrip("\n")
    return json.loads(ours)


def test_it_reads_what_we_write(real):
    """Types, start and attributes in their order; with our keys, which it does not know, beside them."""
    daemon = real.daemon
    assert same_lists(real) == []
    ident = daemon.ok("define", "-p", STORE, "-t", STORE_TYPE, "--auto", "--owner", "team", "--attr", "mdev/weight=200",
                      "--attr", "nvme/serial=S1", "--attr", "mdev/weight=300").strip()
    plain = daemon.ok("define", "-p", PLAIN, "-t", PLAIN_TYPE).strip()
    found = same_lists(real)[0]
    assert [list(found[parent][0]) for parent in (STORE, PLAIN)] == [[ident], [plain]]
    assert json.loads(real.ok("list", "-d", "-u", ident, "--dumpjson")) == {
        "mdev_type": STORE_TYPE, "start": "auto",
        "attrs": [{"mdev/weight": "200"}, {"nvme/serial": "S1"}, {"mdev/weight": "300"}]}
    daemon.ok("modify", "-u", ident, "--delattr", "-i", "0")
    same_lists(real)
    for each in (ident, plain):
        daemon.ok("undefine", "-u", each)
    assert same_lists(real) == []


def test_we_read_what_it_writes(real):
    """A definition's whole life in its hands; the daemon starts and stops what it defined."""
    daemon = real.daemon
    ident = real.ok("define", "-p", STORE, "-t", STORE_TYPE).strip()
    found = until(real, ident, "type", STORE_TYPE)
    assert (found["start"], found["attrs"], found["uid"]) == ("manual", [], user_of(real))
    real.ok("modify", "-u", ident, "--addattr", "mdev/weight", "--value", "200")
    until(real, ident, "attrs", [{"mdev/weight": "200"}])
    real.ok("modify", "-u", ident, "--addattr", "nvme/serial", "--value", "S1", "-i", "0")
    until(real, ident, "attrs", [{"nvme/serial": "S1"}, {"mdev/weight": "200"}])
    real.ok("modify", "-u", ident, "--auto")
    until(real, ident, "start", "auto")
    same_lists(real)
    daemon.ok("start", "-u", ident)
    assert json.loads(daemon.ok("qos", ident, "--json"))["weight"] == 200
    daemon.ok("stop", "-u", ident)
    real.ok("undefine", "-u", ident)
    wait_for(lambda: daemon.mdev(ident, defined=True) is None, "end of the definition")
    assert [event["event"] for event in daemon.events(ident) if event["level"] != "info"] == []


def test_it_changes_what_we_wrote(real):
    """It keeps its own keys and drops ours, which the daemon remembers and writes with its next change."""
    daemon = real.daemon
    ident = daemon.ok("define", "-p", STORE, "-t", STORE_TYPE, "--owner", "team").strip()
    real.ok("modify", "-u", ident, "--addattr", "mdev/weight", "--value", "200")
    found = until(real, ident, "attrs", [{"mdev/weight": "200"}])
    assert found["owner"] == "team" and found["uid"] == user_of(real)
    assert "owner" not in json.loads(daemon.definition(STORE, ident).read_text())
    daemon.ok("modify", "-u", ident, "--addattr", "mdev/priority", "--value", "3")
    assert json.loads(daemon.definition(STORE, ident).read_text())["owner"] == "team"
    assert same_lists(real)[0][STORE][0][ident]["attrs"] == [{"mdev/weight": "200"}, {"mdev/priority": "3"}]
    daemon.ok("start", "-u", ident)


def test_it_undefines_what_runs(real):
    """The mdev goes on as a transient one, and both say so."""
    daemon = real.daemon
    ident = daemon.ok("define", "-p", CARD, "-t", STORE_TYPE).strip()
    daemon.ok("start", "-u", ident)
    real.ok("undefine", "-u", ident)
    wait_for(lambda: not daemon.mdev(ident)["defined"], "end of the definition")
    assert daemon.ok("list") == f"{ident} {CARD} {STORE_TYPE} manual\n"
    assert real.ok("list").strip() == f"{ident} {CARD} {STORE_TYPE} manual"
    real.ok("stop", "-u", ident)
    assert daemon.mdev(ident) is None


def test_directories_that_it_makes(real):
    """Of parents that the daemon has not, with a definition at once."""
    idents = [real.ok("define", "-p", f"0000:9{n}:00.0", "-t", STORE_TYPE).strip() for n in range(4)]
    for n, ident in enumerate(idents):
        until(real, ident, "parent", f"0000:9{n}:00.0")
    same_lists(real)


def test_from_a_file_and_under_two_parents(real):
    """The JSON that one prints is what the other takes."""
    daemon = real.daemon
    ident = daemon.ok("define", "-p", STORE, "-t", STORE_TYPE, "--attr", "mdev/cap=50").strip()
    path = daemon.directory / "definition.json"
    path.write_text(daemon.ok("list", "-d", "-u", ident, "--dumpjson"), encoding="utf-8")
    real.ok("define", "-u", ident, "-p", CARD, "--jsonfile", path)
    wait_for(lambda: len(daemon.rpc("mdev.list", uuid=ident, defined=True)["mdevs"]) == 2, "the second definition")
    same_lists(real)
    daemon.ok("define", "-u", new_uuid(), "-p", STORE, "--jsonfile=/dev/stdin",
              stdin=real.ok("list", "-d", "-u", ident, "-p", CARD, "--dumpjson"))
    same_lists(real)
    real.ok("undefine", "-u", ident)
    wait_for(lambda: not daemon.rpc("mdev.list", uuid=ident, defined=True)["mdevs"], "end of both")


def test_many_commands_in_a_row(real):
    """Defined and modified at once, 20 times: nothing is missed, nothing is taken for broken."""
    daemon = real.daemon
    wanted = {}
    for n in range(20):
        ident = real.ok("define", "-p", STORE, "-t", STORE_TYPE).strip()
        real.ok("modify", "-u", ident, "--auto")
        real.ok("modify", "-u", ident, "--addattr", "mdev/weight", "--value", 100 + n)
        wanted[ident] = ("auto", [{"mdev/weight": str(100 + n)}])

    def known() -> dict:
        return {mdev["uuid"]: (mdev["start"], mdev["attrs"]) for mdev in daemon.rpc("mdev.list", defined=True)["mdevs"]}

    wait_for(lambda: known() == wanted, "20 definitions")
    same_lists(real)
    assert not [event for event in daemon.events() if event["event"] == "definition.bad"]
