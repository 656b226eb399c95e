# SPDX-License-Identifier: BSD-3-Clause
"""The tree's mount: there when the daemon is ready, again when its server dies, gone when the daemon is."""

import errno
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from conftest import add_store
from umdevtest import process, wait_for
from umdevtest.child import Child, within
from umdevtest.daemon import as_user, new_uuid
from umdevtest.neighbour import Neighbour
from umdevtest.tree import tree_of


def mounts(daemon) -> int:
    """How many mounts stand at the tree's place, one over the other."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return sum(line.split()[4] == str(tree_of(daemon)) for line in lines)


def servers(daemon) -> list:
    """The processes of umdev-sysfs that the daemon runs."""
    return [pid for pid in process.children(daemon.pid)
            if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "umdev-sysfs"]


def server(daemon) -> int:
    """The one process that serves the tree."""
    (pid,) = servers(daemon)
    return pid


def picture(daemon) -> dict:
    """path -> what it is, of everything in the tree, seen by the daemon's user."""
    def look():
        seen = {}
        top = tree_of(daemon)
        for directory, names, files in os.walk(top):
            for name in names + files:
                path = Path(directory, name)
                mode = path.lstat().st_mode
                seen[str(path.relative_to(top))] = os.readlink(path) if stat.S_ISLNK(mode) else stat.filemode(mode)
        return seen

    return within(daemon, look)


def error_of(daemon, path) -> int:
    """The errno of looking at a path as the daemon's user; 0 for none."""
    def look():
        try:
            os.stat(path)
        except OSError as error:
            return error.errno
        return 0

    return within(daemon, look)


def doctor(daemon) -> dict:
    """What the doctor says about the tree."""
    (found,) = [check for check in daemon.rpc("doctor")["checks"] if check["name"] == "tree"]
    return found


def works(daemon) -> None:
    """Whatever is with the tree, mdevs can be started and stopped."""
    ident = daemon.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    daemon.ok("stop", "-u", ident)


def wait_mounted(daemon, since: int) -> None:
    """Waits until the tree is mounted once more, after event @since."""
    daemon.wait_event("tree.mounted", since=since)
    assert mounts(daemon) == 1


# ---- with and without


def test_mounted_when_ready(daemon):
    """With the word "ready" it is there, and so is what the daemon had before."""
    assert mounts(daemon) == 1
    assert within(daemon, os.listdir, tree_of(daemon)) == ["sys"]
    assert doctor(daemon)["status"] == "ok"
    add_store(daemon)
    ident = daemon.ok("define", "-p", "store", "-t", "nvme-16m", "--auto").strip()
    daemon.restart()
    assert mounts(daemon) == 1
    path = tree_of(daemon) / "sys/bus/mdev/devices" / ident
    # Asked for directly after "ready", before any call that might wait for something.
    assert within(daemon, os.readlink, path / "mdev_type") == "../mdev_supported_types/nvme-16m"


def test_for_everybody_only_by_root(daemon):
    """Root mounts for all; of an ordinary user's mount nobody else sees anything."""
    def look():
        try:
            return os.listdir(tree_of(daemon))
        except PermissionError:
            return None

    command = as_user(12345) + ["ls", str(tree_of(daemon))]
    if os.geteuid() != 0:
        pytest.skip("only root can look as somebody else")
    daemon.directory.chmod(0o755)
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (result.stdout == "sys\n") == (daemon.uid == 0), result
    assert within(daemon, look) == ["sys"]


def test_no_tree(make_daemon, user):
    daemon = make_daemon(user, arguments=["--no-tree"])
    daemon.start()
    assert mounts(daemon) == 0 and servers(daemon) == []
    assert (doctor(daemon)["status"], doctor(daemon)["detail"]) == ("ok", "not wanted")
    add_store(daemon)
    works(daemon)


def script(daemon, text: str) -> Path:
    """A program in the place of umdev-sysfs."""
    path = daemon.directory / "umdev-sysfs"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("text", [None, "exit 3"])
def test_absent(make_daemon, user, text):
    """Without the program, or where it cannot mount, the daemon does without."""
    daemon = make_daemon(user)
    path = script(daemon, text) if text else "/nonexistent/umdev-sysfs"
    daemon._arguments = ["--sysfs-path", str(path)]  # pylint: disable=protected-access
    daemon.start()
    (event,) = [event for event in daemon.events() if event["event"] == "tree.absent"]
    assert ("cannot mount" if text else "not installed") in event["message"]
    assert doctor(daemon)["status"] == "warning" and doctor(daemon)["hint"]
    result = daemon.ctl("doctor")
    assert "tree" in result.out and "/dev/fuse" in result.out
    add_store(daemon)
    works(daemon)
    assert mounts(daemon) == 0 and servers(daemon) == []


def test_server_that_fails_is_tried_again(make_daemon, user):
    """Later each time; the daemon is ready all the same, and it works when that does."""
    daemon = make_daemon(user)
    path = script(daemon, f"echo x >>{daemon.directory}/tries; exit 1")
    os.chown(daemon.directory, daemon.uid, -1)
    daemon._arguments = ["--sysfs-path", str(path)]  # pylint: disable=protected-access
    daemon.start()
    add_store(daemon)
    works(daemon)
    wait_for(lambda: len([e for e in daemon.events() if e["event"] == "tree.died"]) >= 3, "three tries")
    waits = [e["message"].split()[-2] for e in daemon.events() if e["event"] == "tree.died"][:3]
    assert waits == ["100", "200", "400"]
    assert doctor(daemon)["status"] == "warning" and "status 1" in doctor(daemon)["detail"]
    since = daemon.next_event()
    path.unlink()
    path.symlink_to(daemon.bindir / "umdev-sysfs")
    wait_mounted(daemon, since)
    assert doctor(daemon)["status"] == "ok"


# ---- deaths


def test_killed_server_is_replaced(store):
    """The same tree again, and a client of an mdev does not notice."""
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    neighbour = Neighbour(store.socket_path(ident))
    try:
        wait_for(lambda: store.mdev(ident)["in_use"], "the client to be known")
        before = picture(store)
        for _ in range(3):
            since = store.next_event()
            old = server(store)
            os.kill(old, signal.SIGKILL)
            died = store.wait_event("tree.died", since=since)
            assert f"process {old}" in died["message"] and "signal 9" in died["message"]
            wait_mounted(store, since)
            assert server(store) != old
            assert picture(store) == before
            neighbour.check()
        assert store.mdev(ident)["in_use"]
        assert not [e for e in store.events(ident) if e["event"] == "client.disconnected"]
    finally:
        neighbour.close()


def test_what_happens_meanwhile_is_there_afterwards(store):
    """Between the death of the server and the next one."""
    kept = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    gone = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    since = store.next_event()
    os.kill(server(store), signal.SIGKILL)
    new = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    store.ok("stop", "-u", gone)
    wait_mounted(store, since)
    assert sorted(within(store, os.listdir, tree_of(store) / "sys/bus/mdev/devices")) == sorted([kept, new])


def test_stale_mount_is_cleaned(store):
    """Both killed at once leave a dead mount, which the next daemon takes away."""
    path = tree_of(store)
    for _ in range(2):
        victim = server(store)
        os.kill(victim, signal.SIGSTOP)  # or it would hear that the daemon ends, and unmount
        os.kill(store.pid, signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)
        store.kill()
        assert mounts(store) == 1
        assert error_of(store, path) == errno.ENOTCONN
        store.start()
        assert mounts(store) == 1
        assert error_of(store, path / "sys/class/mdev_bus/store/uevent") == 0
    works(store)


def test_killed_daemon_takes_the_mount_with_it(store):
    store.ok("start", "-p", "store", "-t", "nvme-16m")
    store.kill()  # waits for all that it had started
    assert mounts(store) == 0
    assert list(tree_of(store).iterdir()) == []
    store.start()
    assert mounts(store) == 1


def test_stop_unmounts_what_is_in_use(store):
    """Whoever has a file of it open, and stands in it, does not keep the daemon from ending."""
    ours, theirs = socket.socketpair()

    def hold(path):
        file = os.open(path, os.O_RDONLY)
        os.read(file, 64)
        os.chdir(os.path.dirname(path))
        theirs.send(b"open")
        theirs.recv(1)
        try:
            return os.pread(file, 64, 0)
        except OSError as error:
            return error.errno

    ours.settimeout(20)
    with ours, theirs:
        child = Child(store.uid, hold, str(tree_of(store) / "sys/class/mdev_bus/store/vendor"))
        assert ours.recv(4) == b"open"
        store.stop()
        assert mounts(store) == 0
        ours.send(b"x")
        assert child.result() in (errno.ENOTCONN, errno.ECONNABORTED)


def test_an_administrator_unmounts(store):
    """That is not fought: only another start of the daemon mounts again."""
    since = store.next_event()
    old = server(store)
    command = ["umount"] if store.uid == 0 else ["fusermount3", "-u"]
    command = as_user(store.uid) + command + [str(tree_of(store))]
    # Busy for the moment in which somebody is told of a change.
    wait_for(lambda: subprocess.run(command, check=False, timeout=20).returncode == 0, "umount")
    event = store.wait_event("tree.absent", since=since)
    assert "unmounted" in event["message"]
    assert not process.start_time(old)
    assert doctor(store)["status"] == "warning"
    works(store)
    assert servers(store) == [] and mounts(store) == 0
    assert [e["event"] for e in store.events(since=since) if e["event"].startswith("tree.")] == ["tree.absent"]
    store.restart()
    assert mounts(store) == 1


def test_server_told_to_end(store):
    """The same when somebody ends the process in order."""
    since = store.next_event()
    os.kill(server(store), signal.SIGTERM)
    store.wait_event("tree.absent", since=since)
    assert mounts(store) == 0 and servers(store) == []


def test_one_server_for_a_tree(make_daemon):
    """Another one waits for the first to end, ten seconds, and then says so."""
    store = make_daemon(os.geteuid())
    store.start()
    path = store.bindir / "umdev-sysfs"
    command = as_user(store.uid) + [str(path), "--root", str(store.root)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 1 and "another umdev-sysfs" in result.stderr, result
    assert mounts(store) == 1 and len(servers(store)) == 1


def test_without_a_daemon(make_daemon, user):
    """By hand, where no daemon is: an error in one line."""
    daemon = make_daemon(user)
    command = as_user(user) + [str(daemon.bindir / "umdev-sysfs"), "--root", str(daemon.root)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result
    assert mounts(daemon) == 0


@pytest.mark.parametrize("turn", range(3))
def test_server_killed_under_writers(store, turn):
    """Whatever the writer was told: what the daemon says is what the next tree shows."""
    def write(idents):
        told = []
        for ident in idents:
            try:
                path = tree_of(store) / "sys/class/mdev_bus/store/mdev_supported_types/nvme-16m/create"
                with open(path, "wb", buffering=0) as file:
                    file.write(ident.encode())
                told.append(0)
            except OSError as error:
                told.append(error.errno)
        return told

    del turn
    idents = [new_uuid() for _ in range(4)]
    since = store.next_event()
    child = Child(store.uid, write, idents)
    wait_for(lambda: store.mdev(idents[0]) or not process.start_time(child.pid), "the first to be made")
    os.kill(server(store), signal.SIGKILL)
    told = child.result()
    wait_mounted(store, since)
    active = {mdev["uuid"] for mdev in store.rpc("mdev.list")["mdevs"]}
    assert set(within(store, os.listdir, tree_of(store) / "sys/bus/mdev/devices")) == active
    for ident, error in zip(idents, told):
        assert error != 0 or ident in active, "a write that succeeded was lost"
