# SPDX-License-Identifier: BSD-3-Clause
"""Groups through the tree, mdevctl and libvirt's XML.

The driver crew (tests/drivers) has types of every scope; `part` may be in a group across parents, at any time, `deck`
not while the group is used, `alone` never, `pair` in a group only.
"""

import json
import os
import stat

import pytest

from umdevtest import wait_for
from umdevtest.child import within
from umdevtest.daemon import NOBODY, RpcError, new_uuid
from umdevtest.drivers import with_drivers
from umdevtest.hands import Hands
from umdevtest.inotify import CREATE, DELETE, MODIFY, Watches
from umdevtest.mdevctl import NewMdevctl
from umdevtest.tree import tree_of
from umdevtest.vfiouser import Client

GROUP = "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0fa"
OTHER = "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0fb"


class Crew:
    """A daemon with two parents of the driver crew, and somebody at its tree."""

    def __init__(self, daemon, hands):
        self.daemon, self.hands = daemon, hands
        self.top = str(tree_of(daemon) / "sys")
        self.groups = f"{self.top}/bus/mdev/groups"

    def create(self, text: str, kind: str = "crew-part", parent: str = "p0") -> str:
        """Writes into a type's create: '' or the name of the errno."""
        return self.hands.errno("put", f"{self.top}/class/mdev_bus/{parent}/mdev_supported_types/{kind}/create", text)

    def device(self, ident: str, name: str) -> str:
        """A file of an mdev."""
        return f"{self.top}/bus/mdev/devices/{ident}/{name}"

    def remove(self, ident: str) -> str:
        """Removes an mdev."""
        return self.hands.errno("put", self.device(ident, "remove"), "1")

    def read(self, name: str, group: str = GROUP) -> str:
        """What an attribute of a group says."""
        return self.hands.get(f"{self.groups}/{group}/{name}").rstrip("\n")

    def write(self, name: str, text: str, group: str = GROUP) -> str:
        """Writes it."""
        return self.hands.errno("put", f"{self.groups}/{group}/{name}", text)

    def members(self, group: str = GROUP) -> list:
        """The names in devices/."""
        return self.hands.list(f"{self.groups}/{group}/devices")


@pytest.fixture(name="crew")
def fixture_crew(make_daemon, user):
    """See Crew; nothing is active."""
    daemon = with_drivers(make_daemon, user, "crew")
    daemon.start()
    daemon.directory.chmod(0o755)
    for name in ("p0", "p1"):
        daemon.ok("parent", "add", name, "--driver", "crew")
    with Hands(user) as hands:
        yield Crew(daemon, hands)


def test_create(crew):
    """UUID:GROUP in 73 or 74 bytes, in either case of letters; another number of bytes is EINVAL."""
    one, two, three = new_uuid(), new_uuid(), new_uuid()
    assert crew.create(f"{one}:{GROUP}") == ""
    assert crew.create(f"{two.upper()}:{GROUP.upper()}\n", parent="p1") == ""
    assert crew.create(f"{three}:{GROUP}\0") == ""
    for text in (f"{new_uuid()}:x", f"{new_uuid()}:{GROUP[:-1]}", f"{new_uuid()}:{GROUP}\n\n", f"{new_uuid()}{GROUP}",
                 f"{new_uuid()};{GROUP}", f"{new_uuid()} {GROUP}\n", f"{new_uuid()}:{GROUP[:-1]}g", f":{GROUP}",
                 f"{GROUP}:{GROUP}:{GROUP}"):
        assert crew.create(text) == "EINVAL", text
    assert crew.create(f"{one}:{OTHER}") == "EEXIST"
    assert {mdev["uuid"]: mdev["group"] for mdev in crew.daemon.rpc("mdev.list")["mdevs"]} == {
        one: GROUP, two: GROUP, three: GROUP}
    assert crew.members() == sorted([one, two, three])
    # Alone, and with any byte behind it, it is in no group.
    four = new_uuid()
    assert crew.create(f"{four}:") == ""
    assert crew.hands.get(crew.device(four, "mdev/group")) == "\n"
    assert crew.hands.list(crew.groups) == [GROUP]


def test_rules(crew):
    """What a type or a driver forbids is EINVAL, a group in use EBUSY; each leaves nothing."""
    assert crew.create(f"{new_uuid()}:{GROUP}", "crew-alone") == "EINVAL"
    assert crew.create(new_uuid(), "crew-pair") == "EINVAL"
    pair = [new_uuid(), new_uuid()]
    for each in pair:
        assert crew.create(f"{each}:{GROUP}", "crew-pair") == ""
    assert crew.create(f"{new_uuid()}:{GROUP}", "crew-pair", "p1") == "EINVAL"  # on one parent only
    assert crew.create(f"{new_uuid()}:{GROUP}", "crew-pair") == "EINVAL"  # the driver has room for two
    deck = new_uuid()
    assert crew.create(f"{deck}:{OTHER}", "crew-deck") == ""
    client = Client(crew.daemon.socket_path(deck))
    client.like_qemu()
    assert crew.create(f"{new_uuid()}:{OTHER}", "crew-deck", "p1") == "EBUSY"
    assert crew.hands.get(f"{crew.groups}/{OTHER}/state") == "in-use\n"
    assert crew.members(OTHER) == [deck] and crew.members() == sorted(pair)
    client.close()
    wait_for(lambda: crew.read("state", OTHER) == "active", "the group to be free")
    assert crew.create(f"{new_uuid()}:{OTHER}", "crew-deck", "p1") == ""


def test_types_say_so(crew):
    """The files of a type."""
    top = f"{crew.top}/class/mdev_bus/p0/mdev_supported_types"
    found = {kind: tuple(crew.hands.get(f"{top}/crew-{kind}/{name}").rstrip("\n")
                         for name in ("group_scope", "requires_group", "group_hotplug"))
             for kind in ("alone", "pair", "deck", "part")}
    assert found == {"alone": ("none", "0", "0"), "pair": ("device", "1", "0"), "deck": ("driver", "0", "0"),
                     "part": ("driver", "0", "1")}


def test_defined_in_a_group(crew):
    """A definition's group: without one in the write it is that; another one is EINVAL."""
    ident, plain = new_uuid(), new_uuid()
    crew.daemon.ok("define", "-u", ident, "-p", "p0", "-t", "crew-part", "--group", GROUP)
    crew.daemon.ok("define", "-u", plain, "-p", "p0", "-t", "crew-part")
    assert crew.create(f"{ident}:{OTHER}") == "EINVAL" and crew.create(f"{plain}:{OTHER}") == "EINVAL"
    assert crew.create(f"{ident}:{GROUP}") == "" and crew.remove(ident) == ""
    assert crew.create(ident) == ""
    assert crew.members() == [ident] and crew.read("state") == "active"


def test_mdev_group(crew):
    """Readable; the value that it has is no change, any other is EBUSY, in use or not."""
    ident, free = new_uuid(), new_uuid()
    assert crew.create(f"{ident}:{GROUP}") == "" and crew.create(free) == ""
    path = crew.device(ident, "mdev/group")
    assert crew.hands.get(path) == f"{GROUP}\n"
    for same in (GROUP, f"{GROUP}\n", GROUP.upper()):
        assert crew.hands.errno("put", path, same) == "", same
    for other in (OTHER, f"{OTHER}\n", "\n"):
        assert crew.hands.errno("put", path, other) == "EBUSY", other
    assert crew.hands.errno("put", path, "x") == "EINVAL"
    assert crew.hands.errno("put", crew.device(free, "mdev/group"), GROUP) == "EBUSY"
    assert crew.hands.errno("put", crew.device(free, "mdev/group"), "\n") == ""
    client = Client(crew.daemon.socket_path(ident))
    client.like_qemu()
    assert crew.hands.errno("put", path, GROUP) == "" and crew.hands.errno("put", path, OTHER) == "EBUSY"
    client.close()
    assert crew.members() == [ident] and crew.hands.get(path) == f"{GROUP}\n"


def test_directory(crew):
    """What stands in it; it comes with the first member and goes with the last; links are relative."""
    assert crew.hands.list(crew.groups) == []
    one, two = new_uuid(), new_uuid()
    assert crew.create(f"{one}:{GROUP}") == ""
    assert crew.hands.list(f"{crew.groups}/{GROUP}") == ["cap", "devices", "scope", "state", "weight"]
    assert [crew.read(name) for name in ("cap", "weight", "scope", "state")] == ["100", "100", "driver", "active"]
    assert crew.create(f"{two}:{GROUP}", parent="p1") == ""
    for ident, parent in ((one, "p0"), (two, "p1")):
        link = f"{crew.groups}/{GROUP}/devices/{ident}"
        assert crew.hands.readlink(link) == f"../../../../../devices/virtual/mtty/{parent}/{ident}"
        assert crew.hands.realpath(link) == f"{crew.top}/devices/virtual/mtty/{parent}/{ident}"
        assert crew.hands.get(f"{link}/mdev/group") == f"{GROUP}\n"
    # A defined member that is not active makes it partial.
    third = crew.daemon.ok("define", "-p", "p0", "-t", "crew-part", "--group", GROUP).strip()
    assert crew.read("state") == "partial" and crew.members() == sorted([one, two])
    crew.daemon.ok("undefine", "-u", third)
    inode = crew.hands.status(f"{crew.groups}/{GROUP}")
    assert stat.S_ISDIR(inode["mode"])
    assert crew.remove(one) == "" and crew.members() == [two]
    held = crew.hands.open(f"{crew.groups}/{GROUP}/weight", os.O_RDONLY)
    assert crew.remove(two) == ""
    assert crew.hands.list(crew.groups) == [] and crew.hands.errno("list", f"{crew.groups}/{GROUP}") == "ENOENT"
    # Another group of that name is another one: what was opened before is gone for ever.
    assert crew.create(f"{one}:{GROUP}") == ""
    assert crew.hands.errno("read", held) == "ENODEV" and crew.read("weight") == "100"
    crew.hands.close(held)


def test_knobs(crew):
    """cap and weight are group.qos; bad values are EINVAL and change nothing; they go with the last member."""
    ident = new_uuid()
    assert crew.create(f"{ident}:{GROUP}") == ""
    assert crew.write("weight", "300\n") == "" and crew.write("cap", "12.5") == ""
    shown = crew.daemon.rpc("group.list", group=GROUP)["groups"][0]
    assert (shown["weight"], shown["cap"]) == (300, 12.5)
    assert (crew.read("weight"), crew.read("cap")) == ("300", "12.5")
    for name, text in (("weight", "0"), ("weight", "10001"), ("weight", "x"), ("weight", "\n"), ("weight", "1.5"),
                       ("cap", "0"), ("cap", "100.01"), ("cap", "12.345"), ("cap", "-1"), ("cap", "5 %")):
        assert crew.write(name, text) == "EINVAL", (name, text)
    for name in ("scope", "state"):
        assert crew.write(name, "x") == "EACCES"
    assert (crew.read("weight"), crew.read("cap")) == ("300", "12.5")
    crew.daemon.ok("group", "qos", GROUP, "--weight", "7")
    assert crew.read("weight") == "7"
    assert crew.remove(ident) == "" and crew.create(f"{ident}:{GROUP}") == ""
    assert (crew.read("weight"), crew.read("cap")) == ("100", "100")


def watch(daemon) -> None:
    """Runs as the daemon's user."""
    groups = tree_of(daemon) / "sys/bus/mdev/groups"
    one, two = new_uuid(), new_uuid()
    rpc = daemon.connect()
    with Watches() as watches:
        watches.add(groups, CREATE | DELETE)
        rpc.call("mdev.start", uuid=one, parent="p0", type="crew-part", group=GROUP)
        watches.expect([(groups, CREATE, GROUP)])
        here = groups / GROUP
        watches.add(here / "devices", CREATE | DELETE)
        watches.add(here / "weight", MODIFY)
        watches.add(here / "state", MODIFY)
        rpc.call("mdev.start", uuid=two, parent="p1", type="crew-part", group=GROUP)
        watches.expect([(here / "devices", CREATE, two), (here / "state", MODIFY, "")])
        rpc.call("group.qos", group=GROUP, weight=9)
        watches.expect([(here / "weight", MODIFY, "")])
        rpc.call("mdev.stop", uuid=one)
        watches.expect([(here / "devices", DELETE, one)])
        rpc.call("mdev.stop", uuid=two)
        watches.expect([(groups, DELETE, GROUP)])
        # With their parents all of them go.
        rpc.call("mdev.start", uuid=one, parent="p0", type="crew-part", group=GROUP)
        rpc.call("mdev.start", uuid=two, parent="p0", type="crew-part", group=GROUP)
        watches.expect([(groups, CREATE, GROUP)])
        rpc.call("parent.remove", name="p0", force=True)
        watches.expect([(groups, DELETE, GROUP)])
    rpc.close()


def test_watched(crew):
    """inotify hears of groups, members and attributes that come, go and change."""
    within(crew.daemon, watch, crew.daemon)


def test_whole_group(crew):
    """group.start and group.stop show at once when they have returned; so does a tree that is made anew."""
    idents = [crew.daemon.ok("define", "-p", parent, "-t", "crew-deck", "--group", GROUP).strip()
              for parent in ("p0", "p1", "p0")]
    assert crew.hands.list(crew.groups) == []
    crew.daemon.ok("group", "start", GROUP)
    assert crew.members() == sorted(idents) and crew.read("state") == "active"
    crew.daemon.ok("group", "stop", GROUP)
    assert crew.hands.list(crew.groups) == []
    crew.daemon.ok("group", "start", GROUP)
    since = crew.daemon.next_event()
    for pid in crew.daemon.look():
        with open(f"/proc/{pid}/comm", encoding="utf-8") as name:
            if name.read().strip() == "umdev-sysfs":
                os.kill(pid, 9)
                break
    crew.daemon.wait_event("tree.mounted", since=since)
    assert crew.members() == sorted(idents)


def test_mdevctl(crew, new_mdevctl_base):
    """mdev/group among its attributes: defined and started by mdevctl, and kept in a live change."""
    daemon, tool = crew.daemon, NewMdevctl(new_mdevctl_base, crew.daemon)
    idents = [new_uuid(), new_uuid()]
    for ident, parent in zip(idents, ("p0", "p1")):
        tool.ok("define", "-u", ident, "-p", parent, "-t", "crew-part")
        tool.ok("modify", "-u", ident, "--addattr", "mdev/group", "--value", GROUP)
        tool.ok("modify", "-u", ident, "--addattr", "mdev/weight", "--value", "50")
    for ident in idents:
        tool.ok("start", "-u", ident)
    assert crew.members() == sorted(idents)
    assert {daemon.mdev(ident)["group"] for ident in idents} == {GROUP}
    shown = json.loads(daemon.ok("list", "-d", "-u", idents[0], "--dumpjson"))
    assert shown["attrs"] == [{"mdev/group": GROUP}, {"mdev/weight": "50"}]
    assert json.loads(tool.ok("list", "-d", "-u", idents[0], "--dumpjson")) == shown
    # It cannot be moved while it is active: mdevctl writes the attribute, and is refused.
    result = tool.run("modify", "-u", idents[0], "--live", "--jsonfile", "/dev/stdin", stdin=json.dumps(
        dict(shown, attrs=[{"mdev/group": OTHER}])))
    assert result.rc != 0 and crew.members() == sorted(idents)
    for ident in idents:
        tool.ok("stop", "-u", ident)
    assert crew.hands.list(crew.groups) == []


def xml(more: str) -> str:
    """A node device."""
    return ("<device>\n<parent>p0</parent>\n<capability type='mdev'>\n<type id='crew-part'/>\n" + more +
            "\n</capability>\n</device>\n")


def test_xml(crew):
    """<group> of 2016, and <attr>; either is the attribute, and printed as <attr>, which libvirt reads."""
    daemon = crew.daemon
    for more in (f"<group>{GROUP.upper()}</group>", f"<attr name='mdev/group' value='{GROUP}'/>",
                 f"<params>mdev/group={GROUP}</params>"):
        for verb in ([], ["--define"]):
            made = json.loads(daemon.ctl("--json", "create", *verb, "-", stdin=xml(more)).out)
            assert made["group"] == GROUP, more
            assert f"<attr name='mdev/group' value='{GROUP}'/>" in daemon.ok("xml", made["uuid"])
            again = daemon.ctl("create", "--define", "-", stdin=daemon.ok("xml", made["uuid"]))
            assert again.rc == (1 if verb else 0), again
    for more, says in (("<group>all</group>", "line 5: 'all' is no UUID"), ("<group/>", "line 5: "),
                       (f"<attr name='mdev/weight' value='1'/>\n<group>{GROUP}\n</group>\n<group>{GROUP}</group>",
                        "<group> is given twice")):
        result = daemon.ctl("create", "-", stdin=xml(more))
        assert result.rc == 1 and says in result.err, result


def test_owner(crew):
    """A member of another user is not taken along, by nobody but root with --force."""
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    daemon = crew.daemon
    for path in (daemon.root, daemon.root / "run", daemon.root / "run/umdev"):
        path.chmod(0o755)
    daemon.control_socket.chmod(0o666)
    ident = daemon.ok("define", "-p", "p0", "-t", "crew-part", "--group", GROUP).strip()
    other = NOBODY if daemon.uid == 0 else 31001
    connection = daemon.connect(other)
    foreign = connection.call("mdev.define", parent="p1", type="crew-part", group=GROUP)["uuid"]
    for method, more in (("group.start", {}), ("group.qos", {"weight": 5})):
        for caller in (connection, daemon.connect()):
            with pytest.raises(RpcError) as info:
                caller.call(method, group=GROUP, **more)
            assert info.value.word == "NOT_PERMITTED", (method, info.value)
    since = daemon.next_event()
    daemon.ok("group", "start", GROUP, "--force")
    assert crew.members() == sorted([ident, foreign])
    assert [event["uuid"] for event in daemon.events(since=since) if event["event"] == "mdev.forced"] == [foreign]
    assert crew.write("weight", "5") == "EPERM" and crew.remove(foreign) == "EPERM"
    assert daemon.ctl("group", "stop", GROUP).rc == 1 and crew.members() == sorted([ident, foreign])
    daemon.ok("group", "stop", GROUP, "--force")
    connection.close()
