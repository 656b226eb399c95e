# SPDX-License-Identifier: BSD-3-Clause
"""Attributes instead of a string of parameters: typed, documented, with the time at which each may change; many at once
change all or none.

The driver swap (tests/drivers) has one or more of every kind. Its device refuses texts that begin with "no", which the
table of attributes allows, and shows a guest what it was set to.
"""

import json
import struct

import pytest

from lib_system import fails, picture, refused
from umdevtest import wait_for
from umdevtest.daemon import new_uuid
from umdevtest.drivers import with_drivers
from umdevtest.hands import Hands
from umdevtest.tree import tree_of
from umdevtest.vfiouser import Client

BAR = 0
START = {"swap/color": "blue", "swap/depth": "16", "swap/shape": "flat", "mdev/weight": "200"}
SHOWN = (16, b"blue")


class Device:
    """An active mdev with a definition."""

    def __init__(self, daemon):
        self.daemon, self.ident = daemon, new_uuid()
        attrs = [word for name, value in START.items() for word in ("--attr", f"{name}={value}")]
        daemon.ok("define", "-u", self.ident, "-p", "card", "-t", "swap-11", *attrs)
        daemon.ok("start", "-u", self.ident)

    def connect(self) -> Client:
        """A guest."""
        client = Client(self.daemon.socket_path(self.ident))
        client.like_qemu()
        return client

    def modify(self, attrs: dict, *more: str):
        """modify --live with all of these."""
        content = {"mdev_type": "swap-11", "start": "manual", "attrs": [{name: value} for name, value in attrs.items()]}
        return self.daemon.ctl("modify", "-u", self.ident, "--live", "--jsonfile", "/dev/stdin", *more,
                               stdin=json.dumps(content))

    def refuses(self, attrs: dict, *says: str) -> None:
        """It must fail and say so, and nothing may have changed anywhere."""
        before = picture(self.daemon)
        for more in ([], ["--defined"]):
            result = self.modify(attrs, *more)
            assert (result.rc, result.out) == (1, "") and result.err.count("\n") == 1, result
            for word in (self.ident, *says):
                assert word in result.err, result.err
        assert picture(self.daemon) == before

    def values(self) -> dict:
        """What it runs with."""
        return {name: value for pair in self.daemon.mdev(self.ident)["attrs"] for name, value in pair.items()}


def device_has(client: Client) -> tuple:
    """What the device itself says: (depth, the beginning of its color)."""
    return struct.unpack("<I4s", client.read(BAR, 8, 8))


def device_sets(client: Client) -> int:
    """How many attributes the device was told to change."""
    return client.read32(BAR, 16)


@pytest.fixture(name="card")
def fixture_card(make_daemon, user):
    """A daemon with a parent of the driver swap."""
    daemon = with_drivers(make_daemon, user, "swap")
    daemon.start()
    daemon.ok("parent", "add", "card", "--driver", "swap")
    return daemon


@pytest.fixture(name="device")
def fixture_device(card):
    """See Device."""
    return Device(card)


# ---- typed and documented


@pytest.mark.parametrize("driver, options", [("swap", {}), ("null", {}), ("nvme", {"ram": "64M"})])
def test_documented(card, driver, options):
    """Every attribute of a parent's mdevs has a description, a time, and a default or none."""
    parent = card.rpc("parent.add", name="shown", driver=driver, options=options)
    names = [row["name"] for row in parent["attributes"]]
    assert len(names) == len(set(names)) and {"mdev/group", "mdev/weight", "mdev/socket_mode"} <= set(names)
    for row in parent["attributes"]:
        assert row["description"].strip() and row["when"] in ("create", "idle", "live", "never"), row
        assert row["name"].split("/")[0] in ("mdev", driver) and row["name"].count("/") == 1
        if not row["name"].startswith("mdev/"):
            assert isinstance(row["default"], str)


def test_when(card):
    """The times that the driver's table says."""
    rows = {row["name"]: row["when"] for row in card.rpc("parent.list")["parents"][0]["attributes"]}
    assert {name: rows[name] for name in rows if name.startswith("swap/")} == {
        "swap/color": "live", "swap/depth": "live", "swap/shape": "live", "swap/speed": "idle", "swap/size": "create"}
    assert (rows["mdev/weight"], rows["mdev/group"], rows["mdev/socket_mode"]) == ("live", "never", "create")


@pytest.mark.parametrize("name, value, says", [
    ("swap/depth", "0", "1..64"), ("swap/depth", "65", "1..64"), ("swap/depth", "-1", "number"),
    ("swap/depth", "many", "number"), ("swap/depth", "", "number"), ("swap/speed", "medium", "slow fast"),
    ("swap/size", "1X", "bytes"), ("swap/size", "2M", "range"), ("swap/color", "x" * 17, "16 bytes"),
    ("swap/color", "a\nb", "one line"), ("swap/nosuch", "1", "swap/color"), ("nosuch", "1", "swap/color"),
    ("nvme/queues", "1", "swap/color"), ("mdev/weight", "0", "1..10000"), ("mdev/cap", "0", "0.01"),
    ("mdev/group", "x", "UUID"), ("mdev/socket_mode", "0999", "octal")])
def test_values(card, device, name, value, says):
    """One that is no value of its kind is refused wherever it is given, with the attribute as key."""
    good = [{"swap/color": "red"}, {"mdev/weight": "5"}]
    before = picture(card)
    for attrs in ([{name: value}], good + [{name: value}], [{name: value}] + good):
        content = {"mdev_type": "swap-11", "start": "manual", "attrs": attrs}
        for method, params in (("mdev.define", {"parent": "card", "type": "swap-11", "attrs": attrs}),
                               ("mdev.start", {"parent": "card", "type": "swap-11", "attrs": attrs}),
                               ("mdev.modify", {"uuid": device.ident, "definition": content}),
                               ("mdev.modify", {"uuid": device.ident, "definition": content, "live": True})):
            error = refused(card, "INVALID", method, **params)
            assert error.key == name and says in error.message, error
    assert refused(card, "INVALID", "mdev.set", uuid=device.ident, name=name, value=value).key == name
    assert picture(card) == before and device.values() == START


# ---- many at once


def test_all_of_them(device):
    """Live, with a guest at it; with --defined the definition follows."""
    with device.connect() as client:
        assert device_has(client) == SHOWN and device_sets(client) == 0
        wanted = {"swap/color": "gray", "swap/depth": "32", "swap/shape": "round", "mdev/weight": "7"}
        assert device.modify(wanted).rc == 0
        assert device_has(client) == (32, b"gray") and device_sets(client) == 3
        assert device.values() == wanted
        assert json.loads(device.daemon.ok("list", "-d", "-u", device.ident, "--dumpjson"))["attrs"] == [
            {name: value} for name, value in START.items()]
        assert device.modify(dict(wanted, **{"swap/depth": "33"}), "--defined").rc == 0
        assert device_has(client)[0] == 33 and device_sets(client) == 4
        assert json.loads(device.daemon.ok("list", "-d", "-u", device.ident, "--dumpjson"))["attrs"] == [
            {name: value} for name, value in dict(wanted, **{"swap/depth": "33"}).items()]


def test_the_device_refuses_the_third(device):
    """What was set before it is set back, on the device too, and the knobs with it."""
    with device.connect() as client:
        device.refuses({"swap/color": "gray", "swap/depth": "32", "swap/shape": "none", "mdev/weight": "7"},
                       "the device takes no none")
        assert device_has(client) == SHOWN
        assert device_sets(client) == 8  # two were set and set back, for either call
        # The first, and the second.
        device.refuses({"swap/color": "none", "swap/depth": "32", "swap/shape": "flat", "mdev/weight": "7"},
                       "the device takes no none")
        assert device_has(client) == SHOWN and device_sets(client) == 8
    assert device.daemon.rpc("mdev.qos", uuid=device.ident)["weight"] == 200 and device.values() == START


@pytest.mark.parametrize("bad, says", [
    ({"swap/depth": "65"}, "1..64"), ({"swap/nosuch": "1"}, "nosuch"), ({"mdev/weight": "0"}, "1..10000"),
    ({"swap/size": "8192"}, "swap/size"), ({"mdev/group": "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0fa"}, "group"),
    ({"mdev/socket_mode": "0666"}, "mdev/socket_mode"), ({"swap/speed": "fast"}, "in use")], ids=str)
def test_one_bad_among_many(device, bad, says):
    """One that is no value, or may not change now, keeps all the others from changing; the device hears nothing."""
    with device.connect() as client:
        good = {"swap/color": "gray", "swap/depth": "32", "swap/shape": "round", "mdev/weight": "7"}
        device.refuses({**good, **bad}, says)
        device.refuses({**bad, **{name: value for name, value in good.items() if name not in bad}}, says)
        assert device_has(client) == SHOWN and device_sets(client) == 0


def test_idle_and_busy(device):
    """What may change while nobody uses it does so then, and EBUSY else, alone and among others."""
    daemon = device.daemon
    with device.connect():
        device.refuses(dict(START, **{"swap/speed": "fast"}), "swap/speed", "in use")
        for name in ("swap/speed", "swap/size", "mdev/socket_mode"):
            value = {"swap/speed": "fast", "swap/size": "8192", "mdev/socket_mode": "0666"}[name]
            assert refused(daemon, "DEVICE_BUSY", "mdev.set", uuid=device.ident, name=name, value=value).errno == 16
        with Hands(daemon.uid) as hands:
            place = str(tree_of(daemon) / "sys/bus/mdev/devices" / device.ident)
            for name, value in (("swap/speed", "fast"), ("swap/size", "8192"), ("mdev/socket_mode", "0666")):
                assert hands.errno("put", f"{place}/{name}", value) == "EBUSY", name
                assert hands.get(f"{place}/{name}") != f"{value}\n"
            assert hands.errno("put", f"{place}/swap/color", "pink") == ""
        assert device.values() == dict(START, **{"swap/color": "pink"})
    wait_for(lambda: not daemon.mdev(device.ident)["in_use"], "the device to be free")
    assert device.modify(dict(START, **{"swap/speed": "fast"})).rc == 0
    assert device.values()["swap/speed"] == "fast"
    # At creation: live not even then, by the tree and set by making it anew.
    device.refuses(dict(START, **{"swap/speed": "fast", "swap/size": "8192"}), "swap/size")
    daemon.rpc("mdev.set", uuid=device.ident, name="swap/size", value="8192")
    assert device.values()["swap/size"] == "8192"


def test_tree(device):
    """A write that the device or the table refuses changes nothing, neither what is read nor the device."""
    daemon = device.daemon
    with device.connect() as client, Hands(daemon.uid) as hands:
        place = str(tree_of(daemon) / "sys/bus/mdev/devices" / device.ident)
        before = picture(daemon)
        for name, value, errno in (("swap/color", "none", "EIO"), ("swap/depth", "65", "EINVAL"),
                                   ("swap/depth", "x", "EINVAL"), ("swap/speed", "medium", "EINVAL")):
            was = hands.get(f"{place}/{name}")
            assert hands.errno("put", f"{place}/{name}", value) == errno, name
            assert hands.get(f"{place}/{name}") == was
        assert picture(daemon) == before and device_has(client) == SHOWN


def test_definition(card):
    """A definition changes whole or not at all, on disk."""
    ident = card.ok("define", "-p", "card", "-t", "swap-11", "--attr", "swap/color=blue").strip()
    content = {"mdev_type": "swap-11", "start": "auto", "attrs": [{"swap/color": "red"}, {"swap/depth": "0"}]}
    fails(card, "modify", "-u", ident, "--jsonfile", "/dev/stdin", stdin=json.dumps(content), says="swap/depth")
    fails(card, "modify", "-u", ident, "--auto", "--addattr", "swap/depth", "--value", "0", says="swap/depth")
    fails(card, "define", "-p", "card", "-t", "swap-11", "--attr", "swap/color=red", "--attr", "swap/depth=0",
          says="swap/depth")


# ---- params


def xml(params: str) -> str:
    """A node device of 2016."""
    return ("<device><parent>card</parent><capability type='mdev'><type id='swap-11'/>"
            f"<params>{params}</params></capability></device>")


def test_params(card):
    """Every key of <params> is an attribute, of either length of its name, or the request fails whole and names it."""
    for verb in ([], ["--define"]):
        result = card.ctl("--json", "create", *verb, "-", stdin=xml("color=red, swap/depth=9; mdev/weight=7"))
        made = json.loads(result.out)
        got = {name.split("/")[-1]: value for pair in made["attrs"] for name, value in pair.items()}
        assert got == {"color": "red", "depth": "9", "weight": "7"}, result
        for params, key in (("color=red, frame_rate_limiter=0", "frame_rate_limiter"),
                            ("frame_rate_limiter=0 color=red", "frame_rate_limiter"),
                            ("color=red depth=0 shape=flat", "swap/depth"), ("color=red,nvme/queues=3", "nvme/queues"),
                            ("color=red depth", "depth"), ("color=red color=blue", "color")):
            fails(card, "create", *verb, "-", stdin=xml(params), says=key)
