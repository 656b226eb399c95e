# SPDX-License-Identifier: BSD-3-Clause
"""Another card in the slot: a parent is removed, and one of its name comes back with other types.

The name of a type is the contract, its id a local handle. In the tables of the driver swap (tests/drivers) id 11
is another type on the other card, the type that was 13 is 21 there, and a third card has nothing of either.
"""

import json

import pytest

from lib_system import fails, refused
from umdevtest.daemon import new_uuid
from umdevtest.drivers import with_drivers
from umdevtest.hands import Hands
from umdevtest.mdevctl import NewMdevctl
from umdevtest.tree import tree_of
from umdevtest.vfiouser import Client

CARD = "card"
ZERO, ONE = "GRID M60-0B", "GRID M60-1B"  # 11 and 13 on the first card; nowhere and 21 on the second


class Slot:
    """A daemon with one slot for cards."""

    def __init__(self, daemon):
        self.daemon = daemon

    def put(self, card: str) -> None:
        """Takes the card that is there out, and puts one in."""
        if self.daemon.rpc("parent.list")["parents"]:
            self.daemon.ok("parent", "remove", CARD)
        self.daemon.ok("parent", "add", CARD, "--driver", "swap", "--option", f"cards={card}")

    def file(self, ident: str) -> dict:
        """A definition as it stands on disk."""
        return json.loads(self.daemon.definition(CARD, ident).read_text())

    def kind(self, ident: str) -> tuple:
        """id and name of its type on disk."""
        return self.file(ident)["mdev_type"], self.file(ident).get("type_name")

    def define(self, kind: str, *more: str) -> str:
        """A definition by the type's id; its UUID."""
        return self.daemon.ok("define", "-p", CARD, "-t", kind, *more).strip()

    def warnings(self, since: int) -> list:
        """What was told of corrections."""
        return [event["message"] for event in self.daemon.events(since=since)
                if event["event"] == "mdev.modified" and event["level"] == "warning"]


@pytest.fixture(name="slot")
def fixture_slot(make_daemon, user):
    """The first card is in."""
    daemon = with_drivers(make_daemon, user, "swap")
    daemon.start()
    slot = Slot(daemon)
    slot.put("m60")
    return slot


def test_id_of_another_type(slot):
    """The id exists with another name: both names and what is near, and nothing is started or defined."""
    daemon = slot.daemon
    ident = slot.define("swap-11")
    before = slot.file(ident)
    assert slot.kind(ident) == ("swap-11", ZERO)
    slot.put("p100")
    text = fails(daemon, "start", "-u", ident, says=["swap-11", f"'{ZERO}'", "'GRID P100-1Q'", "nearest: swap-"])
    assert text.count("\n") == 1 and len(text) < 400
    assert refused(daemon, "TYPE_MISMATCH", "mdev.start", uuid=ident).errno == 22
    both = json.dumps(dict(before, type_name=ZERO))
    fails(daemon, "define", "-p", CARD, "--jsonfile", "/dev/stdin", stdin=both, says=[f"'{ZERO}'", "'GRID P100-1Q'"])
    fails(daemon, "start", "-p", CARD, "--jsonfile", "/dev/stdin", stdin=both, says=[f"'{ZERO}'", "'GRID P100-1Q'"])
    # Where that name is here, too, it is said.
    both = json.dumps(dict(before, type_name=ONE))
    fails(daemon, "define", "-p", CARD, "--jsonfile", "/dev/stdin", stdin=both, says=[f"'{ONE}' here; that is swap-21"])
    # Nor does a change of something else, or a file without the name, make it another type.
    for change in (["--auto"], ["--addattr", "mdev/weight", "--value", "5"]):
        fails(daemon, "modify", "-u", ident, *change, says=[f"'{ZERO}'", "'GRID P100-1Q'"])
    nameless = json.dumps({"mdev_type": "swap-11", "start": "auto", "attrs": []})
    fails(daemon, "modify", "-u", ident, "--jsonfile", "/dev/stdin", stdin=nameless, says=[f"'{ZERO}'"])
    assert slot.file(ident) == before
    # Who wants the other one says so.
    daemon.ok("modify", "-u", ident, "-t", "swap-11", "--manual")
    assert slot.kind(ident) == ("swap-11", "GRID P100-1Q")
    daemon.ok("start", "-u", ident)


def test_id_is_gone_and_the_name_is_not(slot):
    """The name is followed, with a warning, on disk too; and back again with the old card."""
    daemon = slot.daemon
    ident = slot.define("swap-13", "--attr", "swap/color=blue")
    slot.put("p100")
    since = daemon.next_event()
    daemon.ok("start", "-u", ident)
    assert (daemon.mdev(ident)["type"], daemon.mdev(ident)["type_name"]) == ("swap-21", ONE)
    assert slot.warnings(since) == [f"type swap-13 is gone from {CARD}; '{ONE}' is swap-21 there now: "
                                    "definition corrected"]
    assert slot.file(ident) == {"mdev_type": "swap-21", "start": "manual", "attrs": [{"swap/color": "blue"}],
                                "type_name": ONE, "uid": daemon.uid}
    client = Client(daemon.socket_path(ident))
    client.like_qemu()
    client.close()
    daemon.ok("stop", "-u", ident, "--force")
    since = daemon.next_event()
    daemon.ok("start", "-u", ident)  # without a word
    assert slot.warnings(since) == []
    daemon.ok("stop", "-u", ident)
    slot.put("m60")
    daemon.ok("start", "-u", ident)
    assert len(slot.warnings(since)) == 1 and slot.kind(ident) == ("swap-13", ONE)


def test_definitions_with_an_id_that_is_gone(slot):
    """The same for a new definition, a changed one, and a transient mdev, which have both."""
    daemon = slot.daemon
    slot.put("p100")
    both = json.dumps({"mdev_type": "swap-13", "type_name": ONE, "start": "manual", "attrs": []})
    since = daemon.next_event()
    ident = daemon.ok("define", "-p", CARD, "--jsonfile", "/dev/stdin", stdin=both).strip()
    assert slot.kind(ident) == ("swap-21", ONE) and len(slot.warnings(since)) == 1
    transient = daemon.ok("start", "-p", CARD, "--jsonfile", "/dev/stdin", stdin=both).strip()
    assert daemon.mdev(transient)["type"] == "swap-21"
    daemon.ok("stop", "-u", transient)
    slot.put("m60")
    since = daemon.next_event()
    daemon.ok("modify", "-u", ident, "--auto")
    assert slot.kind(ident) == ("swap-13", ONE) and len(slot.warnings(since)) == 1
    by_name = daemon.ok("define", "-p", CARD, "--type-name", ONE).strip()
    assert slot.kind(by_name) == ("swap-13", ONE)


def test_neither_is_there(slot):
    """Then what is near is listed."""
    daemon = slot.daemon
    idents = [slot.define("swap-11"), slot.define("swap-13")]
    slot.put("q1000")
    for ident, kind, name in zip(idents, ("swap-11", "swap-13"), (ZERO, ONE)):
        fails(daemon, "start", "-u", ident, says=[f"no type '{kind}' and none named '{name}'; nearest: swap-3",
                                                  "Q1000-1A", "Q1000-2A"])
        refused(daemon, "UNKNOWN_TYPE", "mdev.start", uuid=ident)
    fails(daemon, "define", "-p", CARD, "-t", "swap-13", says="nearest: swap-3")
    fails(daemon, "define", "-p", CARD, "--type-name", ONE, says="nearest: swap-3")
    slot.put("m60")
    for ident in idents:
        daemon.ok("start", "-u", ident)


def test_an_id_without_a_name(slot):
    """mdevctl writes no name; what the type is called is noted while its card is in."""
    daemon = slot.daemon
    ident = slot.define("swap-13")
    nameless = new_uuid()
    path = daemon.definition(CARD, nameless)
    path.write_text(json.dumps({"mdev_type": "swap-11", "start": "manual", "attrs": []}))
    assert daemon.rpc("mdev.list", uuid=nameless, defined=True)["mdevs"] or daemon.wait_event("mdev.defined", nameless)
    daemon.wait_event("mdev.defined", nameless)
    other = daemon.definition(CARD, ident)
    other.write_text(json.dumps({"mdev_type": "swap-13", "start": "manual", "attrs": [{"mdev/weight": "9"}]}))
    daemon.wait_event("mdev.modified", ident)
    slot.put("p100")
    fails(daemon, "start", "-u", nameless, says=[f"'{ZERO}'", "'GRID P100-1Q'"])
    assert "type_name" not in slot.file(nameless)
    daemon.ok("start", "-u", ident)
    assert slot.kind(ident) == ("swap-21", ONE)
    # One that came with this card is what it is called here, and that is written down when it is started.
    late = new_uuid()
    daemon.definition(CARD, late).write_text(json.dumps({"mdev_type": "swap-12", "start": "manual", "attrs": []}))
    daemon.wait_event("mdev.defined", late)
    daemon.ok("start", "-u", late)
    assert slot.kind(late) == ("swap-12", "GRID P100-2Q")
    daemon.ok("stop", "-u", late)
    daemon.ok("stop", "-u", ident)
    slot.put("m60")
    fails(daemon, "start", "-u", late, says=["'GRID P100-2Q'", "'GRID M60-0Q'"])


def test_autostart_with_the_daemon(slot):
    """The card was swapped while the daemon was down: what it follows is started, the rest is told of."""
    daemon = slot.daemon
    follows, refuses = slot.define("swap-13", "--auto"), slot.define("swap-11", "--auto")
    daemon.stop()
    configuration = daemon.parent_file(CARD)
    configuration.write_text(configuration.read_text().replace("m60", "p100"))
    daemon.start()
    assert daemon.mdev(follows)["type"] == "swap-21" and slot.kind(follows) == ("swap-21", ONE)
    assert len(slot.warnings(0)) == 1
    assert daemon.mdev(refuses) is None and slot.kind(refuses) == ("swap-11", ZERO)
    for word in (ZERO, "GRID P100-1Q"):
        assert word in daemon.mdev(refuses, defined=True)["error"]
        assert any(word in event["message"] for event in daemon.events(refuses))


def test_data_of_the_old_card(slot):
    """A pool of another size: pieces that were claimed keep none of its instances."""
    daemon = slot.daemon
    ident = slot.define("swap-13")
    daemon.ok("start", "-u", ident)
    daemon.ok("stop", "-u", ident)
    slot.put("p100")
    daemon.ok("start", "-u", ident)
    types = {row["id"]: row["available_instances"] for row in daemon.rpc("type.list")["types"]}
    assert types == {"swap-11": 22, "swap-12": 11, "swap-21": 11}


# ---- other ways in


def write(slot, path: str, text: str) -> str:
    """Writes a file of the tree: '' or the name of the errno."""
    with Hands(slot.daemon.uid) as hands:
        return hands.errno("put", str(tree_of(slot.daemon) / "sys/class/mdev_bus" / CARD / path), text)


def test_tree(slot):
    """create in the directory of a type starts what is defined only if it is that type by name."""
    daemon = slot.daemon
    ident, other = slot.define("swap-13"), slot.define("swap-11")
    assert write(slot, "mdev_supported_types/swap-12/create", ident) == "EINVAL"
    slot.put("p100")
    for kind in ("swap-11", "swap-12"):
        assert write(slot, f"mdev_supported_types/{kind}/create", ident) == "EINVAL"
        assert write(slot, f"mdev_supported_types/{kind}/create", other) == "EINVAL"
    assert write(slot, "mdev_supported_types/swap-21/create", other) == "EINVAL"
    assert daemon.rpc("mdev.list")["mdevs"] == [] and slot.kind(ident) == ("swap-13", ONE)
    assert write(slot, "mdev_supported_types/swap-21/create", ident) == ""
    assert daemon.mdev(ident)["type"] == "swap-21" and slot.kind(ident) == ("swap-21", ONE)


def test_mdevctl(slot, new_mdevctl_base):
    """mdevctl knows ids alone: it finds none that is gone, and is refused another type. What was corrected it sees."""
    daemon, tool = slot.daemon, NewMdevctl(new_mdevctl_base, slot.daemon)
    ident, other = slot.define("swap-13"), slot.define("swap-11")
    slot.put("p100")
    for each in (ident, other):
        assert tool.run("start", "-u", each).rc != 0 and daemon.mdev(each) is None
    daemon.ok("start", "-u", ident)
    daemon.ok("stop", "-u", ident)
    assert json.loads(tool.ok("list", "-d", "-u", ident, "--dumpjson"))["mdev_type"] == "swap-21"
    tool.ok("start", "-u", ident)
    assert daemon.mdev(ident)["type_name"] == ONE
    # It drops the name when it changes something, and the contract holds all the same.
    tool.ok("modify", "-u", other, "--auto")
    daemon.wait_event("mdev.modified", other)
    assert "type_name" not in slot.file(other)
    fails(daemon, "start", "-u", other, says=[f"'{ZERO}'", "'GRID P100-1Q'"])


def xml(ident: str, kind: str) -> str:
    """A node device with a UUID."""
    return (f"<device><name>x</name><parent>{CARD}</parent><capability type='mdev'>{kind}<uuid>{ident}</uuid>"
            "</capability></device>")


def test_xml(slot):
    """libvirt's XML, which may give either or both."""
    daemon = slot.daemon
    defined = slot.define("swap-13")
    slot.put("p100")

    def create(ident, kind):
        result = daemon.ctl("create", "--define", "-", stdin=xml(ident, kind))
        return result.err if result.rc else slot.kind(ident)

    assert create(new_uuid(), "<type id='swap-21'/>") == ("swap-21", ONE)
    assert create(new_uuid(), f"<type name='{ONE}'/>") == ("swap-21", ONE)
    assert "nearest: swap-" in create(new_uuid(), "<type id='swap-13'/>")
    assert "nearest: swap-" in create(new_uuid(), f"<type name='{ZERO}'/>")
    assert "swap-13" in slot.daemon.ok("xml", defined)
    daemon.ok("start", "-u", defined)
    assert "swap-21" in slot.daemon.ok("xml", defined)


# ---- classes

CLASSES = {"storage": {"capacity": "1", "block_size": "512"},
           "display": {"fb_length": "512M", "max_resolution": "1x1", "heads": "1"},
           "serial": {"ports": "1"}, "crypto": {"algorithms": "aes"}, "network": {"max_bandwidth": "1G"}}


def own(daemon, kind: str, attrs: dict):
    """parent add of a card with one type of a class."""
    text = ";".join(name if value is None else f"{name}={value}" for name, value in attrs.items())
    return daemon.ctl("parent", "add", kind, "--driver", "swap", "--option", "cards=own", "--option", f"class={kind}",
                      "--option", f"attrs={text}")


@pytest.mark.parametrize("kind, missing", [(kind, name) for kind, attrs in CLASSES.items() for name in attrs])
def test_class_without_a_mandatory_attribute(slot, kind, missing):
    """Types of such a driver are not published at all, and it is said why; likewise where the value is none."""
    daemon, attrs = slot.daemon, CLASSES[kind]
    result = own(daemon, kind, {name: value for name, value in attrs.items() if name != missing})
    assert result.rc == 1 and result.err.count("\n") == 1, result
    for word in ("driver swap", "swap-own", f"class {kind} demands the attribute {missing}"):
        assert word in result.err, result.err
    if kind not in ("crypto", "network"):
        result = own(daemon, kind, dict(attrs, **{missing: "much"}))
        assert result.rc == 1 and f"{missing} must be" in result.err, result
    assert [parent["name"] for parent in daemon.rpc("parent.list")["parents"]] == [CARD]
    assert not daemon.parent_file(kind).exists()
    # With all of them, and more of its own, it is there.
    assert own(daemon, kind, dict(attrs, zz_extra="42")).rc == 0
    (shown,) = daemon.rpc("type.list", parent=kind)["types"]
    assert shown["attributes"] == dict(attrs, zz_extra="42")
    (only,) = json.loads(daemon.ok("types", "--class", kind, "-p", kind, "--json"))
    assert only["id"] == "swap-own"
    top = tree_of(daemon) / "sys/class/mdev_bus" / kind / "mdev_supported_types/swap-own"
    with Hands(daemon.uid) as hands:
        assert hands.get(str(top / "zz_extra")) == "42\n"


def test_unknown_class(slot):
    """A class that is none is refused, and types are listed by class."""
    daemon = slot.daemon
    result = own(daemon, "quantum", {})
    assert result.rc == 1 and "there is no class 'quantum'" in result.err
    assert own(daemon, "serial", CLASSES["serial"]).rc == 0

    def ids(*arguments):
        return {row["id"] for row in json.loads(daemon.ok("types", "--json", *arguments))}

    assert ids("--class", "display") == {"swap-11", "swap-12", "swap-13"} and ids("--class", "serial") == {"swap-own"}
    assert ids("--class", "storage") == set()
    fails(daemon, "types", "--class", "quantum", says=["quantum", "display"])
