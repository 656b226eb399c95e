# SPDX-License-Identifier: BSD-3-Clause
"""Groups: every rule broken once, by members of two parents and of two types; start all or none; one consumer.

The driver `crew` (tests/drivers/crew.c) has a type for each rule. What the rules say word by word is
in tests/unit/model/test-group.c.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lib_system import fails, picture, refused
from umdevtest import process, wait_for
from umdevtest.daemon import as_user, driver_directory, new_uuid
from umdevtest.vfiouser import Client

GROUP = "00000000-0000-4000-8000-0000000000aa"
OTHER = "00000000-0000-4000-8000-0000000000bb"


@pytest.fixture(scope="module")
def drivers(reachable_bin):
    """All drivers, crew too."""
    with tempfile.TemporaryDirectory(prefix="umdev-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield driver_directory(Path(directory) / "drivers", reachable_bin)


@pytest.fixture
def crew(make_daemon, user, drivers):
    """A daemon with two parents of driver crew and one of nvme."""
    daemon = make_daemon(user, arguments=["--driver-dir", drivers])
    daemon.start()
    for name in ("p0", "p1"):
        daemon.ok("parent", "add", name, "--driver", "crew")
    daemon.ok("parent", "add", "n0", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    return daemon


def define(daemon, parent, kind, *more, group=GROUP) -> str:
    """A definition in the group; its UUID."""
    return daemon.ok("define", "-p", parent, "-t", kind, "--group", group, *more).strip()


def start(daemon, parent, kind, *more, group=GROUP) -> str:
    """A transient member."""
    return daemon.ok("start", "-p", parent, "-t", kind, "--group", group, *more).strip()


def group(daemon, ident=GROUP) -> dict:
    """What group.list says of it."""
    return daemon.rpc("group.list", group=ident)["groups"][0]


def active(daemon) -> set:
    """The UUIDs of what is active."""
    return {mdev["uuid"] for mdev in daemon.rpc("mdev.list")["mdevs"]}


class Consumer:
    """A process of its own that connects to mdevs, one after the other, and keeps them."""

    CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from umdevtest.vfiouser import Client
kept = []
for line in sys.stdin:
    try:
        client = Client(line.strip())
        client.like_qemu()
        kept.append(client)
        print("yes", flush=True)
    except Exception as error:
        print("no", type(error).__name__, flush=True)
"""

    def __init__(self, daemon):
        self._daemon = daemon
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            as_user(daemon.uid) + [sys.executable, "-c", self.CODE, str(Path(__file__).parent.parent / "lib")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        self.pid = self._process.pid

    def connects(self, ident) -> bool:
        """Whether it gets through to the device."""
        self._process.stdin.write(f"{self._daemon.socket_path(ident)}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().startswith("yes")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def until_free(daemon, ident=GROUP) -> None:
    """Nobody uses the group."""
    wait_for(lambda: group(daemon, ident)["state"] != "in-use" and "client" not in group(daemon, ident), "group free")


# ---- what may be a group


def test_scope_none(crew):
    fails(crew, "define", "-p", "p0", "-t", "crew-alone", "--group", GROUP, says=["crew-alone", "none"])
    fails(crew, "start", "-p", "p0", "-t", "crew-alone", "--group", GROUP, says=["crew-alone", "none"])
    start(crew, "p0", "crew-part")
    fails(crew, "start", "-p", "p0", "-t", "crew-alone", "--group", GROUP, says=["crew-alone", "none"])


def test_scope_device(crew):
    """All on one parent, whichever member demands it and whichever comes first."""
    first = start(crew, "p0", "crew-pair")
    fails(crew, "start", "-p", "p1", "-t", "crew-pair", "--group", GROUP, says=["one parent", "p0", "p1", first])
    fails(crew, "start", "-p", "p1", "-t", "crew-part", "--group", GROUP, says=["one parent", first])
    start(crew, "p0", "crew-part")
    start(crew, "p1", "crew-part", group=OTHER)
    fails(crew, "start", "-p", "p0", "-t", "crew-pair", "--group", OTHER, says=["crew-pair", "one parent"])
    assert group(crew)["scope"] == "device" and group(crew, OTHER)["scope"] == "driver"


def test_scope_driver(crew):
    start(crew, "p0", "crew-part")
    start(crew, "p1", "crew-deck")
    fails(crew, "start", "-p", "n0", "-t", "nvme-16m", "--group", GROUP, says=["one driver", "nvme", "crew"])
    fails(crew, "define", "-p", "n0", "-t", "nvme-16m", "--group", GROUP, says=["one driver", "nvme", "crew"])
    assert {mdev["type"] for mdev in group(crew)["mdevs"]} == {"crew-part", "crew-deck"}


def test_requires_group(crew):
    fails(crew, "start", "-p", "p0", "-t", "crew-pair", says=["crew-pair", "group"])
    ident = crew.ok("define", "-p", "p0", "-t", "crew-pair").strip()  # it may still get one
    fails(crew, "start", "-u", ident, says=["crew-pair", "group"])
    crew.ok("modify", "-u", ident, "--addattr", "mdev/group", "--value", GROUP)
    crew.ok("start", "-u", ident)
    assert crew.mdev(ident)["group"] == GROUP


def test_drivers_own_check(crew):
    """It is asked about the whole set, and its reason is passed on; other types do not count for it."""
    idents = [define(crew, "p0", "crew-pair") for _ in range(3)]
    define(crew, "p0", "crew-part")
    fails(crew, "group", "start", GROUP, says=["a pair has no room for", GROUP], unchanged=False)
    assert active(crew) == set()
    crew.ok("undefine", "-u", idents[1])
    crew.ok("group", "start", GROUP)
    error = refused(crew, "INVALID", "mdev.start", parent="p0", type="crew-pair", group=GROUP, uuid=idents[1])
    assert error.message.endswith(f"a pair has no room for {idents[1]}") or "no room for" in error.message
    assert len(active(crew)) == 3


def test_a_group_is_a_uuid(crew):
    for text in ("crew", "1", GROUP + "0", GROUP[:-1]):
        assert crew.ctl("define", "-p", "p0", "-t", "crew-part", "--group", text).rc == 2
        refused(crew, "INVALID", "mdev.start", parent="p0", type="crew-part", group=text)
        fails(crew, "define", "-p", "p0", "-t", "crew-part", "--attr", f"mdev/group={text}", says="UUID")
    upper = start(crew, "p0", "crew-part", group=GROUP.upper())
    assert crew.mdev(upper)["group"] == GROUP
    refused(crew, "INVALID", "mdev.start", parent="p0", type="crew-part", group=OTHER, attrs=[{"mdev/group": GROUP}])
    refused(crew, "NOT_FOUND", "group.list", group=OTHER)
    refused(crew, "NOT_FOUND", "group.start", group=OTHER)


def test_limit(crew):
    """128 members at most: the last one that fits, and one more."""
    crew.ok("parent", "add", "many", "--driver", "nvme", "--option", "ram=256M", "--option", "types=1m")
    for _ in range(128):
        crew.rpc("mdev.start", parent="many", type="nvme-1m", group=OTHER)
    assert refused(crew, "LIMIT", "mdev.start", parent="many", type="nvme-1m", group=OTHER).key == "group"
    assert len(active(crew)) == 128
    crew.ok("group", "stop", OTHER)


# ---- given at create, and for good


def test_immutable(crew):
    """An active mdev keeps its group; the value that it has is no change; the definition may change."""
    ident = define(crew, "p0", "crew-part")
    crew.ok("start", "-u", ident)
    for value in (OTHER, ""):
        error = refused(crew, "DEVICE_BUSY", "mdev.set", uuid=ident, name="mdev/group", value=value)
        assert error.key == "mdev/group" and error.errno == 16
    crew.rpc("mdev.set", uuid=ident, name="mdev/group", value=GROUP)
    crew.rpc("mdev.set", uuid=ident, name="mdev/group", value=GROUP.upper())
    refused(crew, "DEVICE_BUSY", "mdev.modify", uuid=ident, live=True,
            definition={"mdev_type": "crew-part", "start": "manual", "attrs": [{"mdev/group": OTHER}]})
    single = crew.ok("start", "-p", "p0", "-t", "crew-part").strip()
    refused(crew, "DEVICE_BUSY", "mdev.set", uuid=single, name="mdev/group", value=GROUP)
    crew.ok("modify", "-u", ident, "--delattr")
    assert group(crew)["mdevs"][0]["uuid"] == ident  # as long as it runs
    crew.ok("stop", "-u", ident)
    refused(crew, "NOT_FOUND", "group.list", group=GROUP)
    assert "group" not in crew.mdev(ident, defined=True)


def test_modify(crew):
    """--attr sets in place, --group moves a definition, --owner renames; live it is all or none."""
    ident = define(crew, "p0", "crew-part", "--attr", "mdev/weight=5", "--owner", "ci")
    crew.ok("modify", "-u", ident, "--attr", "mdev/weight=7", "--attr", "fail=1", "--group", OTHER, "--owner", "cd",
            "--type-name", "test crew deck")
    mdev = crew.mdev(ident, defined=True)
    assert mdev["attrs"] == [{"mdev/weight": "7"}, {"mdev/group": OTHER}, {"crew/fail": "1"}]
    assert (mdev["owner"], mdev["group"], mdev["type"]) == ("cd", OTHER, "crew-deck")
    refused(crew, "NOT_FOUND", "group.list", group=GROUP)
    fails(crew, "modify", "-u", ident, "--attr", "colour=red", says="colour")
    crew.ok("modify", "-u", ident, "--attr", "fail=0")
    crew.ok("start", "-u", ident)
    crew.ok("modify", "-u", ident, "--live", "--attr", "mdev/weight=9", "--attr", "mdev/priority=3")
    assert crew.rpc("mdev.qos", uuid=ident)["weight"] == 9
    assert crew.mdev(ident, defined=True)["attrs"][0] == {"mdev/weight": "7"}
    fails(crew, "modify", "-u", ident, "--live", "--attr", "mdev/weight=11", "--attr", f"mdev/group={GROUP}", says="group")
    fails(crew, "modify", "-u", ident, "--live", "--attr", "mdev/weight=11", "--attr", "mdev/priority=9", says="priority")
    assert crew.rpc("mdev.qos", uuid=ident)["weight"] == 9


def test_start_of_a_defined_one_with_another_group(crew):
    ident = define(crew, "p0", "crew-part")
    fails(crew, "start", "-u", ident, "--group", OTHER, says=[GROUP, OTHER])
    crew.ok("start", "-u", ident, "--group", GROUP)


# ---- hotplug


def test_no_hotplug(crew):
    """Neither joins nor leaves anybody while a member is in use, when a single type forbids it."""
    deck = start(crew, "p0", "crew-deck")
    part = start(crew, "p1", "crew-part")
    with Consumer(crew) as consumer:
        assert consumer.connects(part)
        wait_for(lambda: crew.mdev(part)["in_use"], "use")
        error = refused(crew, "DEVICE_BUSY", "mdev.start", parent="p1", type="crew-part", group=GROUP)
        assert str(consumer.pid) in error.message and "group_hotplug" in error.message
        for more in ([], ["--force"]):
            fails(crew, "stop", "-u", deck, *more, says=["leave", "group_hotplug"])
        refused(crew, "DEVICE_BUSY", "mdev.set", uuid=deck, name="crew/fail", value="1")  # made anew, it would leave
        fails(crew, "group", "stop", GROUP, says=["in use", str(consumer.pid)])
    until_free(crew)
    crew.ok("stop", "-u", deck)
    start(crew, "p0", "crew-deck")


def test_hotplug(crew):
    """Where all have it, members come and go under a consumer, which connects to those that came."""
    parts = [start(crew, "p0", "crew-part"), start(crew, "p1", "crew-part")]
    with Consumer(crew) as consumer:
        assert consumer.connects(parts[0])
        later = start(crew, "p1", "crew-part")
        assert consumer.connects(later)
        crew.ok("stop", "-u", parts[1])
        assert active(crew) == {parts[0], later}
        fails(crew, "start", "-p", "p0", "-t", "crew-deck", "--group", GROUP, says="group_hotplug")
        crew.ok("group", "stop", GROUP, "--force")
        assert active(crew) == set()


# ---- one consumer


def test_one_consumer(crew):
    """A second process is turned away from every member, on every parent, until the first has left all."""
    members = [start(crew, "p0", "crew-part"), start(crew, "p1", "crew-part"), start(crew, "p1", "crew-deck")]
    outsider = start(crew, "p0", "crew-part", group=OTHER)
    with Consumer(crew) as first, Consumer(crew) as second:
        assert first.connects(members[0])
        assert not second.connects(members[1])
        assert first.connects(members[1])
        assert not second.connects(members[2])
        assert second.connects(outsider)  # another group
        assert group(crew)["client"] == {"pid": first.pid, "uid": crew.uid}
        told = crew.wait_event("client.refused", members[1])["message"]
        assert str(second.pid) in told and str(first.pid) in told and GROUP in told
        assert str(first.pid) in crew.mdev(members[1])["last_refusal"]
        shown = crew.ok("group", "show", GROUP)
        assert f"process {first.pid}" in shown
    until_free(crew)
    with Consumer(crew) as third:
        assert third.connects(members[1]) and third.connects(members[0])


def test_left_one_of_two(crew):
    """The group is free when the last member is."""
    members = [start(crew, "p0", "crew-part"), start(crew, "p1", "crew-part")]
    one, two = (Client(crew.socket_path(ident)) for ident in members)
    with Consumer(crew) as other:
        one.like_qemu()
        two.like_qemu()
        one.close()
        wait_for(lambda: not crew.mdev(members[0])["in_use"], "the first to be free")
        assert not other.connects(members[0])
        two.close()
        until_free(crew)
        assert other.connects(members[0]) and other.connects(members[1])


def test_next_consumer_at_once(crew):
    """The group is free when the consumer has hung up, before a busy host has noticed."""
    members = [start(crew, "p0", "crew-part"), start(crew, "p1", "crew-part")]
    with Consumer(crew) as second:
        with contextlib.ExitStack() as standing:
            with Consumer(crew) as first:
                assert first.connects(members[0])
                wait_for(lambda: crew.mdev(members[0])["in_use"], "the first to be known")
                standing.enter_context(process.stopped(crew.host_pid("p0")))
                assert not second.connects(members[1])
            assert second.connects(members[1])
        assert second.connects(members[0])


def test_silent_client_holds(crew):
    """Who has connected and said nothing yet holds the group, too, and loses it with the connection."""
    members = [start(crew, "p0", "crew-part"), start(crew, "p1", "crew-part")]
    silent = Client(crew.socket_path(members[0]))
    with Consumer(crew) as other:
        wait_for(lambda: group(crew).get("client"), "a holder")
        assert not other.connects(members[1])
        silent.close()
        until_free(crew)
        assert other.connects(members[1])


def test_host_death_keeps_the_consumer(crew):
    """The client of a host that died is still there, so the group is still its."""
    members = [start(crew, "p0", "crew-part"), start(crew, "p1", "crew-part")]
    with Consumer(crew) as first, Consumer(crew) as second:
        assert first.connects(members[0])
        since = crew.next_event()
        os.kill(crew.host_pid("p0"), 9)
        crew.wait_event("host.started", since=since)
        wait_for(lambda: crew.mdev(members[0])["state"] == "in-use", "it is back, and in use")
        assert not second.connects(members[1])
        assert first.connects(members[1])


# ---- all or none


def test_start_and_stop(crew):
    members = {define(crew, "p0", "crew-part"), define(crew, "p1", "crew-deck"), define(crew, "p0", "crew-part")}
    since = crew.next_event()
    shown = json.loads(crew.ok("group", "start", GROUP, "--json"))
    assert shown["state"] == "active" and {mdev["uuid"] for mdev in shown["mdevs"]} == members == active(crew)
    kinds = [event["event"] for event in crew.events(since=since)]
    assert kinds == ["mdev.started"] * 3 + ["group.started"]
    assert crew.events(since=since)[-1]["group"] == GROUP
    for ident in members:
        with Client(crew.socket_path(ident)) as client:
            client.like_qemu()
        wait_for(lambda ident=ident: not crew.mdev(ident)["in_use"], "free")
    fails(crew, "group", "start", GROUP, says="active already")
    crew.ok("group", "stop", GROUP)
    assert active(crew) == set() and group(crew)["state"] == "defined"
    fails(crew, "group", "stop", GROUP, says="active")


def test_partial_is_completed(crew):
    one, two = define(crew, "p0", "crew-part"), define(crew, "p1", "crew-part")
    crew.ok("start", "-u", two)
    assert group(crew)["state"] == "partial"
    crew.ok("group", "start", GROUP)
    assert active(crew) == {one, two} and group(crew)["state"] == "active"


@pytest.mark.parametrize("place", range(3))
def test_creation_that_fails_takes_all_back(crew, place):
    """Wherever it stands: nothing is active, no piece is gone, no file is left, and the cause is told."""
    idents = sorted(new_uuid() for _ in range(3))
    for index, ident in enumerate(idents):
        more = ["--attr", "crew/fail=1"] if index == place else []
        define(crew, f"p{index % 2}", "crew-part", "-u", ident, *more)
    types = crew.ok("types", "--dumpjson")
    says = fails(crew, "group", "start", GROUP, says=[idents[place], "fails as asked"], unchanged=False)
    assert says.count(GROUP) == 1
    assert active(crew) == set() and crew.ok("types", "--dumpjson") == types
    assert not list((crew.root / "run/umdev/mdevs").iterdir())
    assert "not started with the rest" in crew.mdev(idents[(place + 1) % 3], defined=True)["error"]
    before = picture(crew)
    fails(crew, "group", "start", GROUP)
    assert picture(crew) == before
    crew.ok("modify", "-u", idents[place], "--delattr", "--index", "0")
    crew.ok("group", "start", GROUP)
    assert active(crew) == set(idents)


def test_no_room_for_the_last(crew):
    """One instance too few on the second parent: what the first one had claimed is given back."""
    for _ in range(2):
        define(crew, "p0", "crew-part")
    for _ in range(8):
        start(crew, "p1", "crew-part", group=OTHER)
    define(crew, "p1", "crew-part")
    fails(crew, "group", "start", GROUP, says=["crew-part", "p1"])
    assert [piece["available_instances"] for piece in crew.rpc("type.list", parent="p0")["types"]] == [8] * 4


def test_parent_that_is_gone(crew):
    define(crew, "p0", "crew-part")
    define(crew, "p1", "crew-part")
    crew.ok("parent", "remove", "p1")
    fails(crew, "group", "start", GROUP, says="p1")
    assert active(crew) == set()


def test_nobody_sees_half(crew):
    """While members are built no socket has its name; the first that can be seen is seen with all others."""
    idents = [define(crew, f"p{index % 2}", "crew-part") for index in range(12)]
    for _ in range(5):
        watch = subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, "-c", "import os,sys,time\nend=time.monotonic()+20\nseen=0\n"
             "while not seen and time.monotonic()<end:\n seen=sum(map(os.path.exists,sys.argv[1:]))\n"
             "time.sleep(0.02)\nprint(seen>0, sum(map(os.path.exists,sys.argv[1:])))"]
            + [str(crew.socket_path(ident)) for ident in idents], stdout=subprocess.PIPE, text=True)
        crew.ok("group", "start", GROUP)
        assert watch.communicate(timeout=30)[0].split() == ["True", "12"]
        crew.ok("group", "stop", GROUP)


# ---- by itself, and settings


def test_autostart(crew):
    """With the daemon, and with the last of the parents; all or none."""
    idents = {define(crew, "p0", "crew-part", "--auto"), define(crew, "p1", "crew-deck", "--auto")}
    crew.restart()
    assert active(crew) == idents
    crew.ok("parent", "remove", "p1", "--force")
    assert group(crew)["state"] == "partial"
    crew.ok("group", "stop", GROUP)
    crew.ok("parent", "add", "p1", "--driver", "crew")
    wait_for(lambda: active(crew) == idents, "both to be active")
    one = define(crew, "p0", "crew-part", "--auto", "--attr", "crew/fail=1", group=OTHER)
    two = define(crew, "p1", "crew-part", "--auto", group=OTHER)
    crew.restart()
    assert active(crew) == idents
    told = [event for event in crew.events() if event["event"] == "mdev.stopped"]
    assert {event["uuid"] for event in told} == {one, two}


def test_autostart_without_a_parent(crew):
    """A parent that fails at boot keeps the whole group down, and that is told."""
    define(crew, "p0", "crew-part", "--auto")
    define(crew, "p1", "crew-part", "--auto")
    crew.stop()
    crew.parent_file("p1").write_text('{"driver": "crew", "options": {"colour": "red"}}')
    crew.start()
    assert active(crew) == set()
    assert "p1" in [event for event in crew.events() if event["event"] == "group.stopped"][0]["message"]


def test_settings(crew):
    """Both or neither, kept over a restart, gone with the last member."""
    ident = define(crew, "p0", "crew-part")
    path = crew.root / "etc/umdev/groups.d" / GROUP
    assert (group(crew)["cap"], group(crew)["weight"]) == (100, 100) and not path.exists()
    crew.ok("group", "qos", GROUP, "--cap", "12.5", "--weight", "300")
    crew.ok("group", "start", GROUP)
    crew.ok("group", "qos", GROUP, "--weight", "301")
    refused(crew, "INVALID", "group.qos", group=GROUP, cap=1, weight=0)
    refused(crew, "INVALID", "group.qos", group=GROUP, cap=0.001, weight=5)
    refused(crew, "NOT_FOUND", "group.qos", group=OTHER, weight=5)
    crew.restart()
    assert (group(crew)["cap"], group(crew)["weight"]) == (12.5, 301)
    assert json.loads(path.read_text()) == {"cap": 12.5, "weight": 301}
    crew.ok("undefine", "-u", ident)
    assert not path.exists()
    ident = define(crew, "p0", "crew-part")
    assert group(crew)["weight"] == 100


@pytest.mark.parametrize("text", ["", "{", "[]", '{"weight": 0}', '{"cap": "much"}'])
def test_settings_that_are_none(crew, text):
    """A file that cannot be used is told of and left alone."""
    define(crew, "p0", "crew-part")
    crew.stop()
    path = crew.root / "etc/umdev/groups.d" / GROUP
    path.write_text(text)
    (path.parent / "README").write_text("x")
    (path.parent / f".{GROUP}.new~").write_text("x")
    crew.start()
    bad = [event["message"] for event in crew.events() if event["event"] == "definition.bad"]
    assert len(bad) == 1 + (text != "[]") and all("groups.d" in line for line in bad)
    assert group(crew)["weight"] == 100 and path.read_text() == text
