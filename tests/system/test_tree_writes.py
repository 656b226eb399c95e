# SPDX-License-Identifier: BSD-3-Clause
"""What is written to create, remove and attributes, with the errno of each mistake; after a mistake nothing is changed.

And what is read: a text is taken at the first read and stays until the file is read from its beginning again.
"""

import os
from pathlib import Path

import pytest

from umdevtest import wait_for
from umdevtest.daemon import new_uuid
from umdevtest.hands import Hands
from umdevtest.tree import CARD, PLAIN, PLAIN_TYPE, STORE, STORE_TYPE, add_parents, tree_of
from umdevtest.vfiouser import Client

FIRST = "11111111-2222-3333-4444-555555555555"
OTHER = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


class Bench:
    """The daemon, its tree, and hands of its user's."""

    def __init__(self, daemon, hands: Hands):
        self.daemon, self.hands = daemon, hands
        self.sys = tree_of(daemon) / "sys"

    def type(self, parent: str = STORE, kind: str = STORE_TYPE) -> Path:
        """The directory of a type."""
        return self.sys / "class/mdev_bus" / parent / "mdev_supported_types" / kind

    def mdev(self, ident: str = FIRST) -> Path:
        """The directory of an mdev."""
        return self.sys / "bus/mdev/devices" / ident

    def create(self, ident: str = FIRST, parent: str = STORE, kind: str = STORE_TYPE) -> Path:
        """Makes an mdev by writing its UUID."""
        assert self.hands.put(self.type(parent, kind) / "create", ident) == len(ident)
        return self.mdev(ident.lower())

    def available(self, parent: str = STORE, kind: str = STORE_TYPE) -> int:
        """available_instances as the tree says."""
        return int(self.hands.get(self.type(parent, kind) / "available_instances"))

    def picture(self) -> tuple:
        """All that a failed write could have changed, as the daemon and as the tree tell it."""
        types = self.daemon.rpc("type.list")["types"]
        sockets = sorted(path.name for path in (self.daemon.root / "run/umdev/mdevs").iterdir())
        return (self.daemon.rpc("mdev.list", statistics=False)["mdevs"], types, self.daemon.files(), sockets,
                self.hands.walk(self.sys))

    def refuses(self, path: Path, cases) -> None:
        """Writes of (text, errno): each fails with it and changes nothing."""
        before = self.picture()
        found = {text: self.hands.errno("put", path, text) for text, _ in cases}
        assert found == dict(cases)
        assert self.picture() == before


@pytest.fixture(name="bench")
def fixture_bench(daemon):
    """A daemon with three parents and no mdev."""
    add_parents(daemon)
    with Hands(daemon.uid) as hands:
        yield Bench(daemon, hands)


@pytest.mark.parametrize("text", [FIRST, FIRST + "\n", FIRST + " ", FIRST + "\0", OTHER.upper(), OTHER.upper() + "\n"])
def test_create(bench, text):
    """36 characters and any one byte more; the name is in lower case, whatever was written."""
    name = text[:36].lower()
    assert bench.hands.put(bench.type() / "create", text) == len(text)
    assert bench.hands.list(bench.type() / "devices") == [name] == bench.hands.list(bench.sys / "bus/mdev/devices")
    assert bench.hands.realpath(bench.mdev(name) / "mdev_type") == bench.hands.realpath(bench.type())
    assert bench.available() == 3
    assert bench.daemon.mdev(name)["parent"] == STORE
    # What create has returned from is whole: a client is served at once.
    with Client(Path(bench.hands.get(bench.mdev(name) / "mdev/socket").rstrip("\n"))) as client:
        client.like_qemu()


def test_create_refuses_what_is_no_uuid(bench):
    texts = [FIRST[:35], FIRST + "\n\n", FIRST + "ab", FIRST[:35] + "\n", FIRST[:35] + "g", FIRST.replace("-", "_"),
             "-" * 36, "1" * 36, FIRST.replace("-", "") + "1234", "{" + FIRST[:34] + "}", " " + FIRST[:35], "\n", "x",
             "\0" * 36, FIRST[:8] + FIRST[9:] + "-", "ä" * 36, FIRST + "," + OTHER, FIRST + ":" + OTHER[:-1], "a" * 4096,
             "a" * 5000]
    bench.refuses(bench.type() / "create", [(text, "EINVAL") for text in texts])


def test_nothing_written_is_nothing_done(bench):
    bench.create()
    before = bench.picture()
    for path in (bench.type() / "create", bench.mdev() / "remove", bench.mdev() / "mdev/weight"):
        assert bench.hands.put(path, "") == 0
    assert bench.picture() == before


def test_create_refuses_what_is_there(bench):
    """A UUID is used once, on whatever parent, in whatever case."""
    bench.create(OTHER)
    for path in (bench.type(), bench.type(kind="nvme-32m"), bench.type(CARD), bench.type(PLAIN, PLAIN_TYPE)):
        bench.refuses(path / "create", [(OTHER, "EEXIST"), (OTHER.upper() + "\n", "EEXIST")])


def test_create_when_full(bench):
    """EUSERS, for every type of the pool."""
    for _ in range(2):
        bench.create(new_uuid(), kind="nvme-32m")
    for kind in (STORE_TYPE, "nvme-32m", "nvme-rest"):
        assert bench.available(kind=kind) == 0
        bench.refuses(bench.type(kind=kind) / "create", [(FIRST, "EUSERS")])
    # A mistake in the text is found before the pool is looked at.
    bench.refuses(bench.type() / "create", [("x", "EINVAL")])
    bench.create(FIRST, CARD)


def test_create_of_a_definition(bench):
    """A defined mdev starts as it is defined, and as nothing else."""
    bench.daemon.ok("define", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE, "--attr", "nvme/queues=3")
    bench.refuses(bench.type(kind="nvme-32m") / "create", [(FIRST, "EINVAL")])
    mdev = bench.create()
    assert bench.hands.get(mdev / "nvme/queues") == "3\n"


def test_offset_is_ignored(bench):
    """Each write is one command, wherever the file stands."""
    fd = bench.hands.open(bench.type() / "create", os.O_WRONLY)
    idents = [new_uuid() for _ in range(3)]
    assert [bench.hands.write(fd, ident) for ident in idents[:2]] == [36, 36]
    assert bench.hands.pwrite(fd, idents[2], 12345) == 36
    assert bench.hands.list(bench.type() / "devices") == sorted(idents)
    assert bench.hands.errno("write", fd, idents[0]) == "EEXIST"


@pytest.mark.parametrize("text", ["1", "1\n", "0x1", "0X10\n", "010", "2", "+1", "4294967295"])
def test_remove(bench, text):
    """Any number but 0, as C writes them."""
    mdev = bench.create()
    assert bench.hands.put(mdev / "remove", text) == len(text)
    assert not bench.hands.exists(mdev) and bench.hands.list(bench.type() / "devices") == []
    assert bench.available() == 4 and bench.daemon.mdev(FIRST) is None
    assert not bench.daemon.socket_path(FIRST).exists()


def test_remove_refused(bench):
    """What is no number is refused, and 0 does nothing."""
    mdev = bench.create()
    bench.refuses(mdev / "remove", [(text, "EINVAL") for text in (
        "x", "\n", " ", " 1", "1 ", "1x", "0x", "1\n\n", "1 1", "yes", "\0", "1\0", "one", "0b1", "09", "1.0", "a" * 4096,
        "-1", "-", "+", "18446744073709551616")])
    bench.refuses(mdev / "remove", [(text, "") for text in ("0", "0\n", "0x0", "00", "")])


def test_remove_in_use(bench):
    """EBUSY while a client is connected, again and again; afterwards it goes."""
    mdev = bench.create()
    assert bench.hands.get(mdev / "mdev/in_use") == "0\n"
    with Client(bench.daemon.socket_path(FIRST)) as client:
        client.like_qemu()
        wait_for(lambda: bench.hands.get(mdev / "mdev/in_use") == "1\n", "in_use in the tree")
        bench.refuses(mdev / "remove", [("1", "EBUSY"), ("1\n", "EBUSY"), ("0", ""), ("x", "EINVAL")])
    wait_for(lambda: bench.hands.get(mdev / "mdev/in_use") == "0\n", "the client gone from the tree")
    assert bench.hands.put(mdev / "remove", "1") == 1


def test_open_files_of_what_is_gone(bench):
    """ENODEV from every file that stayed open."""
    mdev = bench.create()
    paths = ["remove", "mdev/weight", "uevent", "mdev/socket", "mdev/jobs", "nvme/queues"]
    fds = {path: bench.hands.open(mdev / path, os.O_WRONLY if path == "remove" else os.O_RDONLY) for path in paths}
    writers = {path: bench.hands.open(mdev / path, os.O_WRONLY)
               for path in ("remove", "mdev/weight", "nvme/queues", "uevent")}
    bench.hands.put(mdev / "remove", "1")
    assert {path: bench.hands.errno("read", fd) for path, fd in fds.items() if path != "remove"} == dict.fromkeys(
        set(paths) - {"remove"}, "ENODEV")
    found = {path: bench.hands.errno("write", fd, "1") for path, fd in writers.items()}
    assert found == dict.fromkeys(writers, "ENODEV")
    # One with the same UUID is another device.
    bench.create()
    assert bench.hands.errno("write", writers["remove"], "1") == "ENODEV"
    assert bench.hands.exists(mdev)


def test_parent_is_gone(bench):
    """Open files of its types say ENODEV, and nothing of it is left."""
    bench.create(FIRST, CARD)
    create = bench.hands.open(bench.type(CARD) / "create", os.O_WRONLY)
    free = bench.hands.open(bench.type(CARD) / "available_instances", os.O_RDONLY)
    bench.daemon.ok("parent", "remove", CARD, "--force")
    before = bench.picture()
    assert bench.hands.errno("write", create, OTHER) == "ENODEV"
    assert bench.hands.errno("read", free) == "ENODEV"
    assert bench.picture() == before
    assert not [path for path in bench.hands.walk(bench.sys) if CARD in path or FIRST in path]


ATTRIBUTES = [
    ("mdev/weight", "250", ["0", "10001", "-1", "x", "\n", "1.5", "100 ", "100\0", "1\n1", "9" * 40]),
    ("mdev/cap", "12.5", ["0", "101", "-1", "x", "\n", "1,5", "nan", "inf", "50\0"]),
    ("mdev/priority", "7", ["8", "-1", "x", "\n", "1.0"]),
    ("mdev/min_share", "12.5", ["100.01", "-1", "x", "\n", "1,5", "nan", "50\0"]),
    ("mdev/socket_mode", "0660", ["9", "x", "\n", "17777777", "-1"]),
    ("mdev/socket_user", None, ["nobody such user", "\n", "-2", "99999999999"]),
    ("nvme/queues", "5", ["0", "65536", "-1", "x", "\n", "1.5"]),
    ("nvme/interrupts", "msi", ["smoke", "\n", "MSI", "msi msix", "x" * 4096]),
    ("nvme/doorbells", "shared", ["x", "\n"]),
    ("nvme/serial", "A SERIAL 123", ["x" * 21, "ä", "a\nb", "tab\there", "\0"]),
    ("nvme/model", "Some model", ["x" * 41, "\xff"]),
    ("uevent", None, ["x", "\n", "added", "1"]),
]


@pytest.mark.parametrize("name, good, bad", ATTRIBUTES, ids=[row[0] for row in ATTRIBUTES])
def test_attributes(bench, name, good, bad):
    """A good value is there when the write returns, a bad one is EINVAL and the value stays."""
    mdev = bench.create()
    bench.refuses(mdev / name, [(text, "EINVAL") for text in bad])
    if not good:
        return
    for text in (good, good + "\n"):
        assert bench.hands.put(mdev / name, text) == len(text)
        assert bench.hands.get(mdev / name) == good + "\n"
    bench.refuses(mdev / name, [(text, "EINVAL") for text in bad])
    assert bench.available() == 3


def test_attributes_of_a_busy_mdev(bench):
    """What counts at once may be written while a client is connected, the rest is EBUSY."""
    mdev = bench.create()
    with Client(bench.daemon.socket_path(FIRST)) as client:
        client.like_qemu()
        for name, text in (("nvme/queues", "2"), ("nvme/serial", "S"), ("nvme/interrupts", "msi"),
                           ("mdev/socket_mode", "0660"), ("mdev/min_share", "5")):
            bench.refuses(mdev / name, [(text, "EBUSY")])
        for name, text in (("mdev/weight", "7"), ("mdev/cap", "7"), ("mdev/priority", "7")):
            bench.hands.put(mdev / name, text)
            assert bench.hands.get(mdev / name) == "7\n"


def test_first_read_takes_the_text(bench):
    """Later reads go on in it; from the beginning it is read anew, by seek and by pread."""
    path = bench.type() / "available_instances"
    fd = bench.hands.open(path, os.O_RDONLY)
    late = bench.hands.open(path, os.O_RDONLY)
    assert bench.hands.read(fd, 1) == "4"
    bench.create()
    assert bench.hands.read(late) == "3\n", "an open file takes its text when it is read first"
    bench.create(new_uuid())
    assert bench.hands.read(fd) == "\n" and bench.hands.read(fd) == ""
    bench.hands.seek(fd, 0)
    assert bench.hands.read(fd) == "2\n"
    bench.create(new_uuid())
    assert bench.hands.pread(late, 10, 1) == "\n"
    assert bench.hands.pread(late, 10, 0) == "1\n"


def test_snapshot_of_a_longer_text(bench):
    mdev = bench.create()
    bench.hands.put(mdev / "nvme/model", "The first model")
    fd = bench.hands.open(mdev / "nvme/model", os.O_RDWR)
    assert bench.hands.read(fd, 4) == "The "
    bench.hands.put(mdev / "nvme/model", "Another")
    assert bench.hands.read(fd) == "first model\n"
    assert bench.hands.pread(fd, 100, 4) == "first model\n"
    assert bench.hands.write(fd, "A third") == 7
    assert bench.hands.seek(fd, 0) == 0 and bench.hands.read(fd) == "A third\n"


def test_every_writer_sees_his_work(bench):
    """200 times: what was started by RPC is in the tree when the answer comes, and gone after the stop."""
    for _ in range(200):
        ident = new_uuid()
        bench.daemon.rpc("mdev.start", uuid=ident, parent=PLAIN, type=PLAIN_TYPE)
        assert bench.hands.list(bench.type(PLAIN, PLAIN_TYPE) / "devices") == [ident]
        bench.daemon.rpc("mdev.stop", uuid=ident)
        assert not bench.hands.exists(bench.mdev(ident))
