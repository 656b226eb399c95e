# SPDX-License-Identifier: BSD-3-Clause
"""Unmodified mdevctl on the tree: the host's where the tree stands at /sys, a newer one through its own root."""

import json
import re
import subprocess

import pytest

from umdevtest.daemon import as_user, new_uuid, program
from umdevtest.mdevctl import HostMdevctl, NewMdevctl
from umdevtest.tree import CARD, PLAIN, STORE, STORE_TYPE, add_parents
from umdevtest.vfiouser import Client

FIRST = "11111111-2222-3333-4444-555555555555"
SECOND = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
THIRD = "aaaaaaaa-bbbb-cccc-dddd-ffffffffffff"


@pytest.fixture(params=["host", "new"], name="tool")
def fixture_tool(request, user, make_scene, make_daemon, new_mdevctl_base):
    """Both mdevctls, on a daemon with three parents."""
    if request.param == "host":
        return HostMdevctl(make_scene(user))
    daemon = make_daemon(user)
    daemon.start()
    add_parents(daemon)
    return NewMdevctl(new_mdevctl_base, daemon)


@pytest.fixture(name="new_tool")
def fixture_new_tool(daemon, new_mdevctl_base):
    """The newer mdevctl alone, which needs no namespace."""
    add_parents(daemon)
    return NewMdevctl(new_mdevctl_base, daemon)


def available(tool, parent=STORE, kind=STORE_TYPE) -> int:
    """available_instances as mdevctl reads it."""
    (found,) = json.loads(tool.ok("types", "-p", parent, "--dumpjson"))
    types = {name: value for entry in found[parent] for name, value in entry.items()}
    return types[kind]["available_instances"]


def values(tool, ident: str) -> dict:
    """The attributes of an active mdev as the daemon has them."""
    return {name: value for attr in tool.daemon.mdev(ident)["attrs"] for name, value in attr.items()}


def fails(tool, *arguments, says: str) -> None:
    """It must fail as mdevctl does: status 1 and the reason."""
    result = tool.run(*arguments)
    assert (result.rc, result.out) == (1, ""), result
    assert says in result.err, result


def test_types(tool):
    (found,) = json.loads(tool.ok("types", "--dumpjson"))
    assert list(found) == [CARD, PLAIN, STORE]
    store = found[STORE]
    assert [list(entry)[0] for entry in store] == ["nvme-16m", "nvme-32m", "nvme-rest"]
    assert store[0]["nvme-16m"] == {"available_instances": 4, "device_api": "vfio-pci", "name": "umdev NVMe 16 MiB",
                                    "description": "NVMe drive of 16 MiB, 512-byte blocks"}
    assert tool.ok("types").rstrip("\n") == tool.daemon.ok("types").rstrip("\n")


def test_start_and_stop(tool):
    """A transient mdev: there when start returns, its pool is smaller, gone when stop returns."""
    assert tool.ok("list").strip() == ""
    assert tool.ok("start", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE) == ""
    assert tool.daemon.mdev(FIRST)["parent"] == STORE
    assert tool.ok("list").strip() == f"{FIRST} {STORE} {STORE_TYPE} manual"
    assert available(tool) == 3
    fails(tool, "start", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE, says="already exists")
    fails(tool, "start", "-u", FIRST, "-p", CARD, "-t", STORE_TYPE, says="exists under different parent")
    assert tool.ok("stop", "-u", FIRST) == ""
    assert tool.daemon.mdev(FIRST) is None and available(tool) == 4


def test_start_makes_a_uuid(tool):
    ident = tool.ok("start", "-p", CARD, "-t", "nvme-32m").strip()
    assert re.fullmatch(r"[0-9a-f-]{36}", ident)
    assert tool.daemon.mdev(ident)["type"] == "nvme-32m"
    assert tool.ok("list", "-u", ident).strip() == f"{ident} {CARD} nvme-32m manual"


def test_start_refused(tool):
    fails(tool, "start", "-u", FIRST, "-p", "nothing", "-t", STORE_TYPE, says="nothing")
    fails(tool, "start", "-u", FIRST, "-p", STORE, "-t", "nvme-1t", says="nvme-1t")
    for ident in (SECOND, THIRD):
        tool.ok("start", "-u", ident, "-p", STORE, "-t", "nvme-32m")
    fails(tool, "start", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE,
          says=f"No available instances of {STORE_TYPE} on {STORE}")
    assert tool.daemon.mdev(FIRST) is None


def test_defined_with_attributes(tool):
    """Attributes of the driver and of umdev arrive in their order, when it starts."""
    tool.ok("define", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE)
    tool.ok("modify", "-u", FIRST, "--addattr", "nvme/serial", "--value", "FROM-MDEVCTL")
    tool.ok("modify", "-u", FIRST, "--addattr", "mdev/weight", "--value", "250")
    tool.ok("modify", "-u", FIRST, "--addattr", "nvme/queues", "--value", "2")
    assert tool.ok("list", "-d").strip() == f"{FIRST} {STORE} {STORE_TYPE} manual"
    tool.ok("start", "-u", FIRST)
    found = values(tool, FIRST)
    assert (found["nvme/serial"], found["mdev/weight"], found["nvme/queues"]) == ("FROM-MDEVCTL", "250", "2")
    assert tool.ok("list").strip() == f"{FIRST} {STORE} {STORE_TYPE} manual (defined)"
    assert tool.ok("list", "-d").strip() == f"{FIRST} {STORE} {STORE_TYPE} manual (active)"
    tool.ok("stop", "-u", FIRST)
    tool.ok("modify", "-u", FIRST, "--delattr", "-i", "1")
    tool.ok("start", "-u", FIRST)
    assert values(tool, FIRST).get("mdev/weight", "100") == "100"
    tool.ok("undefine", "-u", FIRST)
    assert tool.daemon.mdev(FIRST), "undefine does not touch what runs"
    assert tool.ok("list", "-d").strip() == ""
    tool.ok("stop", "-u", FIRST)


BAD_ATTRIBUTES = [("nvme/interrupts", "smoke", "Invalid argument"), ("mdev/weight", "0", "Invalid argument"),
                  ("nvme/nothing", "1", "Invalid attribute"), ("mdev/in_use", "1", "Permission denied")]


@pytest.mark.parametrize("name, value, says", BAD_ATTRIBUTES, ids=[row[0] for row in BAD_ATTRIBUTES])
def test_failing_attribute_is_rolled_back(tool, name, value, says):
    """mdevctl removes what it created when an attribute is refused: nothing stays, the instance is free again."""
    content = {"mdev_type": STORE_TYPE, "start": "manual", "attrs": [{"nvme/queues": "2"}, {name: value}]}
    since = tool.daemon.next_event()
    result = tool.run("start", "-u", FIRST, "-p", STORE, "--jsonfile", "/dev/stdin", stdin=json.dumps(content))
    assert result.rc == 1 and says in result.err, result
    kinds = [event["event"] for event in tool.daemon.events(FIRST, since)]
    assert (kinds[0], kinds[-1]) == ("mdev.started", "mdev.stopped"), kinds
    gone_without_trace(tool)


@pytest.mark.parametrize("name, value, _", BAD_ATTRIBUTES, ids=[row[0] for row in BAD_ATTRIBUTES])
def test_failing_attribute_of_a_definition(tool, name, value, _):
    """The daemon knows the definition: the device does not begin to exist, and mdevctl says so."""
    tool.ok("define", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE)
    tool.ok("modify", "-u", FIRST, "--addattr", "nvme/queues", "--value", "2")
    tool.ok("modify", "-u", FIRST, "--addattr", name, "--value", value)
    fails(tool, "start", "-u", FIRST, says="Invalid argument")
    gone_without_trace(tool)
    assert tool.ok("list", "-d").strip() == f"{FIRST} {STORE} {STORE_TYPE} manual"


def gone_without_trace(tool) -> None:
    """Nothing of FIRST is active, and its instance is free."""
    assert tool.daemon.mdev(FIRST) is None
    assert tool.ok("list").strip() == ""
    assert available(tool) == 4
    assert not tool.daemon.socket_path(FIRST).exists()


def test_autostart(tool):
    """What udev has mdevctl do when a parent appears."""
    for ident, kind in ((FIRST, "--auto"), (SECOND, "--manual"), (THIRD, "--auto")):
        tool.ok("define", "-u", ident, "-p", STORE, "-t", STORE_TYPE)
        tool.ok("modify", "-u", ident, kind)
    tool.ok("start-parent-mdevs", STORE)
    assert tool.daemon.mdev(FIRST) and tool.daemon.mdev(THIRD) and not tool.daemon.mdev(SECOND)
    tool.ok("start-parent-mdevs", CARD)
    assert available(tool, CARD) == 4


def test_json_definition(tool):
    """As libvirt defines: compact JSON on standard input, options with =."""
    content = {"mdev_type": STORE_TYPE, "start": "manual", "attrs": [{"mdev/priority": "3"}]}
    tool.ok("define", f"--uuid={FIRST}", f"--parent={CARD}", "--jsonfile=/dev/stdin", stdin=json.dumps(content))
    tool.ok("start", "-u", FIRST)
    assert values(tool, FIRST)["mdev/priority"] == "3"
    found = json.loads(tool.ok("list", "-d", "-u", FIRST, "--dumpjson"))
    assert found == content


def test_stop_of_a_busy_mdev(tool):
    """A connected client keeps its device: mdevctl says so and nothing is lost."""
    tool.ok("start", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE)
    with Client(tool.daemon.socket_path(FIRST)) as client:
        client.like_qemu()
        result = tool.run("stop", "-u", FIRST)
        assert result.rc == 1 and "busy" in result.err, result
        assert tool.daemon.mdev(FIRST)
    tool.ok("stop", "-u", FIRST)


CALLOUT = """#!/usr/bin/python3
# Tells mdevctl the attributes of an active device, which it does not read from the tree.
import json, subprocess, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if (options["-e"], options["-a"]) == ("get", "attributes"):
    command = ["{umdevctl}", "--root", "{root}", "list", "-u", options["-u"], "--dumpjson"]
    print(json.dumps(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["attrs"]))
"""


def add_callout(tool) -> None:
    """A script that mdevctl asks about active devices."""
    path = tool.root / "usr/lib/mdevctl/scripts.d/callouts/10-umdev"
    # Written by another process: one of ours that is being started could hold it open for writing.
    subprocess.run(["sh", "-c", 'cat >"$1" && chmod 755 "$1"', "sh", path], check=True, text=True,
                   input=CALLOUT.format(umdevctl=program("umdevctl", tool.daemon.bindir), root=tool.daemon.root))


def populate(daemon, with_attributes: bool) -> list:
    """Parents with types, what is active, what is defined and what is both; the UUIDs."""
    idents = sorted(new_uuid() for _ in range(7))
    for ident, parent, kind, more in (
            (idents[0], STORE, STORE_TYPE, ["--attr", "nvme/serial=a \"quoted\" \\ text", "--attr",
                                              "nvme/model=Modèle"]),
            (idents[1], STORE, STORE_TYPE, ["--auto"] + (SET if with_attributes else [])),
            (idents[2], CARD, "nvme-32m", []),
            (idents[3], PLAIN, "null-basic", ["--auto"]),
            (idents[4], CARD, STORE_TYPE, [])):
        daemon.ok("define", "-u", ident, "-p", parent, "-t", kind, *more)
    daemon.ok("start", "-u", idents[1])
    daemon.ok("start", "-u", idents[4])
    daemon.ok("start", "-u", idents[5], "-p", STORE, "-t", STORE_TYPE)
    daemon.ok("start", "-u", idents[6], "-p", PLAIN, "-t", "null-basic")
    return idents


SET = ["--attr", "mdev/weight=200", "--attr", "nvme/queues=4"]
LISTINGS = [
    ["types"], ["types", "--dumpjson"], ["types", "-p", CARD], ["types", "-p", STORE, "--dumpjson"],
    ["list"], ["list", "--dumpjson"], ["list", "-d"], ["list", "--defined", "--dumpjson"],
    ["list", "-d", "-v"], ["list", "-p", STORE], ["list", "-p", CARD, "-d", "--dumpjson"],
    ["list", "-p", "nothing"], ["list", "-p", "nothing", "--dumpjson"],
    ["list", "-u", FIRST], ["list", "-u", FIRST, "--dumpjson"], ["list", "-d", "-u", FIRST, "--dumpjson"],
]


# Where umdevctl says more or complains, called by its own name.
STRICT = [["types", "-p", "nothing"], ["types", "-p", "nothing", "--dumpjson"], ["list", "-v"],
          ["list", "-v", "-p", STORE], ["list", "-v", "-u", FIRST]]


def compare(tool, listings, ours) -> None:
    """All of the listings are the same, and so are the exit codes."""
    different = []
    for arguments in listings:
        mine, theirs = ours(*arguments), tool.run(*arguments)
        if mine[:2] != theirs[:2]:
            different.append(f"{' '.join(arguments)}: umdevctl {mine!r}, mdevctl {theirs!r}")
    assert not different, "\n".join(different)


@pytest.mark.parametrize("with_attributes", [False, True])
def test_umdevctl_prints_the_same(new_tool, with_attributes):
    """Every listing equals mdevctl's byte for byte, on a tree with something of everything.

    mdevctl knows attributes of what is active from a callout only; umdevctl needs none.
    """
    idents = populate(new_tool.daemon, with_attributes)
    if with_attributes:
        add_callout(new_tool)
    listings = list(LISTINGS)
    for ident in idents:
        listings += [["list", "-u", ident], ["list", "-u", ident, "--dumpjson"], ["list", "-d", "-u", ident],
                     ["list", "-d", "-v", "-u", ident], ["list", "-d", "-u", ident, "--dumpjson"]]
    compare(new_tool, listings, new_tool.daemon.ctl)


@pytest.mark.parametrize("with_attributes", [False, True])
def test_umdevctl_called_mdevctl_prints_the_same(new_tool, with_attributes):
    """Under mdevctl's name, also where umdevctl has more to say."""
    daemon = new_tool.daemon
    idents = populate(daemon, with_attributes)
    if with_attributes:
        add_callout(new_tool)
    name = daemon.directory / "mdevctl"
    name.symlink_to(program("umdevctl", daemon.bindir))

    def ours(*arguments):
        done = subprocess.run(as_user(daemon.uid) + [name, *arguments], capture_output=True, text=True, check=False,
                              cwd="/", env={"UMDEV_ROOT": str(daemon.root), "LC_ALL": "C.UTF-8"}, timeout=30)
        return done.returncode, done.stdout, done.stderr

    compare(new_tool, LISTINGS + STRICT + [["list", "-v", "-u", ident] for ident in idents], ours)


def test_umdevctl_prints_the_same_of_nothing(daemon, new_mdevctl_base):
    """Without parents, too."""
    tool = NewMdevctl(new_mdevctl_base, daemon)
    for arguments in (["types"], ["types", "--dumpjson"], ["list"], ["list", "--dumpjson"], ["list", "-d"],
                      ["list", "-d", "--dumpjson"]):
        assert daemon.ctl(*arguments)[:2] == tool.run(*arguments)[:2], arguments


def test_alias(new_tool):
    """lsmdev is mdevctl list."""
    new_tool.ok("start", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE)
    assert new_tool.run(name="lsmdev").out == new_tool.daemon.ok("list")
