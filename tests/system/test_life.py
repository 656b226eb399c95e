# SPDX-License-Identifier: BSD-3-Clause
"""What survives: stop and start, a restarted daemon, a killed host, a killed daemon, half a file."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import add_store
from lib_system import fails, refused
from umdevtest import Failure, process, wait_for
from umdevtest.daemon import as_user, new_uuid, program
from umdevtest.nvme import READ, ready_drive
from umdevtest.vfiouser import Client, GuestMemory

MIB = 1 << 20


class Drive:
    """A client that reads and writes one mdev, as a context manager. Afterwards the mdev may be stopped."""

    def __init__(self, daemon, ident):
        self._daemon, self._ident = daemon, ident
        self._path = daemon.socket_path(ident)
        self._memory = GuestMemory()
        self.nvme = None

    def __enter__(self):
        self.nvme = ready_drive(self._path, self._memory, size=4 * MIB)
        return self.nvme

    def __exit__(self, kind, value, trace):
        self.nvme.client.close()
        self._memory.close()
        if kind is None and self._daemon.running:
            wait_free(self._daemon, self._ident)


def fill(daemon, ident, pattern: bytes) -> None:
    """Writes a pattern to the beginning, the middle and the end."""
    with Drive(daemon, ident) as nvme:
        blocks = nvme.namespace()[0]
        for at in (0, blocks // 2, blocks - 8):
            nvme.write(at, pattern * (4096 // len(pattern)))
        nvme.ok(1, 0, nsid=1)


def holds(daemon, ident, pattern: bytes) -> bool:
    """Whether the pattern is still there."""
    with Drive(daemon, ident) as nvme:
        blocks = nvme.namespace()[0]
        found = [nvme.read(at, 4096) for at in (0, blocks // 2, blocks - 8)]
    return all(data == pattern * (4096 // len(pattern)) for data in found)


def is_blank(daemon, ident) -> bool:
    """Whether every byte is zero."""
    with Drive(daemon, ident) as nvme:
        blocks = nvme.namespace()[0]
        for at in range(0, blocks, 2048):
            if nvme.read(at, min(2048, blocks - at) * 512).count(0) != min(2048, blocks - at) * 512:
                return False
    return True


def wait_free(daemon, ident) -> None:
    """Waits until the daemon knows that no client is there, or until the mdev is not."""
    wait_for(lambda: not (daemon.mdev(ident) or {}).get("in_use"), "the device to be free")


def define(daemon, kind="nvme-16m", *options) -> str:
    """A new definition."""
    return daemon.ok("define", "-p", "store", "-t", kind, *options).strip()


# ---- data and slices


def test_data_stay_with_a_definition(store):
    """After stop and start, after a restart of the daemon, and while others come and go."""
    ident = define(store)
    store.ok("start", "-u", ident)
    fill(store, ident, b"mine")
    wait_free(store, ident)
    store.ok("stop", "-u", ident)
    other = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    fill(store, other, b"other")
    store.ok("start", "-u", ident)
    assert holds(store, ident, b"mine")
    wait_free(store, ident)
    store.ok("stop", "-u", ident)
    store.restart()
    assert store.parent("store")["state"] == "ready"
    store.ok("start", "-u", ident)
    assert holds(store, ident, b"mine")


def test_slices_of_stopped_definitions_are_not_lent(store):
    """Four definitions that were started once own the whole pool, running or not."""
    idents = [define(store) for _ in range(4)]
    for ident in idents:
        store.ok("start", "-u", ident)
        fill(store, ident, ident[:4].encode())
        wait_free(store, ident)
        store.ok("stop", "-u", ident)
    fails(store, "start", "-p", "store", "-t", "nvme-16m", says="store")
    store.restart()
    fails(store, "start", "-p", "store", "-t", "nvme-16m", says="store")
    for ident in reversed(idents):
        store.ok("start", "-u", ident)
    for ident in idents:
        assert holds(store, ident, ident[:4].encode())


@pytest.mark.parametrize("restart", [False, True])
def test_slice_is_blank_for_its_next_owner(store, restart):
    """Never handed to another UUID without being discarded."""
    ident = define(store)
    store.ok("start", "-u", ident)
    fill(store, ident, b"secret!!")
    wait_free(store, ident)
    store.ok("stop", "-u", ident)
    store.ok("undefine", "-u", ident)
    if restart:
        store.restart()
    idents = [store.ok("start", "-p", "store", "-t", "nvme-16m").strip() for _ in range(4)]
    for other in idents:
        assert is_blank(store, other), "data of another were handed over"


def test_slice_of_a_transient_is_blank_for_the_next(store):
    for turn in range(3):
        idents = [store.ok("start", "-p", "store", "-t", "nvme-16m").strip() for _ in range(4)]
        for ident in idents:
            assert is_blank(store, ident), f"turn {turn}"
            fill(store, ident, b"secret!!")
            wait_free(store, ident)
            store.ok("stop", "-u", ident)


def test_the_same_uuid_again_is_another_owner(store):
    """Undefined and defined anew: no data of the old life."""
    ident = new_uuid()
    for _ in range(2):
        store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
        store.ok("start", "-u", ident)
        assert is_blank(store, ident)
        fill(store, ident, b"old life")
        wait_free(store, ident)
        store.ok("stop", "-u", ident)
        store.ok("undefine", "-u", ident)


def test_undefine_of_an_active_one(store):
    """It goes on as a transient one; its slice is free when it stops, not before."""
    ident = define(store, "nvme-32m")
    store.ok("start", "-u", ident)
    fill(store, ident, b"goes on!")
    store.ok("undefine", "-u", ident)
    assert holds(store, ident, b"goes on!")
    wait_free(store, ident)
    store.ok("start", "-p", "store", "-t", "nvme-32m")
    fails(store, "start", "-p", "store", "-t", "nvme-16m")
    store.ok("stop", "-u", ident)
    assert is_blank(store, store.ok("start", "-p", "store", "-t", "nvme-32m").strip())


def test_rest_takes_what_is_there(store):
    store.ok("start", "-p", "store", "-t", "nvme-16m")
    ident = store.ok("start", "-p", "store", "-t", "nvme-rest").strip()
    with Drive(store, ident) as nvme:
        assert nvme.namespace() == (48 * MIB // 512, 512)


def test_transient_data_are_gone(store):
    ident = new_uuid()
    store.ok("start", "-u", ident, "-p", "store", "-t", "nvme-16m")
    fill(store, ident, b"transient"[:8])
    wait_free(store, ident)
    store.ok("stop", "-u", ident)
    store.ok("start", "-u", ident, "-p", "store", "-t", "nvme-16m")
    assert is_blank(store, ident)


def test_data_of_ram_end_with_the_daemon(daemon):
    """Memory is no disk: it stays over stop and start, and is blank after a restart."""
    daemon.ok("parent", "add", "store", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m,rest")
    ident = define(daemon)
    daemon.ok("start", "-u", ident)
    fill(daemon, ident, b"fleeting")
    wait_free(daemon, ident)
    daemon.ok("stop", "-u", ident)
    daemon.ok("start", "-u", ident)
    assert holds(daemon, ident, b"fleeting")
    daemon.restart()
    daemon.ok("start", "-u", ident)
    assert is_blank(daemon, ident)


def test_map_and_parent_files(store):
    """The map of pieces is written before the mdev is announced."""
    ident = define(store)
    store.ok("start", "-u", ident)
    pieces = json.loads(store.files()["parents.d/store.map"])["pieces"]
    assert pieces == [{"start": 0, "size": 16 * MIB, "uuid": ident, "state": "held"}]
    parent = json.loads(store.files()["parents.d/store.json"])
    assert parent == {"driver": "nvme", "options": {"path": f"{store.directory}/store.img", "size": "64M",
                                                    "types": "16m,32m,rest"}}
    assert store.parent_file("store").read_bytes().endswith(b"}\n")


# ---- autostart


def test_autostart(store):
    """Definitions marked auto are running when the daemon is ready again; the others are not."""
    auto = define(store, "nvme-16m", "--auto")
    manual = define(store)
    store.ok("start", "-u", auto)
    fill(store, auto, b"auto")
    wait_free(store, auto)
    store.restart()
    wait_for(lambda: store.mdev(auto), "the autostarted mdev")
    assert store.mdev(manual) is None
    assert holds(store, auto, b"auto")
    assert store.ok("list") == f"{auto} store nvme-16m auto (defined)\n"


def test_autostart_that_fails_is_told(store):
    """One of several cannot start: the others do, the reason is seen."""
    good = define(store, "nvme-16m", "--auto")
    bad = define(store, "nvme-16m", "--auto")
    path = store.definition("store", bad)
    path.write_text(path.read_text().replace("nvme-16m", "nvme-99m").replace("16 MiB", "99 MiB"))
    store.restart()
    wait_for(lambda: store.mdev(good), "the good mdev")
    assert store.mdev(bad) is None
    shown = wait_for(lambda: store.mdev(bad, defined=True).get("error"), "the reason")
    assert "nvme-99m" in shown
    assert any(bad == event.get("uuid") for event in store.events())


def test_parent_that_is_gone_at_start(store):
    """Its file was removed: the daemon comes up, says so, and the parent can be repaired."""
    ident = define(store, "nvme-16m", "--auto")
    store.stop()
    image = store.directory / "store.img"
    image.rename(image.with_suffix(".away"))
    store.start()
    assert store.parent("store")["state"] == "failed"
    assert "store.img" in store.parent("store")["error"]
    assert store.mdev(ident) is None
    assert not image.exists(), "an empty file was made in place of the lost one"
    fails(store, "start", "-u", ident, says="store")
    store.stop()
    image.with_suffix(".away").rename(image)
    store.start()
    wait_for(lambda: store.mdev(ident), "the autostarted mdev")


# ---- half a file


@pytest.mark.parametrize("content", [
    b"", b"{", b'{"mdev_type": "nvme-16m", "sta', b"[]", b"null", b'{"mdev_type": 1, "start": "auto"}',
    b'{"start": "auto"}',
    b'{"mdev_type": "nvme-16m"}', b'{"mdev_type": "nvme-16m", "start": "auto", "attrs": {}}', b"\0" * 4096,
    b'{"mdev_type": "nvme-16m", "start": "auto", "attrs": [{"a": 1}]}', b"\xff\xfe", b"x" * 2000000,
], ids=lambda content: repr(content[:40]))
def test_half_a_definition(store, content):
    """It is told of and left alone; everything else works; it can be removed."""
    good = define(store, "nvme-16m", "--auto")
    bad = new_uuid()
    path = store.definition("store", bad)
    path.write_bytes(content)
    os.chown(path, store.uid, store.uid)
    store.restart()
    wait_for(lambda: store.mdev(good), "the good mdev")
    event = store.wait_event("definition.bad")
    assert bad in event["message"] or event.get("uuid") == bad
    assert store.mdev(bad) is None
    assert path.read_bytes() == content, "a file that cannot be read was changed"
    checks = store.rpc("doctor")["checks"]
    assert any(check["status"] != "ok" and bad in check["detail"] for check in checks)
    fails(store, "start", "-u", bad, says=bad)
    store.ok("undefine", "-u", bad, "--force")
    assert not path.exists()
    store.ok("define", "-u", bad, "-p", "store", "-t", "nvme-16m")
    store.ok("start", "-u", bad)


@pytest.mark.parametrize("content", [
    b"", b"{", b'{"driver": "nvme"', b"[]", b'{"driver": 7, "options": {}}', b'{"options": {}}',
])
def test_half_a_parent(store, content):
    """The others come up; the broken one is told of and its file is kept."""
    path = store.root / "etc/umdev/parents.d/broken.json"
    path.write_bytes(content)
    os.chown(path, store.uid, store.uid)
    store.restart()
    assert store.parent("store")["state"] == "ready"
    assert [event for event in store.events() if "broken" in event["message"]]
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [
    b"", b"{", b'{"pieces":[{"start":0', b"[]", b'{"pieces":[{"start":-1,"size":1}]}',
    b'{"pieces":[{"start":0,"size":33554432,"uuid":null,"state":"dirty"},'
    b'{"start":16777216,"size":16777216,"uuid":null,"state":"dirty"}]}',
    b'{"pieces":[{"start":1099511627776,"size":1048576,"uuid":null,"state":"dirty"}]}',
])
def test_half_a_map(store, content):
    """Without knowing whose slices are whose nothing may be handed out; no data are touched."""
    ident = define(store)
    store.ok("start", "-u", ident)
    fill(store, ident, b"precious")
    wait_free(store, ident)
    path = store.root / "etc/umdev/parents.d/store.map"
    good = path.read_bytes()
    store.stop()
    path.write_bytes(content)
    store.start()
    assert store.parent("store")["state"] == "failed"
    assert "store.map" in store.parent("store")["error"]
    fails(store, "start", "-p", "store", "-t", "nvme-16m", says="store")
    assert path.read_bytes() == content
    store.stop()
    path.write_bytes(good)
    store.start()
    store.ok("start", "-u", ident)
    assert holds(store, ident, b"precious")


def test_files_beside_definitions(store):
    """What is no definition by its name does no harm."""
    ident = define(store)
    directory = store.definition("store", ident).parent
    (directory / "README").write_text("not a definition")
    (directory / ".hidden").write_text("{")
    (directory / f"{new_uuid()}.tmp").write_text("{")
    (directory / "directory").mkdir()
    store.restart()
    assert [mdev["uuid"] for mdev in store.rpc("mdev.list", defined=True)["mdevs"]] == [ident]
    assert store.parent("store")["state"] == "ready"


# ---- killed


def kill_host(daemon, parent="store") -> int:
    """Kills the process of a parent; returns its pid once another one serves."""
    old = daemon.host_pid(parent)
    since = daemon.next_event()
    os.kill(old, signal.SIGKILL)
    daemon.wait_event("host.died", since=since)
    daemon.wait_event("host.started", since=since)
    wait_for(lambda: daemon.parent(parent)["state"] == "ready", "the parent to be ready")
    assert daemon.host_pid(parent) != old
    return old


def test_killed_host_is_restarted(store):
    idents = [define(store) for _ in range(2)]
    for ident in idents:
        store.ok("start", "-u", ident)
        fill(store, ident, ident[:4].encode())
        wait_free(store, ident)
    for turn in range(3):
        kill_host(store)
        assert store.parent("store")["host"]["restarts"] == turn + 1
        listed = {mdev["uuid"]: mdev["state"] for mdev in store.rpc("mdev.list")["mdevs"]}
        assert listed == {ident: "active" for ident in idents}
        for ident in idents:
            assert holds(store, ident, ident[:4].encode())
            wait_free(store, ident)


def test_killed_host_is_reported(store):
    ident = define(store)
    store.ok("start", "-u", ident)
    since = store.next_event()
    old = kill_host(store)
    event = store.wait_event("host.died", since=since)
    assert event["parent"] == "store" and str(old) in event["message"] or event.get("pid") == old
    assert "host.died" in store.ok("events") or "died" in store.ok("events")


def test_client_of_a_killed_host(store):
    """It loses its connection or is served on; the device is usable, the data are right."""
    ident = define(store)
    store.ok("start", "-u", ident)
    fill(store, ident, b"survives")
    wait_free(store, ident)
    with Client(store.socket_path(ident)) as client:
        client.like_qemu()
        kill_host(store)
        client.closed_by_server(2)
    wait_for(lambda: store.mdev(ident) and not store.mdev(ident)["in_use"], "the device to be free")
    assert holds(store, ident, b"survives")


def test_one_parent_dies_alone(store):
    add_store(store, name="second")
    ident = store.ok("start", "-p", "second", "-t", "nvme-16m").strip()
    pid = store.host_pid("second")
    with Drive(store, ident) as nvme:
        nvme.write(0, b"x" * 512)
        kill_host(store)
        assert nvme.read(0, 512) == b"x" * 512
    assert store.host_pid("second") == pid


def test_host_that_dies_again_and_again(store):
    """Restarts do not end in a busy loop, and the daemon stays."""
    seen = set()
    deadline = time.monotonic() + 20
    while len(seen) < 6 and time.monotonic() < deadline:
        parent = store.parent("store")
        pid = parent["host"] and parent["host"]["pid"]
        if parent["state"] == "ready" and pid and pid not in seen:
            seen.add(pid)
            os.kill(pid, signal.SIGKILL)
        if parent["state"] == "failed":
            break
        time.sleep(0.01)
    assert len(seen) >= 3
    before = process.busy_seconds(store.pid)
    time.sleep(0.5)
    assert process.busy_seconds(store.pid) - before < 0.25
    assert store.rpc("version")["name"] == "umdevd"
    if store.parent("store")["state"] == "failed":
        assert store.parent("store")["error"]
    else:
        wait_for(lambda: store.parent("store")["state"] == "ready", "the parent to be ready", 20)


@pytest.mark.parametrize("method", ["mdev.stop", "mdev.set", "group.stop"])
def test_client_that_has_just_left(store, method):
    """Who closed the connection does not use the mdev any more, though its host has had no time to notice."""
    group = new_uuid()
    ident = define(store, "nvme-16m", "--group", group)
    store.ok("start", "-u", ident)
    params = {"mdev.stop": {"uuid": ident}, "group.stop": {"group": group},
              "mdev.set": {"uuid": ident, "name": "nvme/queues", "value": "2"}}[method]
    with ThreadPoolExecutor() as pool:
        client = Client(store.socket_path(ident))
        client.like_qemu()
        wait_for(lambda: store.mdev(ident)["in_use"], "the client to be known")
        with process.stopped(store.host_pid("store")):
            refused(store, "DEVICE_BUSY", method, **params)
            client.close()
            done = pool.submit(store.rpc, method, **params)
            time.sleep(0.2)
            assert not done.done(), "it waits for the host"
        done.result()
    if method == "mdev.set":
        assert not store.mdev(ident)["in_use"]
        assert {"nvme/queues": "2"} in store.mdev(ident)["attrs"]
    else:
        assert store.mdev(ident) is None


def test_stopped_host_is_killed_with_the_daemon(store):
    """A host that stands still does not keep the daemon from ending."""
    pid = store.host_pid("store")
    os.kill(pid, signal.SIGSTOP)
    store.stop()
    assert not process.start_time(pid)


def test_killed_daemon(store):
    """Its hosts end with it; the next daemon on the same root starts clean and with all data."""
    ident = define(store, "nvme-16m", "--auto")
    store.ok("start", "-u", ident)
    fill(store, ident, b"and then")
    wait_free(store, ident)
    transient = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    store.kill()
    store.start()
    wait_for(lambda: store.mdev(ident), "the autostarted mdev")
    assert holds(store, ident, b"and then")
    assert store.mdev(transient) is None
    others = [store.ok("start", "-p", "store", "-t", "nvme-16m").strip() for _ in range(3)]
    for other in others:
        assert is_blank(store, other)


def test_daemon_killed_at_any_moment(store):
    """While definitions are written: each file is whole or not there."""
    for turn in range(5):
        with subprocess.Popen(as_user(store.uid) + ["sh", "-c", 'while "$@" >/dev/null 2>&1; do :; done', "sh",
                                                    str(program("umdevctl", store.bindir)), "--root", str(store.root),
                                                    "define", "-p", "store", "-t", "nvme-16m"]) as writer:
            time.sleep(0.05 + 0.03 * turn)
            store.kill()
            writer.wait(30)
        store.start()
        for name, content in store.files().items():
            if name.startswith("mdevs.d/"):
                assert json.loads(content)["mdev_type"] == "nvme-16m", name
        assert not [event for event in store.events() if event["event"] == "definition.bad"]
    assert len(store.rpc("mdev.list", defined=True)["mdevs"]) >= 5


def test_one_daemon_for_one_root(store, make_daemon):
    other = make_daemon(store.uid, directory=store.directory)
    with pytest.raises(Failure, match="did not become ready"):
        other.start()
    assert store.rpc("version")["pid"] == store.pid
    assert store.control_socket.exists()


def test_socket_of_a_dead_daemon_is_replaced(store):
    store.kill()
    store.start()
    assert store.rpc("version")["pid"] == store.pid


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_signals(store, which):
    """TERM and INT end it in order; HUP is no reason to die without a word."""
    os.kill(store.pid, which)
    if which == signal.SIGHUP:
        time.sleep(0.2)
        if store.running:
            assert store.rpc("version")["name"] == "umdevd"
            return
    wait_for(lambda: not store.running, "the daemon to end", 30)


# ---- clients that take all there is


def test_descriptors_of_a_greedy_client(make_daemon, user):
    """It lends as many files as it may; the operator and the other clients go on with what is reserved."""
    daemon = make_daemon(user, prefix=["prlimit", "--nofile=1024:1024"])
    daemon.start()
    add_store(daemon)
    greedy, other = (daemon.ok("start", "-p", "store", "-t", "nvme-16m").strip() for _ in range(2))
    with Client(daemon.socket_path(greedy)) as client:
        client.like_qemu()
        for number in range(1000):
            fd = os.memfd_create("guest", os.MFD_CLOEXEC)
            os.ftruncate(fd, 4096)
            error = client.map_error(4096 * number, 4096, fds=[fd])
            os.close(fd)
            assert not error, f"file {number}: error {error}"
        assert len(process.descriptors(daemon.pid)) < 1024 - 200
        late = daemon.ok("start", "-p", "store", "-t", "nvme-16m").strip()
        for ident in (other, late):
            fill(daemon, ident, b"goes on!")
            assert holds(daemon, ident, b"goes on!")
            wait_free(daemon, ident)
        daemon.ok("define", "-p", "store", "-t", "nvme-16m")
        assert client.info()[0] & 2
        assert [event for event in daemon.events(greedy) if "kept" in event["message"]]
    wait_free(daemon, greedy)
    assert len(process.descriptors(daemon.pid)) < 64


# ---- the RPC as a stranger uses it


@pytest.mark.parametrize("line, code", [
    (b"{\n", -32700), (b"nonsense\n", -32700), (b"[]\n", -32600), (b"1\n", -32600),
    (b'{"jsonrpc":"2.0","id":1}\n', -32600), (b'{"jsonrpc":"1.0","id":1,"method":"version"}\n', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}\n', -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"mdev.start","params":[]}\n', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"mdev.stop"}\n', None),
], ids=repr)
def test_bad_rpc(store, line, code):
    rpc = store.connect()
    rpc.send(line)
    reply = rpc.read()
    if reply is not None:
        assert "error" in reply
        if code is not None:
            assert reply["error"]["code"] == code
    rpc.close()
    assert store.rpc("version")["name"] == "umdevd"


def test_rpc_without_end(store):
    """A line longer than any request is not kept, and refused at its end; the connection goes on."""
    rpc = store.connect()
    before = process.resident_kib(store.pid)
    for _ in range(512):
        rpc.send(b"x" * 65536)
    assert process.resident_kib(store.pid) - before < 8192, "the daemon keeps what it cannot use"
    rpc.send(b"\n")
    assert rpc.read()["error"]["data"]["word"] == "LIMIT"
    assert rpc.call("version")["name"] == "umdevd"
    rpc.close()


def test_many_connections(store):
    """More than are served: some are refused, none blocks the others for ever."""
    connections = []
    for _ in range(100):
        try:
            connections.append(store.connect())
        except OSError:
            break
    for connection in connections:
        connection.close()
    wait_for(lambda: store.ok("list") == "", "the daemon to answer again")


def test_unknown_parameter_is_named(store):
    assert refused(store, "INVALID", "version", colour="red").key == "colour"
    assert refused(store, "INVALID", "mdev.stop").key == "uuid"
    assert refused(store, "INVALID", "mdev.stop", uuid=7).key == "uuid"


def test_idle_costs_nothing(store):
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    with Drive(store, ident) as nvme:
        nvme.command(1, READ, nsid=1, prp1=nvme.pages(), cdw=[0, 0, 0])
        time.sleep(0.2)
        pids = [store.pid, store.host_pid("store")]
        before = [process.busy_seconds(pid) for pid in pids]
        time.sleep(1.5)
        after = [process.busy_seconds(pid) for pid in pids]
    assert all(now - then <= 0.02 for then, now in zip(before, after)), (before, after)


def test_a_host_ends_when_asked(daemon):
    """It is not killed for being late, which takes 8 s."""
    daemon.ok("parent", "add", "p", "--driver", "null")
    began = time.monotonic()
    daemon.ok("parent", "remove", "p")
    assert time.monotonic() - began < 6
