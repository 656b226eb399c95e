# SPDX-License-Identifier: BSD-3-Clause
"""What is in the tree is what anybody was told: after calls, for those who watch, and among many at once."""

import contextlib
import errno
import os
import random
import select
import time
from pathlib import Path

import pytest

from conftest import add_store
from umdevtest import Failure, wait_for
from umdevtest.child import Child, within
from umdevtest.daemon import Rpc, RpcError, new_uuid
from umdevtest.inotify import CREATE, DELETE, MODIFY, Watches
from umdevtest.tree import tree_of
from umdevtest.vfiouser import Client

TYPE = "nvme-16m"
TURNS = 200
GONE = (errno.ENOENT, errno.ENODEV)


class Tree:
    """Paths of the tree, for use in a process of the daemon's user."""

    def __init__(self, daemon):
        self.sys = tree_of(daemon) / "sys"
        self.devices = self.sys / "bus/mdev/devices"
        self.buses = self.sys / "class/mdev_bus"

    def device(self, ident: str) -> Path:
        """The directory of an mdev, by its link."""
        return self.devices / ident

    def available(self, parent: str, kind: str = TYPE) -> Path:
        """available_instances of a type."""
        return self.buses / parent / "mdev_supported_types" / kind / "available_instances"

    def whole(self, ident: str, parent: str, kind: str) -> None:
        """Everything about an mdev that was just made must be there."""
        here = self.device(ident)
        assert sorted(os.listdir(here))[-1] == "uevent" and (here / "remove").exists()
        assert os.readlink(here / "mdev_type") == f"../mdev_supported_types/{kind}"
        assert os.path.realpath(here).endswith(f"/{parent}/{ident}")
        assert ident in os.listdir(here / "iommu_group/devices")
        assert ident in os.listdir(self.devices)
        assert ident in os.listdir(self.buses / parent / "mdev_supported_types" / kind / "devices")
        assert os.path.samefile(self.buses / parent / ident, here)

    def without(self, ident: str, parent: str, kind: str) -> None:
        """Nothing of it may be left."""
        assert not os.path.lexists(self.device(ident))
        assert not os.path.lexists(self.buses / parent / ident)
        assert ident not in os.listdir(self.devices)
        assert ident not in os.listdir(self.buses / parent / "mdev_supported_types" / kind / "devices")


def text(path) -> str:
    """What a file says."""
    return Path(path).read_text(encoding="utf-8")


@pytest.fixture(name="pair")
def fixture_pair(daemon):
    """A daemon with two parents, one of which is named by an address."""
    add_store(daemon)
    add_store(daemon, name="0000:86:00.0")
    return daemon


# ---- causality


def start_and_stop(daemon) -> None:
    """Runs as the daemon's user."""
    tree, rpc = Tree(daemon), Rpc(daemon.control_socket)
    rand = random.Random(1)
    for _ in range(TURNS):
        ident, parent, weight = new_uuid(), rand.choice(["store", "0000:86:00.0"]), str(rand.randrange(1, 10001))
        before = int(text(tree.available(parent)))
        rpc.call("mdev.start", uuid=ident, parent=parent, type=TYPE, attrs=[{"mdev/weight": weight}, {"nvme/queues": "3"}])
        tree.whole(ident, parent, TYPE)
        assert int(text(tree.available(parent))) == before - 1
        assert int(text(tree.available(parent, "nvme-32m"))) == (before - 1) // 2
        assert text(tree.device(ident) / "mdev/weight") == f"{weight}\n"
        assert text(tree.device(ident) / "nvme/queues") == "3\n"
        rpc.call("mdev.stop", uuid=ident)
        tree.without(ident, parent, TYPE)
        assert int(text(tree.available(parent))) == before
    rpc.close()


def change(daemon, ident: str) -> None:
    """Runs as the daemon's user: live, by qos, and by making the device anew."""
    tree, rpc = Tree(daemon), Rpc(daemon.control_socket)
    here = tree.device(ident)
    queues = "64"
    for turn in range(1, TURNS + 1):
        weight = str(turn)
        if turn % 3 == 0:
            rpc.call("mdev.qos", uuid=ident, weight=turn)
        elif turn % 3 == 1:
            rpc.call("mdev.modify", uuid=ident, live=True, definition={
                "mdev_type": TYPE, "start": "manual", "attrs": [{"mdev/weight": weight}, {"nvme/queues": queues}]})
        else:
            rpc.call("mdev.set", uuid=ident, name="mdev/weight", value=weight)
        assert text(here / "mdev/weight") == f"{weight}\n"
        if turn % 10 == 0:
            queues = str(1 + turn % 60)
            rpc.call("mdev.set", uuid=ident, name="nvme/queues", value=queues)
            assert text(here / "nvme/queues") == f"{queues}\n"
            assert text(here / "mdev/weight") == f"{weight}\n"
    rpc.close()


def test_started_and_stopped_by_rpc(pair):
    """Whoever was answered finds in the tree, at once, what it was told."""
    within(pair, start_and_stop, pair)


def test_changed_by_rpc(store):
    ident = store.ok("start", "-p", "store", "-t", TYPE).strip()
    within(store, change, store, ident)


def test_started_and_stopped_by_umdevctl(store):
    """The same through the program."""
    def run():
        tree = Tree(store)
        for _ in range(20):
            ident = store.ok("start", "-p", "store", "-t", TYPE).strip()
            tree.whole(ident, "store", TYPE)
            assert text(tree.available("store")) == "3\n"
            store.ok("stop", "-u", ident)
            tree.without(ident, "store", TYPE)

    within(store, run)


def test_written_to_the_tree(pair):
    """And the other way: whoever wrote is told by everybody else what came of it."""
    def run():
        tree, rpc = Tree(pair), Rpc(pair.control_socket)
        for turn in range(TURNS // 2):
            ident, parent = new_uuid(), ["store", "0000:86:00.0"][turn % 2]
            (tree.available(parent).parent / "create").write_text(ident, encoding="utf-8")
            tree.whole(ident, parent, TYPE)
            (found,) = rpc.call("mdev.list", uuid=ident)["mdevs"]
            assert (found["parent"], found["state"]) == (parent, "active")
            (tree.device(ident) / "mdev/weight").write_text("7\n", encoding="utf-8")
            (tree.device(ident) / "nvme/queues").write_text("2\n", encoding="utf-8")
            (found,) = rpc.call("mdev.list", uuid=ident)["mdevs"]
            assert {"mdev/weight": "7"} in found["attrs"] and {"nvme/queues": "2"} in found["attrs"]
            assert text(tree.device(ident) / "nvme/queues") == "2\n"
            (tree.device(ident) / "remove").write_text("1", encoding="utf-8")
            tree.without(ident, parent, TYPE)
            assert rpc.call("mdev.list", uuid=ident)["mdevs"] == []
        rpc.close()

    within(pair, run)


def test_parents_come_and_go(daemon):
    def run():
        tree = Tree(daemon)
        for turn in range(20):
            name = ["store", "0000:86:00.0"][turn % 2]
            daemon.ok("parent", "add", name, "--driver", "null")
            assert os.listdir(tree.buses) == [name]
            assert text(tree.available(name, "null-basic")).strip().isdigit()
            ident = daemon.ok("start", "-p", name, "-t", "null-basic").strip()
            daemon.ok("parent", "remove", name, "--force")
            assert os.listdir(tree.buses) == [] and os.listdir(tree.devices) == []
            assert not os.path.lexists(tree.device(ident))

    within(daemon, run)


def test_open_files_of_what_is_gone(store):
    """They say ENODEV for good, also when the same UUID is there again."""
    def run():
        tree, ident = Tree(store), new_uuid()
        store.ok("start", "-u", ident, "-p", "store", "-t", TYPE)
        files = {name: os.open(tree.device(ident) / name, flags) for name, flags in (
            ("mdev/weight", os.O_RDWR), ("remove", os.O_WRONLY), ("uevent", os.O_RDWR), ("mdev/jobs", os.O_RDONLY))}
        store.ok("stop", "-u", ident)
        for again in (False, True):
            if again:
                store.ok("start", "-u", ident, "-p", "store", "-t", TYPE)
            for name, file in files.items():
                for deed in (lambda: os.pread(file, 64, 0), lambda: os.write(file, b"1")):
                    try:
                        deed()
                        assert False, f"{name} works on"
                    except OSError as error:
                        assert error.errno in (errno.ENODEV, errno.EBADF), (name, error)
        assert store.mdev(ident)["state"] == "active"
        # Stopped and started without a pause, and removed after that.
        rpc = Rpc(store.control_socket)
        for _ in range(50):
            rpc.call("mdev.stop", uuid=ident)
            rpc.call("mdev.start", uuid=ident, parent="store", type=TYPE)
        (tree.device(ident) / "remove").write_text("1", encoding="utf-8")
        tree.without(ident, "store", TYPE)
        assert rpc.call("mdev.list", uuid=ident)["mdevs"] == []

    within(store, run)


# ---- poll and inotify


def changed(file: int, limit_s: float) -> bool:
    """Whether poll() tells of a change within a time."""
    poll = select.poll()
    poll.register(file, select.POLLPRI | select.POLLERR)
    return bool(poll.poll(limit_s * 1000))


def expect_change(file: int, deed, before: str, after: str) -> None:
    """It says @before, and nothing changes until @deed is done; then it says @after."""
    assert os.pread(file, 64, 0).decode() == before
    assert not changed(file, 0)
    deed()
    assert changed(file, 10), f"nobody was told that {before!r} is {after!r}"
    assert os.pread(file, 64, 0).decode() == after
    assert not changed(file, 0)


def test_poll(store):
    def run():
        tree, ident = Tree(store), new_uuid()
        available = os.open(tree.available("store"), os.O_RDONLY)
        expect_change(available, lambda: store.ok("start", "-u", ident, "-p", "store", "-t", TYPE), "4\n", "3\n")
        weight = os.open(tree.device(ident) / "mdev/weight", os.O_RDONLY)
        expect_change(weight, lambda: store.ok("qos", ident, "--weight", "250"), "100\n", "250\n")
        other = new_uuid()
        expect_change(available, lambda: store.ok("start", "-u", other, "-p", "store", "-t", "nvme-32m"), "3\n", "1\n")
        in_use = os.open(tree.device(ident) / "mdev/in_use", os.O_RDONLY)
        clients = []


        def connect():
            clients.append(Client(store.socket_path(ident)))
            clients[0].version()

        expect_change(in_use, connect, "0\n", "1\n")
        expect_change(in_use, clients[0].close, "1\n", "0\n")
        assert os.pread(weight, 64, 0).decode() == "250\n"
        assert not changed(weight, 0)
        # What goes wakes those who wait for it.
        expect_change(available, lambda: store.ok("stop", "-u", ident), "1\n", "2\n")
        assert changed(weight, 10)
        try:
            os.pread(weight, 64, 0)
            assert False, "an attribute of nothing"
        except OSError as error:
            assert error.errno == errno.ENODEV

    within(store, run)


def test_poll_while_waiting(store):
    """Somebody who sleeps in poll() is woken."""
    def wait():
        file = os.open(Tree(store).available("store"), os.O_RDONLY)
        os.read(file, 64)
        return changed(file, 60)

    child = Child(store.uid, wait)
    # Whenever it begins to wait, one of these comes after that.
    deadline = time.monotonic() + 30
    while not select.select([child._reader], [], [], 0)[0]:  # pylint: disable=protected-access
        assert time.monotonic() < deadline, "it was not woken"
        store.ok("stop", "-u", store.ok("start", "-p", "store", "-t", TYPE).strip())
    assert child.result()


def test_inotify(pair):
    def run():
        tree, ident = Tree(pair), new_uuid()
        kinds = tree.buses / "store/mdev_supported_types"
        with Watches() as watches:
            watches.add(tree.devices, CREATE | DELETE)
            watches.add(tree.buses, CREATE | DELETE)
            watches.add(tree.buses / "store/", CREATE | DELETE)
            watches.add(kinds / TYPE / "devices", CREATE | DELETE)
            watches.add(tree.available("store"), MODIFY)
            watches.add(tree.available("store", "nvme-32m"), MODIFY)
            pair.ok("start", "-u", ident, "-p", "store", "-t", TYPE)
            watches.expect([(tree.devices, CREATE, ident), (f"{tree.buses}/store", CREATE, ident),
                            (kinds / TYPE / "devices", CREATE, ident), (tree.available("store"), MODIFY, ""),
                            (tree.available("store", "nvme-32m"), MODIFY, "")])
            tree.whole(ident, "store", TYPE)
            weight = tree.device(ident) / "mdev/weight"
            queues = tree.device(ident) / "nvme/queues"
            watches.add(weight, MODIFY)
            watches.add(queues, MODIFY)
            pair.ok("qos", ident, "--weight", "250")
            seen = watches.expect([(weight, MODIFY, "")])
            assert (str(queues), MODIFY, "") not in seen
            assert text(weight) == "250\n"
            pair.rpc("mdev.set", uuid=ident, name="nvme/queues", value="5")
            watches.expect([(queues, MODIFY, "")])
            pair.ok("stop", "-u", ident)
            watches.expect([(tree.devices, DELETE, ident), (f"{tree.buses}/store", DELETE, ident),
                            (kinds / TYPE / "devices", DELETE, ident), (tree.available("store"), MODIFY, "")])
            tree.without(ident, "store", TYPE)
            # Of the other parent, which is a PCI device.
            pair.ok("start", "-u", ident, "-p", "0000:86:00.0", "-t", TYPE)
            watches.expect([(tree.devices, CREATE, ident)])
            pair.ok("parent", "remove", "0000:86:00.0", "--force")
            watches.expect([(tree.devices, DELETE, ident), (tree.buses, DELETE, "0000:86:00.0")])
            pair.ok("parent", "add", "plain", "--driver", "null")
            watches.expect([(tree.buses, CREATE, "plain")])

    within(pair, run)


def test_inotify_of_the_same_uuid_again(store):
    """Stopped and started without a pause: both are told."""
    def run():
        tree, ident = Tree(store), new_uuid()
        rpc = Rpc(store.control_socket)
        with Watches() as watches:
            watches.add(tree.devices, CREATE | DELETE)
            rpc.call("mdev.start", uuid=ident, parent="store", type=TYPE)
            watches.expect([(tree.devices, CREATE, ident)])
            for _ in range(20):
                rpc.call("mdev.stop", uuid=ident)
                rpc.call("mdev.start", uuid=ident, parent="store", type=TYPE)
                seen = watches.expect([(tree.devices, DELETE, ident), (tree.devices, CREATE, ident)])
                assert [kind for _, kind, _ in seen] == [DELETE, CREATE]
        rpc.close()

    within(store, run)


def test_nobody_else_makes_or_removes(store):
    """What the helper that wakes inotify may do, nobody else may."""
    def attempt(deed):
        try:
            deed()
        except OSError as error:
            return error.errno
        return 0

    def run():
        tree, ident = Tree(store), new_uuid()
        store.ok("start", "-u", ident, "-p", "store", "-t", TYPE)
        for name in (ident, new_uuid()):
            assert attempt(lambda: os.mkdir(tree.buses / "store" / name)) in (errno.EPERM, errno.EEXIST)
            assert attempt(lambda: os.symlink("-", tree.devices / name)) in (errno.EPERM, errno.EEXIST)
            assert attempt(lambda: os.unlink(tree.devices / name)) in (errno.EPERM, errno.ENOENT)
            assert attempt(lambda: os.rmdir(tree.buses / "store" / name)) in (errno.EPERM, errno.ENOENT)
        assert attempt(lambda: os.truncate(tree.available("store"), 0)) == errno.EACCES
        tree.whole(ident, "store", TYPE)

    within(store, run)


# ---- many at once


def walk(top: Path, until) -> dict:
    """Looks at everything again and again; errno -> an example, of what may not be."""
    wrong, seen = {}, 0
    while not until():
        for directory, names, files in os.walk(top, onerror=lambda error: note(wrong, error)):
            for name in names + files:
                path = os.path.join(directory, name)
                seen += 1
                try:
                    if os.path.islink(path):
                        os.readlink(path)
                    elif os.path.isfile(path) and os.lstat(path).st_mode & 0o400:
                        with open(path, "rb", buffering=0) as file:
                            assert file.read(4096), path
                except OSError as error:
                    note(wrong, error)
    return {"wrong": wrong, "seen": seen}


def note(wrong: dict, error: OSError) -> None:
    """Remembers an error that is none of a thing that vanished."""
    if error.errno not in GONE:
        wrong[errno.errorcode[error.errno]] = str(error)


def churn(daemon, parent: str, by_tree: bool, rounds: int) -> int:
    """Creates and removes, by the tree or by RPC; how many were made."""
    tree, rpc = Tree(daemon), Rpc(daemon.control_socket)
    made = 0
    for _ in range(rounds):
        idents = [new_uuid() for _ in range(2)]
        for ident in idents:
            if by_tree:
                (tree.available(parent).parent / "create").write_text(ident, encoding="utf-8")
                (tree.device(ident) / "mdev/weight").write_text("50\n", encoding="utf-8")
            else:
                rpc.call("mdev.start", uuid=ident, parent=parent, type=TYPE)
            tree.whole(ident, parent, TYPE)
            made += 1
        for ident in idents:
            if by_tree:
                (tree.device(ident) / "remove").write_text("1\n", encoding="utf-8")
            else:
                rpc.call("mdev.stop", uuid=ident)
            tree.without(ident, parent, TYPE)
    rpc.close()
    return made


def test_readers_and_writers(pair):
    """Five walk over all of it while two create and remove: nobody meets more than what vanished under him."""
    flag = pair.directory / "end"
    kept = pair.ok("start", "-p", "store", "-t", TYPE).strip()
    limit = time.monotonic() + 60
    readers = [Child(pair.uid, walk, tree_of(pair), lambda: flag.exists() or time.monotonic() > limit) for _ in range(5)]
    writers = [Child(pair.uid, churn, pair, "store", True, 40), Child(pair.uid, churn, pair, "0000:86:00.0", False, 40)]
    try:
        made = [writer.result() for writer in writers]
    finally:
        flag.touch()
        results = [reader.result() for reader in readers]
    assert made == [80, 80]
    for result in results:
        assert result["wrong"] == {}
        assert result["seen"] > 500, "it did not get round"
    assert within(pair, os.listdir, Tree(pair).devices) == [kept]
    assert within(pair, text, Tree(pair).available("store")) == "3\n"


def test_two_remove_one(store):
    """Of many who remove the same mdev each succeeds, or finds it gone."""
    def remove(path):
        with open(path, "wb", buffering=0) as file:
            wait_for(flag.exists, "the others")
            try:
                return file.write(b"1")
            except OSError as error:
                return -error.errno

    for turn in range(5):
        flag = store.directory / f"go{turn}"
        ident = store.ok("start", "-p", "store", "-t", TYPE).strip()
        children = [Child(store.uid, remove, Tree(store).device(ident) / "remove") for _ in range(4)]
        wait_for(lambda: all(any("remove" in name for name in links(child.pid)) for child in children),
                 "all to have it open")
        flag.touch()
        results = [child.result() for child in children]
        assert 1 in results and set(results) <= {1, -errno.ENODEV}, results
        assert store.mdev(ident) is None


def links(pid: int) -> list:
    """The names of the open files of a process; one that is closed meanwhile is none."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(link))
    return found


def test_two_create_one(store):
    """Of many who create the same UUID one succeeds, and the others hear that it exists."""
    def create(ident):
        try:
            (Tree(store).available("store").parent / "create").write_text(ident, encoding="utf-8")
        except OSError as error:
            return error.errno
        return 0

    for _ in range(10):
        ident = new_uuid()
        children = [Child(store.uid, create, ident) for _ in range(4)]
        results = sorted(child.result() for child in children)
        assert results == [0, errno.EEXIST, errno.EEXIST, errno.EEXIST], results
        store.ok("stop", "-u", ident)


def test_a_call_that_is_refused_is_refused_in_the_tree(store):
    """The same rules through both doors."""
    def run():
        tree, rpc = Tree(store), Rpc(store.control_socket)
        for _ in range(4):
            rpc.call("mdev.start", parent="store", type=TYPE)
        create = tree.available("store").parent / "create"
        for data, expected in ((new_uuid(), errno.EUSERS), ("x", errno.EINVAL), ("", 0)):
            try:
                create.write_text(data, encoding="utf-8")
                found = 0
            except OSError as error:
                found = error.errno
            assert found == expected, data
        try:
            rpc.call("mdev.start", parent="store", type=TYPE)
            raise Failure("a fifth one was made")
        except RpcError as error:
            assert error.word == "NO_INSTANCES" and error.errno == errno.EUSERS
        assert text(tree.available("store")) == "0\n"
        rpc.close()

    within(store, run)
