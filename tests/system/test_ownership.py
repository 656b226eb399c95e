# SPDX-License-Identifier: BSD-3-Clause
"""Whose an mdev is: two users and root, by umdevctl, the RPC, the tree and mdevctl.

Users other than the daemon's reach the control socket by its group; here its mode is widened instead.
"""

import json
import os

import pytest

from conftest import add_store
from umdevtest.daemon import NOBODY, RpcError, new_uuid
from umdevtest.hands import Hands
from umdevtest.mdevctl import HostMdevctl, NewMdevctl
from umdevtest.tree import STORE, STORE_TYPE, add_parents, tree_of
from umdevtest.vfiouser import Client

CREATOR, STRANGER = 31001, 31002  # users without a name

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


def open_to_all(daemon) -> None:
    """Lets every user talk to the daemon."""
    daemon.directory.chmod(0o755)
    for path in (daemon.root, daemon.root / "run", daemon.root / "run/umdev"):
        path.chmod(0o755)
    daemon.control_socket.chmod(0o666)


@pytest.fixture(name="shared")
def fixture_shared(store):
    """A daemon with an nvme parent that several users talk to; as root and as nobody."""
    open_to_all(store)
    return store


def call_as(daemon, uid: int, method: str, **params):
    """One call by a user."""
    connection = daemon.connect(uid)
    try:
        return connection.call(method, **params)
    finally:
        connection.close()


def refused_as(daemon, uid: int, method: str, **params) -> str:
    """A call that another user may not make; its message."""
    with pytest.raises(RpcError) as info:
        call_as(daemon, uid, method, **params)
    assert (info.value.word, info.value.errno) == ("NOT_PERMITTED", 1), info.value
    return info.value.message


def look(daemon, ident: str) -> tuple:
    """All that one may want to change of an mdev."""
    found = daemon.rpc("mdev.list", uuid=ident, all=True, statistics=False)["mdevs"]
    return found, daemon.files()


def forced(daemon, since: int) -> list:
    """The events that tell of force."""
    return [event for event in daemon.events(since=since) if event["event"] == "mdev.forced"]


# Verbs of umdevctl on an mdev, and whether it is active before.
VERBS = [(False, ["start", "-u"]), (True, ["stop", "-u"]), (False, ["undefine", "-u"]),
         (False, ["modify", "--auto", "-u"]), (False, ["modify", "--addattr", "mdev/weight", "--value", "5", "-u"]),
         (True, ["qos", "--weight", "7"]), (False, ["qos", "--weight", "7", "--defined"])]


@pytest.mark.parametrize("active, verb", VERBS, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_umdevctl(shared, active, verb):
    """The creator may, a stranger may not, root may with --force, and that is told."""
    ident = new_uuid()
    shared.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m", "--owner", "vm seven", uid=CREATOR)
    if active:
        shared.ok("start", "-u", ident, uid=CREATOR)
    before, since = look(shared, ident), shared.next_event()
    for uid, options, says in ((STRANGER, [], "root with --force"), (STRANGER, ["--force"], "only that user"),
                               (shared.uid, [], "or use --force"), (0, [], "or use --force")):
        result = shared.ctl(*verb, ident, *options, uid=uid)
        assert (result.rc, result.out) == (1, "") and result.err.count("\n") == 1, result
        assert f"mdev {ident} belongs to user {CREATOR} ('vm seven'): " in result.err and says in result.err
    assert look(shared, ident) == before and not forced(shared, since)
    shared.ok(*verb, ident, "--force", uid=shared.uid)
    (event,) = forced(shared, since)
    assert (event["level"], event["uuid"], event["uid"]) == ("warning", ident, shared.uid)
    assert event["pid"] > 1 and f"mdev.{verb[0]} by user" in event["message"]
    assert event["message"].endswith(f"it belongs to user {CREATOR} ('vm seven')")
    assert event["message"] in shared.log()
    assert look(shared, ident) != before


def test_set_and_live_modify(shared):
    """What has no verb of its own, or several forms."""
    ident = new_uuid()
    call_as(shared, CREATOR, "mdev.start", uuid=ident, parent="store", type="nvme-16m")
    live = {"live": True, "definition": {"mdev_type": "nvme-16m", "start": "manual", "attrs": [{"mdev/weight": "9"}]}}
    changes = [("mdev.set", {"name": "mdev/weight", "value": "7"}), ("mdev.modify", live),
               ("mdev.set", {"name": "nvme/queues", "value": "3"})]
    for method, params in changes:
        before = look(shared, ident)
        for uid, force in ((STRANGER, False), (STRANGER, True), (shared.uid, False), (0, False)):
            refused_as(shared, uid, method, uuid=ident, force=force, **params)
        assert look(shared, ident) == before
        call_as(shared, shared.uid, method, uuid=ident, force=True, **params)
        assert look(shared, ident) != before
    assert shared.mdev(ident)["uid"] == CREATOR
    shared.ok("stop", "-u", ident, uid=CREATOR)


def test_names_are_told(make_daemon):
    """A user who has a name is called by it."""
    daemon = make_daemon(0)
    daemon.start()
    open_to_all(daemon)
    add_store(daemon)
    ident = new_uuid()
    call_as(daemon, NOBODY, "mdev.start", uuid=ident, parent="store", type="nvme-16m")
    assert f"mdev {ident} belongs to user nobody ({NOBODY}): " in refused_as(daemon, 0, "mdev.stop", uuid=ident)
    since = daemon.next_event()
    call_as(daemon, 0, "mdev.stop", uuid=ident, force=True)
    (event,) = forced(daemon, since)
    assert event["message"] == (f"mdev.stop by user root (0), process {os.getpid()}, with --force: it belongs to "
                                f"user nobody ({NOBODY})")


def test_in_use_and_of_another(shared):
    """--force stands for both: who uses it, and whose it is."""
    ident = new_uuid()
    call_as(shared, CREATOR, "mdev.start", uuid=ident, parent="store", type="nvme-16m")
    shared.socket_path(ident).parent.chmod(0o755)
    client = Client(shared.socket_path(ident))
    client.like_qemu()
    assert "in use" in shared.ctl("stop", "-u", ident, uid=CREATOR).err
    assert "belongs to" in shared.ctl("stop", "-u", ident, uid=0).err
    shared.ok("stop", "-u", ident, "--force", uid=0)
    assert shared.mdev(ident) is None
    client.close()


def test_a_uuid_is_not_taken_over(shared):
    """Defining or starting another's UUID under another parent is refused, too."""
    add_store(shared, name="second")
    ident = new_uuid()
    call_as(shared, CREATOR, "mdev.define", uuid=ident, parent="store", type="nvme-16m")
    for method in ("mdev.define", "mdev.start"):
        refused_as(shared, STRANGER, method, uuid=ident, parent="second", type="nvme-16m")
        refused_as(shared, shared.uid, method, uuid=ident, parent="second", type="nvme-16m")
    assert [row["parent"] for row in shared.rpc("mdev.list", uuid=ident, defined=True)["mdevs"]] == ["store"]


def test_parent_removed(shared):
    """Nobody takes a parent from under others; root does with --force, and each is told of."""
    mine, other = new_uuid(), new_uuid()
    call_as(shared, shared.uid, "mdev.start", uuid=mine, parent="store", type="nvme-16m")
    call_as(shared, CREATOR, "mdev.start", uuid=other, parent="store", type="nvme-16m")
    since = shared.next_event()
    refused_as(shared, STRANGER, "parent.remove", name="store", force=True)
    assert shared.ctl("parent", "remove", "store").rc == 1
    assert {row["uuid"] for row in shared.rpc("mdev.list")["mdevs"]} == {mine, other}
    shared.ok("parent", "remove", "store", "--force")
    assert [event["uuid"] for event in forced(shared, since)] == [other]
    assert shared.rpc("mdev.list")["mdevs"] == []


def test_the_daemon_itself(shared):
    """What starts by itself does so whosever it is; so does all when the daemon ends."""
    ident = new_uuid()
    call_as(shared, CREATOR, "mdev.define", uuid=ident, parent="store", type="nvme-16m", start="auto")
    call_as(shared, CREATOR, "mdev.start", uuid=ident)
    shared.restart()
    assert shared.mdev(ident)["state"] == "active" and shared.mdev(ident)["uid"] == CREATOR
    assert not forced(shared, 0)


# ---- the tree, and what stands on it


@pytest.fixture(params=["root", "nobody"], name="treed")
def fixture_treed(request, make_daemon):
    """A daemon with three parents and a tree, open to all."""
    daemon = make_daemon(NOBODY if request.param == "nobody" else 0)
    daemon.start()
    add_parents(daemon)
    open_to_all(daemon)
    return daemon


def write(daemon, path: str, text: str) -> str:
    """Writes a file of the tree as the daemon's user: '' or the name of the errno."""
    with Hands(daemon.uid) as hands:
        return hands.errno("put", str(tree_of(daemon) / path), text)


def test_tree(treed):
    """The tree knows no force: whoever may write it is refused on what another user made."""
    ident = new_uuid()
    place = f"sys/bus/mdev/devices/{ident}"
    call_as(treed, CREATOR, "mdev.define", uuid=ident, parent=STORE, type=STORE_TYPE)
    create = f"sys/class/mdev_bus/{STORE}/mdev_supported_types/{STORE_TYPE}/create"
    assert write(treed, create, ident) == "EPERM"
    assert treed.mdev(ident) is None
    call_as(treed, CREATOR, "mdev.start", uuid=ident)
    before = look(treed, ident)
    for name, text in (("remove", "1"), ("mdev/weight", "7"), ("nvme/queues", "3"), ("mdev/socket_mode", "0666")):
        assert write(treed, f"{place}/{name}", text) == "EPERM", name
    assert look(treed, ident) == before
    call_as(treed, CREATOR, "mdev.stop", uuid=ident)
    call_as(treed, CREATOR, "mdev.undefine", uuid=ident)
    # What was made through the tree belongs to the daemon's user.
    assert write(treed, create, ident) == ""
    assert treed.mdev(ident)["uid"] == treed.uid
    refused_as(treed, CREATOR, "mdev.stop", uuid=ident)
    assert write(treed, f"{place}/remove", "1") == ""


@pytest.fixture(params=["host", "new"], name="tool")
def fixture_tool(request, user, make_scene, make_daemon, new_mdevctl_base):
    """Both mdevctls, on a daemon that is open to all."""
    if request.param == "host":
        scene = make_scene(user)
        open_to_all(scene.daemon)
        return HostMdevctl(scene)
    daemon = make_daemon(user)
    daemon.start()
    add_parents(daemon)
    open_to_all(daemon)
    return NewMdevctl(new_mdevctl_base, daemon)


def test_mdevctl(tool):
    """mdevctl as root, which cleans up: neither starts, changes nor stops what another user made."""
    daemon, ident = tool.daemon, new_uuid()
    call_as(daemon, CREATOR, "mdev.define", uuid=ident, parent=STORE, type=STORE_TYPE, owner="vm seven")
    assert tool.run("start", "-u", ident).rc != 0 and daemon.mdev(ident) is None
    call_as(daemon, CREATOR, "mdev.start", uuid=ident)
    before, uid = look(daemon, ident), daemon.mdev(ident)["uid"]  # in a user namespace, others have no number
    assert uid != (daemon.uid if isinstance(tool, NewMdevctl) else 0)
    assert tool.run("stop", "-u", ident).rc != 0
    live = json.dumps({"mdev_type": STORE_TYPE, "start": "manual", "attrs": [{"mdev/weight": "9"}]})
    assert tool.run("modify", "-u", ident, "--live", "--jsonfile", "/dev/stdin", stdin=live).rc != 0
    assert look(daemon, ident) == before
    # What it writes into the definition does not make it its own.
    tool.ok("modify", "-u", ident, "--addattr", "mdev/weight", "--value", "9")
    call_as(daemon, CREATOR, "mdev.modify", uuid=ident, start="auto")
    assert json.loads(daemon.definition(STORE, ident).read_text()) == {
        "mdev_type": STORE_TYPE, "start": "auto", "attrs": [{"mdev/weight": "9"}], "owner": "vm seven", "uid": uid,
        "type_name": "umdev NVMe 16 MiB"}
    call_as(daemon, CREATOR, "mdev.stop", uuid=ident)
    call_as(daemon, CREATOR, "mdev.undefine", uuid=ident)
