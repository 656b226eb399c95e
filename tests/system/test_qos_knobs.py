# SPDX-License-Identifier: BSD-3-Clause
"""Knobs without load: said in definitions, refused by their rules, shown, changed, kept, owned."""

import json
import os
import signal

import pytest

from lib_system import fails, refused
from umdevtest import wait_for
from umdevtest.daemon import NOBODY, new_uuid

DEFAULTS = {"cap": 100, "weight": 100, "priority": 0}
CAUSES = {"cap", "turn", "priority", "engine"}


def knobs(daemon, ident, **params) -> dict:
    """The three knobs as mdev.qos says them."""
    found = daemon.rpc("mdev.qos", uuid=ident, **params)
    return {name: found[name] for name in DEFAULTS}


def attributes(mdev) -> dict:
    """The list of attributes as a dictionary."""
    return {name: value for pair in mdev["attrs"] for name, value in pair.items()}


def define(daemon, *attrs, parent="store", kind="nvme-16m") -> str:
    """A new definition with attributes."""
    words = [word for attr in attrs for word in ("--attr", attr)]
    return daemon.ok("define", "-p", parent, "-t", kind, *words).strip()


# ---- attributes


def test_define_with_knobs(store):
    """A definition that says them starts with them; one that does not has the defaults."""
    ident = define(store, "mdev/cap=12.5", "mdev/weight=200", "mdev/priority=7")
    assert knobs(store, ident) == {"cap": 12.5, "weight": 200, "priority": 7}
    assert not store.rpc("mdev.qos", uuid=ident)["active"]
    store.ok("start", "-u", ident)
    assert knobs(store, ident) == {"cap": 12.5, "weight": 200, "priority": 7}
    plain = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    assert knobs(store, plain) == DEFAULTS


def test_modify_as_mdevctl_does(store):
    """--addattr sets a knob like any other attribute."""
    ident = define(store)
    store.ok("modify", "-u", ident, "--addattr", "mdev/weight", "--value", "200")
    assert knobs(store, ident)["weight"] == 200
    store.ok("start", "-u", ident)
    assert knobs(store, ident)["weight"] == 200


@pytest.mark.parametrize("attr", ["mdev/cap=0.01", "mdev/cap=100", "mdev/cap=99.99", "mdev/weight=1",
                                  "mdev/weight=10000", "mdev/priority=0", "mdev/priority=7"])
def test_limits(store, attr):
    ident = define(store, attr)
    store.ok("start", "-u", ident)
    assert attributes(store.mdev(ident)) == dict([attr.split("=")])


@pytest.mark.parametrize("attr, says", [
    ("mdev/cap=0", "out of range 0.01..100"), ("mdev/cap=100.01", "out of range 0.01..100"),
    ("mdev/cap=0.001", "from 0.01 to 100"), ("mdev/cap=-1", "from 0.01 to 100"), ("mdev/cap=", "from 0.01 to 100"),
    ("mdev/cap=half", "from 0.01 to 100"), ("mdev/cap=50%", "from 0.01 to 100"),
    ("mdev/weight=0", "out of range 1..10000"), ("mdev/weight=10001", "out of range 1..10000"),
    ("mdev/weight=1.5", "from 1 to 10000"), ("mdev/weight=-1", "from 1 to 10000"),
    ("mdev/priority=8", "out of range 0..7"), ("mdev/priority=-1", "from 0 to 7"),
])
def test_out_of_range(store, attr, says):
    """At define, start and modify, with the range; nothing is made or changed."""
    name, _, value = attr.partition("=")
    ident = define(store)
    fails(store, "define", "-p", "store", "-t", "nvme-16m", "--attr", attr, says=[name, says])
    fails(store, "start", "-p", "store", "-t", "nvme-16m", "--attr", attr, says=[name, says])
    fails(store, "modify", "-u", ident, "--addattr", name, "--value", value, says=[ident, name, says])
    error = refused(store, "INVALID", "mdev.define", parent="store", type="nvme-16m", attrs=[{name: value}])
    assert error.key == name and error.errno == 22


def test_knob_that_the_type_does_not_honour(daemon):
    """It is refused rather than ignored; the default is fine."""
    daemon.ok("parent", "add", "p", "--driver", "null")
    honoured = daemon.rpc("type.list", parent="p")["types"][0]["qos"]
    missing = [name for name in DEFAULTS if name not in honoured]
    if not missing:
        pytest.skip("skip: the null driver honours all knobs")
    for name in missing:
        ident = new_uuid()
        for verb in ("define", "start"):
            fails(daemon, verb, "-u", ident, "-p", "p", "-t", "null-basic", "--attr", f"mdev/{name}=5",
                  says=[ident, "null-basic", f"does not honour mdev/{name}", "it honours"])
        ident = define(daemon, f"mdev/{name}={DEFAULTS[name]}", parent="p", kind="null-basic")
        daemon.ok("start", "-u", ident)
        fails(daemon, "qos", ident, f"--{name}", "5", says=[ident, f"does not honour mdev/{name}"])
        fails(daemon, "qos", ident, f"--{name}", "5", "--defined", says=f"does not honour mdev/{name}")
        assert refused(daemon, "INVALID", "mdev.qos", uuid=ident, **{name: 5}).key == f"mdev/{name}"
        daemon.ok("stop", "-u", ident)
        daemon.ok("undefine", "-u", ident)


# ---- mdev.qos and its verb


def test_show(store):
    """The numbers of an idle mdev: all there, all zero."""
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    shown = store.rpc("mdev.qos", uuid=ident)
    assert shown["active"] and shown["parent"] == "store" and 0 < shown["since_ns"] <= shown["time_ns"]
    assert set(shown["wait_by_cause_ns"]) == CAUSES
    assert sum(shown["wait_by_cause_ns"].values()) == shown["wait_ns"] == 0
    assert [shown[name] for name in ("jobs", "queued", "in_flight", "owned_ns", "cap_debt_ns")] == [0] * 5
    assert shown["engines"] and all(engine["parallelism"] > 0 for engine in shown["engines"])
    text = store.ok("qos", ident)
    for word in (ident, "store", "Cap:", "Weight:", "Priority:", "Owned:", "Jobs:", "Waited:"):
        assert word in text
    assert json.loads(store.ok("qos", ident, "--json")).keys() == shown.keys()


def test_show_what_is_not_there(store):
    ident = new_uuid()
    fails(store, "qos", ident, says=ident)
    refused(store, "NOT_DEFINED", "mdev.qos", uuid=ident)
    refused(store, "NOT_ACTIVE", "mdev.blame", uuid=ident)
    fails(store, "qos", "x", says="'x' is not a UUID", rc=2)
    fails(store, "qos", says="UUID", rc=2)


def test_change(store):
    """Live, all or none, without a word; the definition stays."""
    ident = define(store, "mdev/weight=50")
    store.ok("start", "-u", ident)
    assert store.ok("qos", ident, "--cap", "60", "--weight", "200", "--priority", "3") == ""
    assert knobs(store, ident) == {"cap": 60, "weight": 200, "priority": 3}
    assert knobs(store, ident, defined=True) == {"cap": 100, "weight": 50, "priority": 0}
    assert attributes(store.mdev(ident, defined=True)) == {"mdev/weight": "50"}
    shown = json.loads(store.ok("qos", ident, "--cap", "0.07", "--json"))
    assert (shown["uuid"], shown["cap"], shown["weight"]) == (ident, 0.07, 200)
    refused(store, "INVALID", "mdev.qos", uuid=ident, cap=20, weight=10001)
    refused(store, "INVALID", "mdev.qos", uuid=ident, cap=12.345)
    refused(store, "INVALID", "mdev.qos", uuid=ident, cap="20")
    refused(store, "INVALID", "mdev.qos", uuid=ident, weight=1.5)
    assert knobs(store, ident) == {"cap": 0.07, "weight": 200, "priority": 3}


@pytest.mark.parametrize("option, value, says", [
    ("--cap", "0", "from 0.01 to 100"), ("--cap", "100.01", "from 0.01 to 100"), ("--weight", "0", "from 1 to 10000"),
    ("--weight", "10001", "from 1 to 10000"), ("--priority", "8", "from 0 to 7"),
])
def test_change_out_of_range(store, option, value, says):
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    fails(store, "qos", ident, option, value, says=[option, value, says], rc=2)
    name = option.strip("-")
    error = refused(store, "INVALID", "mdev.qos", uuid=ident, **{name: json.loads(value)})
    assert error.key == f"mdev/{name}" and ident in error.message


def test_change_of_what_is_not_active(store):
    """Only its definition can change, and only when that is said."""
    ident = define(store)
    fails(store, "qos", ident, "--cap", "20", says=[ident, "--defined"])
    refused(store, "NOT_ACTIVE", "mdev.qos", uuid=ident, cap=20)
    store.ok("qos", ident, "--cap", "20", "--defined")
    assert knobs(store, ident)["cap"] == 20
    assert attributes(store.mdev(ident, defined=True)) == {"mdev/cap": "20"}
    transient = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    fails(store, "qos", transient, "--cap", "20", "--defined", says=[transient, "not defined"])
    assert knobs(store, transient) == DEFAULTS


def test_change_defined_survives(store):
    """Both are changed; what the definition says holds after a restart of the daemon."""
    ident = define(store, "nvme/queues=4")
    store.ok("start", "-u", ident)
    store.ok("qos", ident, "--cap", "25", "--priority", "2", "--defined")
    store.ok("qos", ident, "--weight", "300")
    assert knobs(store, ident) == {"cap": 25, "weight": 300, "priority": 2}
    store.restart()
    store.ok("start", "-u", ident)
    assert knobs(store, ident) == {"cap": 25, "weight": 100, "priority": 2}
    assert attributes(store.mdev(ident)) == {"nvme/queues": "4", "mdev/cap": "25", "mdev/priority": "2"}


def test_change_survives_its_host(store):
    """A host that takes the place of a dead one runs with what was set last."""
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m", "--attr", "mdev/weight=50").strip()
    store.ok("qos", ident, "--weight", "70", "--cap", "30")
    before = store.rpc("mdev.qos", uuid=ident)["since_ns"]
    old = store.host_pid("store")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: store.host_pid("store") != old, "another host")
    wait_for(lambda: store.rpc("mdev.qos", uuid=ident).get("jobs") == 0, "numbers of the new host")
    assert knobs(store, ident) == {"cap": 30, "weight": 70, "priority": 0}
    wait_for(lambda: store.rpc("mdev.qos", uuid=ident)["since_ns"] > before, "another beginning")


# ---- mdev.blame and its verb


def test_blame_idle(store):
    """Nothing waits: no cause, no blame, and all peers of the parent are there."""
    idents = [store.ok("start", "-p", "store", "-t", "nvme-16m", "--attr", f"mdev/weight={weight}").strip()
              for weight in (100, 200)]
    snapshot = store.rpc("mdev.blame", uuid=idents[0])
    assert snapshot["parent"] == "store" and snapshot["hardware"] is False and snapshot["engines"]
    assert snapshot["mdev"]["uuid"] == idents[0] and snapshot["mdev"]["time_ns"] == snapshot["time_ns"]
    assert [(peer["uuid"], peer["weight"], peer["owned_ns"]) for peer in snapshot["peers"]] == [(idents[1], 200, 0)]
    blame = json.loads(store.ok("blame", idents[0], "--seconds", "0.05", "--json"))
    assert blame["main_cause"] is None and blame["wait_ns"] == 0 and set(blame["wait_by_cause_ns"]) == CAUSES
    assert blame["seconds"] >= 0.05 and blame["owned_share"] == 0
    assert [peer["uuid"] for peer in blame["peers"]] == [idents[1]]
    assert "None of its jobs waited" in store.ok("blame", idents[0], "--seconds", "0")
    fails(store, "blame", idents[0], "--seconds", "-1", says="--seconds", rc=2)


# ---- who may


def test_only_its_owner_changes_it(make_daemon):
    """Everybody who reaches the daemon may look."""
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    daemon = make_daemon(0)
    daemon.start()
    daemon.directory.chmod(0o755)
    daemon.ok("parent", "add", "store", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m,rest")
    daemon.control_socket.chmod(0o666)
    ident = define(daemon, "mdev/cap=50")
    for words in (["--defined"], []):
        if not words:
            daemon.ok("start", "-u", ident)
        result = daemon.ctl("qos", ident, "--cap", "60", *words, uid=NOBODY)
        assert result.rc == 1 and ident in result.err and result.err.count("\n") == 1, result
    assert "Cap:      50 %" in daemon.ok("qos", ident, uid=NOBODY)
    assert ident in daemon.ok("blame", ident, "--seconds", "0", uid=NOBODY)
    assert knobs(daemon, ident)["cap"] == 50
    daemon.ok("qos", ident, "--cap", "60")
    assert knobs(daemon, ident)["cap"] == 60
