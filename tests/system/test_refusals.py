# SPDX-License-Identifier: BSD-3-Clause
"""What bad input gets: one clear error, nothing half-made, exit code 1, or 2 for wrong usage."""

import fcntl
import json
import os

import pytest

from lib_system import fails, picture, refused
from umdevtest.daemon import NOBODY, RpcError, new_uuid
from umdevtest.vfiouser import Client

# ---- parents


def test_unknown_driver(daemon):
    fails(daemon, "parent", "add", "p", "--driver", "nosuch", says=["nosuch", "null", "nvme"])
    assert refused(daemon, "UNKNOWN_DRIVER", "parent.add", name="p", driver="nosuch").errno == 2
    refused(daemon, "NOT_FOUND", "parent.list", name="p")


@pytest.mark.parametrize("driver", ["../null", "/etc/passwd", "null/../null", "NULL", "n" * 200, "null\n", ".", ""])
def test_driver_that_is_no_name(daemon, driver):
    assert daemon.ctl("parent", "add", "p", "--driver", driver).rc in (1, 2)
    assert daemon.rpc("parent.list")["parents"] == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a b", "a\nb", "x" * 300, "-x", "é", ".hidden"])
def test_parent_name(daemon, name):
    assert refused(daemon, "INVALID", "parent.add", name=name, driver="null").key == "name"
    assert daemon.files() == {}
    assert not [path for path in daemon.directory.rglob("*.json")]


def test_unknown_option(daemon):
    fails(daemon, "parent", "add", "p", "--driver", "nvme", "--option", "ram=16M", "--option", "colour=red",
          says=["colour", "path", "ram"])
    error = refused(daemon, "INVALID", "parent.add", name="p", driver="nvme", options={"ram": "16M", "colour": "red"})
    assert error.key == "colour"
    fails(daemon, "parent", "add", "p", "--driver", "null", "--option", "colour=red", says="colour")


@pytest.mark.parametrize("options, key", [
    ({"ram": "much"}, "ram"), ({"ram": "-1"}, "ram"), ({"ram": ""}, "ram"), ({"ram": "1"}, "ram"),
    ({"ram": "16X"}, "ram"),
    ({"ram": "99999999999999999999"}, "ram"), ({"ram": "16M", "block_size": "513"}, "block_size"),
    ({"ram": "16M", "parallelism": "4097"}, "parallelism"), ({"ram": "16M", "io": "slow"}, "io"),
    ({"ram": "16M", "types": "x" * 401}, "types"),
], ids=str)
def test_option_value(daemon, options, key):
    assert refused(daemon, "INVALID", "parent.add", name="p", driver="nvme", options=options).key == key
    assert daemon.files() == {}


@pytest.mark.parametrize("options, says", [
    ({}, ["path", "ram"]), ({"ram": "16M", "path": "%s/x.img", "size": "16M"}, ["path", "ram"]),
    ({"ram": "16M", "types": "1x"}, ["types", "1x"]), ({"ram": "16M", "types": ""}, ["types"]),
    ({"ram": "16M", "types": "4m,4m"}, ["types", "4m"]), ({"ram": "16M", "types": "rest,rest"}, ["rest"]),
    ({"ram": "16M", "types": ",".join(f"{n}m" for n in range(1, 40))}, ["types"]),
], ids=str)
def test_options_that_do_not_go_together(daemon, options, says):
    arguments = [word for name, value in options.items()
                 for word in ("--option", f"{name}={value.replace('%s', str(daemon.directory))}")]
    fails(daemon, "parent", "add", "p", "--driver", "nvme", *arguments, says=says)
    assert not list(daemon.directory.glob("*.img"))


def test_parent_exists(store):
    fails(store, "parent", "add", "store", "--driver", "null", says="store")
    refused(store, "EXISTS", "parent.add", name="store", driver="null")


def nvme(daemon, path, *options):
    """Arguments that add an nvme parent on a path."""
    words = [word for option in options for word in ("--option", option)]
    return ["parent", "add", "other", "--driver", "nvme", "--option", f"path={path}", *words]


def test_parent_file_is_missing(daemon):
    path = daemon.directory / "missing.img"
    fails(daemon, *nvme(daemon, path), says=[str(path), "size"])
    assert not path.exists()
    refused(daemon, "NOT_FOUND", "parent.add", name="p", driver="nvme", options={"path": str(path)})
    fails(daemon, *nvme(daemon, "/nonexistent/dir/file", "size=16M"), says="/nonexistent/dir/file")


@pytest.mark.parametrize("path", ["relative.img", ""])
def test_parent_file_is_no_absolute_path(daemon, path):
    fails(daemon, *nvme(daemon, path, "size=16M"), says="path")


def make_file(daemon, name, size, mode=0o644):
    """A file of the daemon's user."""
    path = daemon.directory / name
    path.write_bytes(b"")
    os.truncate(path, size)
    path.chmod(mode)
    os.chown(path, daemon.uid, daemon.uid)
    return path


@pytest.mark.parametrize("size", [0, 1, 511, (1 << 20) - 1])
def test_parent_file_is_too_small(daemon, size):
    path = make_file(daemon, "small.img", size)
    fails(daemon, *nvme(daemon, path), says=[str(path)])
    assert path.stat().st_size == size


def test_parent_file_of_another_size(daemon):
    """`size` makes a file; one that is there is not changed by it."""
    path = make_file(daemon, "there.img", 32 << 20)
    result = daemon.ctl(*nvme(daemon, path, "size=64M"))
    assert path.stat().st_size == 32 << 20
    if result.rc == 0:
        assert daemon.parent("other")["pool"]["units"] == 32 << 20


@pytest.mark.parametrize("exclusive", [True, False])
def test_parent_file_is_locked(daemon, exclusive):
    path = make_file(daemon, "locked.img", 16 << 20)
    with path.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        fails(daemon, *nvme(daemon, path), says=[str(path), "locked"])
        refused(daemon, "LOCKED", "parent.add", name="p", driver="nvme", options={"path": str(path)})
    daemon.ok(*nvme(daemon, path))


def test_two_parents_on_one_file(store):
    path = store.directory / "store.img"
    fails(store, *nvme(store, path), says=[str(path)])
    link = store.directory / "link.img"
    link.symlink_to(path)
    fails(store, *nvme(store, link), says="link.img")
    hard = store.directory / "hard.img"
    hard.hardlink_to(path)
    os.chown(hard, store.uid, store.uid)
    fails(store, *nvme(store, hard), says="hard.img")


def test_file_of_another_daemon(store, make_daemon, user):
    other = make_daemon(user)
    other.start()
    path = store.directory / "store.img"
    store.directory.chmod(0o755)
    fails(other, *nvme(other, path), says=[str(path), "locked"])


def test_parent_file_is_read_only(make_daemon):
    """Root may write to every file, so the daemon is somebody else's."""
    daemon = make_daemon(NOBODY if os.geteuid() == 0 else None)
    daemon.start()
    path = make_file(daemon, "ro.img", 16 << 20, 0o444)
    fails(daemon, *nvme(daemon, path), says=str(path))
    error = refused(daemon, "READ_ONLY", "parent.add", name="p", driver="nvme", options={"path": str(path)})
    assert str(path) in error.message
    path.chmod(0o644)
    daemon.ok(*nvme(daemon, path))


def test_parent_file_on_a_read_only_filesystem(daemon):
    """Also for root: /proc and /sys hold files that nobody can write."""
    fails(daemon, *nvme(daemon, "/proc/version"), says="/proc/version")


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "/dev/null", "/dev/zero", "dangling link", "loop"])
def test_parent_file_is_no_file(daemon, kind):
    path = daemon.directory / "odd"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
        os.chown(path, daemon.uid, daemon.uid)
    elif kind == "socket":
        path = daemon.control_socket
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to("odd")
    else:
        path = kind
    fails(daemon, *nvme(daemon, path), says=str(path))


def test_no_room_for_the_file(daemon):
    """A size that the file system does not take; no file is left behind."""
    path = daemon.directory / "huge.img"
    fails(daemon, *nvme(daemon, path, "size=9000000T"))
    assert not path.exists()


def test_failed_add_leaves_no_file(daemon):
    """The file was made before the driver said no."""
    path = daemon.directory / "new.img"
    fails(daemon, *nvme(daemon, path, "size=16M", "types=bad"), says="bad")
    assert not path.exists()


@pytest.mark.parametrize("name", ["nosuch", "store/x", ""])
def test_unknown_parent(store, name):
    assert store.ctl("parent", "remove", name).rc in (1, 2)
    before = picture(store)
    for method, params in (("parent.remove", {"name": name}), ("parent.list", {"name": name}),
                           ("mdev.start", {"parent": name, "type": "nvme-16m"}), ("type.list", {"parent": name})):
        word = refused_word(store, method, params)
        assert word in ("NOT_FOUND", "NO_PARENT", "INVALID"), (method, word)
    assert picture(store) == before


def refused_word(daemon, method, params):
    """The word of the refusal, or None when it is none."""
    try:
        daemon.rpc(method, **params)
    except RpcError as error:
        return error.word
    return None


def test_parent_in_use_is_not_removed(store):
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    fails(store, "parent", "remove", "store", says="store")
    refused(store, "DEVICE_BUSY", "parent.remove", name="store")
    with Client(store.socket_path(ident)) as client:
        client.like_qemu()
        fails(store, "parent", "remove", "store", says="store")
        assert client.info()[0] & 2
        store.ok("parent", "remove", "store", "--force")
        assert client.closed_by_server()
    assert store.rpc("parent.list")["parents"] == []
    assert store.rpc("mdev.list")["mdevs"] == []


# ---- mdevs


BAD_UUIDS = ["", "x", "12345678-1234-1234-1234-12345678901", "12345678-1234-1234-1234-1234567890123",
             "12345678_1234_1234_1234_123456789012", "g2345678-1234-1234-1234-123456789012",
             "../../../../../../../../../../../etc", "12345678-1234-1234-1234-12345678901\n"]


@pytest.mark.parametrize("ident", BAD_UUIDS, ids=repr)
def test_malformed_uuid(store, ident):
    for words in (("define", "-u", ident, "-p", "store", "-t", "nvme-16m"), ("start", "-u", ident),
                  ("stop", "-u", ident), ("undefine", "-u", ident), ("modify", "-u", ident, "--auto"),
                  ("list", "-u", ident)):
        result = store.ctl(*words)
        assert result.rc in (1, 2) and result.err.count("\n") == 1 and result.out == "", result
    for method, params in (("mdev.define", {"parent": "store", "type": "nvme-16m"}), ("mdev.undefine", {}),
                           ("mdev.start", {"parent": "store", "type": "nvme-16m"}), ("mdev.stop", {}),
                           ("mdev.modify", {"start": "auto"})):
        error = refused(store, "INVALID", method, uuid=ident, **params)
        assert error.key == "uuid", method
    assert store.rpc("mdev.list", all=True)["mdevs"] == []


def test_duplicate_definition(store):
    ident = new_uuid()
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    fails(store, "define", "-u", ident, "-p", "store", "-t", "nvme-32m", says=ident)
    fails(store, "define", "-u", ident.upper(), "-p", "store", "-t", "nvme-32m", says=ident)
    refused(store, "EXISTS", "mdev.define", uuid=ident, parent="store", type="nvme-32m")


def test_start_of_what_is_active(store):
    ident = new_uuid()
    store.ok("start", "-u", ident, "-p", "store", "-t", "nvme-16m")
    fails(store, "start", "-u", ident, "-p", "store", "-t", "nvme-16m", says=ident)
    fails(store, "start", "-u", ident.upper(), "-p", "store", "-t", "nvme-32m", says=ident)
    refused(store, "EXISTS", "mdev.start", uuid=ident, parent="store", type="nvme-16m")


def test_unknown_type(store):
    ident = new_uuid()
    for kind in ("nvme-17m", "16m", "null-basic", "nvme-", "", "../x", "NVME-16M"):
        fails(store, "start", "-u", ident, "-p", "store", "-t", kind)
    error = refused(store, "UNKNOWN_TYPE", "mdev.start", uuid=ident, parent="store", type="nvme-17m")
    assert "nvme-17m" in error.message and "nvme-16m" in error.message, "the nearest types are named"
    error = refused(store, "UNKNOWN_TYPE", "mdev.start", uuid=ident, parent="store", type_name="umdev NVMe 17 MiB")
    assert "umdev NVMe 16 MiB" in error.message


def test_no_instance_left(store):
    first, second = (store.ok("start", "-p", "store", "-t", "nvme-32m").strip() for _ in range(2))
    fails(store, "start", "-p", "store", "-t", "nvme-32m", says=["nvme-32m", "store"])
    fails(store, "start", "-p", "store", "-t", "nvme-16m", says=["nvme-16m", "store"])
    fails(store, "start", "-p", "store", "-t", "nvme-rest", says=["nvme-rest", "store"])
    assert refused(store, "NO_INSTANCES", "mdev.start", parent="store", type="nvme-16m").errno == 87
    store.ok("stop", "-u", first)
    third = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    fails(store, "start", "-p", "store", "-t", "nvme-32m", says="nvme-32m")
    assert {mdev["uuid"] for mdev in store.rpc("mdev.list")["mdevs"]} == {second, third}


def test_definition_without_room_can_be_made_but_not_started(store):
    for _ in range(4):
        store.ok("start", "-p", "store", "-t", "nvme-16m")
    ident = new_uuid()
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    fails(store, "start", "-u", ident, says=["nvme-16m", "store"])


def test_definition_for_a_parent_that_is_not_there(daemon):
    ident = new_uuid()
    daemon.ok("define", "-u", ident, "-p", "later", "-t", "null-basic")
    fails(daemon, "start", "-u", ident, says="later")
    refused(daemon, "NO_PARENT", "mdev.start", uuid=ident)
    daemon.ok("parent", "add", "later", "--driver", "null")
    daemon.ok("start", "-u", ident)


@pytest.mark.parametrize("attr, says", [
    ("nvme/doorbells=maybe", "nvme/doorbells"), ("nvme/queues=0", "nvme/queues"), ("nvme/queues=65", "nvme/queues"),
    ("nvme/queues=x", "nvme/queues"), ("nvme/serial=" + "x" * 21, "nvme/serial"), ("nvme/colour=red", "nvme/colour"),
    ("colour=red", "colour"), ("null/doorbells=shared", "null/doorbells"), ("mdev/colour=red", "mdev/colour"),
    ("mdev/socket_mode=999", "mdev/socket_mode"), ("mdev/socket_mode=x", "mdev/socket_mode"),
    ("mdev/socket_user=nosuchuser", "mdev/socket_user"), ("mdev/socket_group=nosuchgroup", "mdev/socket_group"),
    ("mdev/weight=0", "mdev/weight"), ("../x=1", "../x"),
])
def test_attribute(store, attr, says):
    """Whether it is told at define or at start, it names the attribute; nothing is made."""
    ident = new_uuid()
    fails(store, "start", "-u", ident, "-p", "store", "-t", "nvme-16m", "--attr", attr, says=says)
    name, _, value = attr.partition("=")
    error = refused(store, "INVALID", "mdev.start", uuid=ident, parent="store", type="nvme-16m", attrs=[{name: value}])
    assert error.key and name.rpartition("/")[2] in error.key
    assert store.mdev(ident) is None


def test_failed_start_of_a_definition_keeps_it(store):
    """Its attribute became wrong by hand: start fails, the definition stays, the slice is free again."""
    ident = new_uuid()
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    path = store.definition("store", ident)
    content = json.loads(path.read_text())
    content["attrs"] = [{"nvme/queues": "nonsense"}]
    path.write_text(json.dumps(content))
    store.restart()
    fails(store, "start", "-u", ident, says="nvme/queues")
    for _ in range(4):
        store.ok("start", "-p", "store", "-t", "nvme-16m")


def test_nothing_to_stop(store):
    ident = new_uuid()
    fails(store, "stop", "-u", ident, says=ident)
    assert refused_word(store, "mdev.stop", {"uuid": ident}) in ("NOT_ACTIVE", "NOT_FOUND")
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    fails(store, "stop", "-u", ident, says=ident)
    refused(store, "NOT_ACTIVE", "mdev.stop", uuid=ident)


def test_nothing_to_undefine_or_modify(store):
    ident = new_uuid()
    fails(store, "undefine", "-u", ident, says=ident)
    fails(store, "modify", "-u", ident, "--auto", says=ident)
    fails(store, "start", "-u", ident, says=ident)
    refused(store, "NOT_DEFINED", "mdev.undefine", uuid=ident)
    refused(store, "NOT_DEFINED", "mdev.modify", uuid=ident, start="auto")


def test_removal_while_in_use(store):
    ident = new_uuid()
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    store.ok("start", "-u", ident)
    with Client(store.socket_path(ident)) as client:
        client.like_qemu()
        fails(store, "stop", "-u", ident, says=[ident, "in use"])
        assert refused(store, "DEVICE_BUSY", "mdev.stop", uuid=ident).errno == 16
        assert client.info()[0] & 2
        store.ok("undefine", "-u", ident)
        assert client.info()[0] & 2, "an active device is untouched by undefine"
        store.ok("stop", "-u", ident, "--force")
        assert client.closed_by_server()
    assert store.mdev(ident) is None and store.mdev(ident, defined=True) is None
    assert not store.socket_path(ident).parent.exists()


def test_force_tells_the_client_and_the_operator_why(store):
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    since = store.next_event()
    with Client(store.socket_path(ident)) as client:
        client.like_qemu()
        store.ok("stop", "-u", ident, "--force")
        assert client.closed_by_server()
    kinds = [event["event"] for event in store.events(ident, since)]
    assert "client.disconnected" in kinds and kinds[-1] == "mdev.stopped"


# ---- usage


@pytest.mark.parametrize("words", [
    [], ["nosuch"], ["parent"], ["parent", "nosuch"], ["parent", "add"], ["parent", "add", "p"],
    ["parent", "add", "p", "--driver"], ["parent", "add", "p", "q", "--driver", "null"],
    ["parent", "add", "p", "--driver", "null", "--option", "novalue"], ["parent", "remove"],
    ["start"], ["start", "--nosuch"], ["start", "-u"], ["stop"], ["undefine"],
    ["modify"], ["define"], ["define", "-p", "p", "-t", "a", "--type-name", "b"],
    ["define", "-p", "p", "--jsonfile", "x", "-t", "y"],
    ["modify", "-u", "00000000-0000-0000-0000-000000000001"], ["list", "extra"], ["types", "extra"], ["qemu-args"],
    ["modify", "-u", "00000000-0000-0000-0000-000000000001", "--auto", "--manual"],
    ["modify", "-u", "00000000-0000-0000-0000-000000000001", "--addattr", "x", "--delattr"],
    ["start", "-p", "p", "-t", "x", "--attr", "novalue"],
], ids=" ".join)
def test_usage(store, words):
    result = store.ctl(*words)
    assert result.rc == 2 and result.out == "" and result.err.strip(), result


def test_daemon_does_not_answer(make_daemon, user):
    daemon = make_daemon(user)
    result = daemon.ctl("list")
    assert result.rc == 1 and result.out == ""
    assert result.err.count("\n") == 1 and str(daemon.root) in result.err


def test_error_in_json(store):
    ident = new_uuid()
    result = store.ctl("start", "-u", ident, "--json")
    assert result.rc == 1 and result.out == ""
    error = json.loads(result.err)
    assert ident in json.dumps(error) and "NOT_DEFINED" in json.dumps(error)


# ---- who may


def test_another_user_cannot_change_it(make_daemon):
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    daemon = make_daemon(0)
    daemon.start()
    daemon.directory.chmod(0o755)
    daemon.ok("parent", "add", "p", "--driver", "null")
    ident = daemon.ok("start", "-p", "p", "-t", "null-basic").strip()
    result = daemon.ctl("stop", "-u", ident, uid=NOBODY)
    assert result.rc == 1 and result.err.count("\n") == 1
    assert daemon.mdev(ident)["active"]
    daemon.control_socket.chmod(0o666)
    result = daemon.ctl("stop", "-u", ident, uid=NOBODY)
    assert result.rc == 1 and ident in result.err, result
    assert daemon.mdev(ident)["active"]
