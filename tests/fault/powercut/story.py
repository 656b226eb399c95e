# SPDX-License-Identifier: BSD-3-Clause
"""The life of a daemon, step by step: every method that writes is called, and what only happens later or on the way (a
card swapped, a piece wiped, a definition that starts by itself, a daemon that is killed) happens, too."""

from dataclasses import dataclass
from typing import Callable

from umdevtest.daemon import RpcError

from .calls import Change

MIB = 1 << 20
BLOCK = 4096
IMAGE = "store.img"
OTHER_IMAGE = "other.img"
CARD = {"driver": "swap"}

# Every method of the RPC is in one of these; tests/fault/test_power_cut.py compares them with the daemon's.
WRITES = {"parent.add", "parent.remove", "parent.upgrade", "mdev.define", "mdev.undefine", "mdev.modify", "mdev.start", "mdev.stop",
          "mdev.set", "mdev.qos", "mdev.restore", "group.start", "group.stop", "group.qos"}
READS = {"version", "parent.list", "driver.list", "type.list", "mdev.list", "plan", "mdev.blame", "mdev.save", "group.list",
         "event.list", "event.watch", "doctor"}


def ident(letter: str) -> str:
    """A UUID that is easy to tell in a file."""
    return f"{letter * 8}-0000-4000-8000-{letter * 12}"


A, B, C, D, E, F = (ident(letter) for letter in "abcdef")
T, U, V, G = (ident(letter) for letter in "1239")


@dataclass(frozen=True)
class Step:
    """One thing that happens. What was @answered counts from the moment of the answer; anything else, a start of the
    daemon, when it is over. @outside: changes that somebody else made."""
    name: str
    act: Callable
    answered: bool = True
    outside: Callable = None


def rpc(method: str, fails: str = "", **params) -> Step:
    """A call that is answered, with an error of the word @fails where there is one."""
    def act(daemon) -> None:
        wanted = {key: value(daemon) if callable(value) else value for key, value in params.items()}
        try:
            daemon.rpc(method, **wanted)
        except RpcError as error:
            assert error.word == fails, error
        else:
            assert not fails, f"{method} was to fail with {fails}"

    return Step(f"{method} {params.get('uuid') or params.get('name') or params.get('group')}", act)


SAVED = {}


def save(uuid: str) -> Step:
    """The state of a device is kept for mdev.restore."""
    return Step(f"mdev.save {uuid}", lambda daemon: SAVED.update({uuid: daemon.rpc("mdev.save", uuid=uuid)["data"]}))


def add(name: str, image: str, size: str = "6M", **more) -> Step:
    """Adds a parent that shares a file."""
    options = {"path": lambda daemon: str(daemon.directory / image), "types": "1m,2m", "parallelism": "4"}
    if size:
        options["size"] = size

    def act(daemon) -> None:
        known = {key: value(daemon) if callable(value) else value for key, value in options.items()}
        daemon.rpc("parent.add", name=name, driver="nvme", options=known, **more)

    return Step(f"parent.add {name}", act)


def block(uuid: str) -> bytes:
    """What a guest writes at the beginning of every MiB that it has."""
    return f"{uuid}\n".encode() * (BLOCK // 37) + b"\n" * (BLOCK % 37)


def owner_of(data: bytes) -> str:
    """Whose block this is, "" where nobody has written."""
    return data[:36].decode() if any(data) else ""


def fill(uuid: str) -> Step:
    """The guest writes, and flushes."""
    def outside(daemon) -> list:
        mdev = daemon.mdev(uuid)
        start, size = mdev["piece"]["start"], mdev["piece"]["size"]
        image = daemon.parent(mdev["parent"])["options"]["path"]
        changes = []
        with open(image, "r+b") as file:
            for at in range(start, start + size, MIB):
                file.seek(at)
                file.write(block(uuid))
                changes.append(Change("write", image, at=at, data=block(uuid)))
        return changes + [Change("sync", image)]

    return Step(f"the guest of {uuid} writes", lambda daemon: None, outside=outside)


def remove_image(image: str) -> Step:
    """The operator removes a file, for good."""
    def outside(daemon) -> list:
        path = daemon.directory / image
        path.unlink()
        return [Change("unlink", str(path)), Change("sync", str(daemon.directory))]

    return Step(f"{image} is removed", lambda daemon: None, outside=outside)


def make_directory(path: str) -> Step:
    """Somebody makes a directory, which need not be on the disk yet."""
    def outside(daemon) -> list:
        (daemon.directory / path).mkdir()
        return [Change("mkdir", str(daemon.directory / path))]

    return Step(f"{path} is made", lambda daemon: None, outside=outside)


def boot() -> Step:
    """A daemon starts on what is there."""
    return Step("boot", lambda daemon: daemon.start(), answered=False)


def kill() -> Step:
    """The daemon and its hosts end at once."""
    return Step("kill", lambda daemon: daemon.kill(), answered=False)


def stop() -> Step:
    """The daemon ends in order."""
    return Step("stop", lambda daemon: daemon.stop(), answered=False)


STORY = (
    boot(),
    # The first thing of all on a new disk; its parent is to come.
    rpc("mdev.define", uuid=E, parent="card", type="swap-13"),
    rpc("mdev.modify", uuid=E, owner="the first"),
    rpc("mdev.undefine", uuid=E),
    add("store", IMAGE),
    rpc("mdev.define", uuid=A, parent="store", type="nvme-1m"),
    rpc("mdev.start", uuid=A),
    fill(A),
    rpc("mdev.define", uuid=B, parent="store", type="nvme-2m", start="auto", owner="the second"),
    rpc("mdev.start", uuid=B),
    fill(B),
    rpc("mdev.define", uuid=B, parent="store", type="nvme-1m", fails="EXISTS"),
    rpc("mdev.modify", uuid=A, addattr={"name": "mdev/weight", "value": "250"}),
    rpc("mdev.modify", uuid=A, delattr=True),
    rpc("mdev.qos", uuid=B, weight=300, cap=50, defined=True),
    rpc("mdev.set", uuid=B, name="mdev/priority", value="3"),
    rpc("mdev.modify", uuid=B, live=True, defined=True, attrs=[{"mdev/weight": "400"}]),
    # A group of its own, with settings.
    rpc("mdev.define", uuid=C, parent="store", type="nvme-1m", group=G),
    rpc("mdev.define", uuid=D, parent="store", type="nvme-1m", group=G),
    rpc("group.qos", group=G, weight=500),
    rpc("group.start", group=G),
    fill(C),
    rpc("group.qos", group=G, cap=70),
    rpc("group.stop", group=G),
    # A guest of a day leaves its data behind; the next one must not see it.
    rpc("mdev.start", uuid=T, parent="store", type="nvme-1m"),
    fill(T),
    rpc("mdev.stop", uuid=T),
    rpc("mdev.start", uuid=U, parent="store", type="nvme-1m"),
    fill(U),
    rpc("mdev.start", uuid=V, parent="store", type="nvme-1m", fails="NO_INSTANCES"),
    rpc("mdev.stop", uuid=U),
    # The last of a group takes the settings along.
    rpc("mdev.undefine", uuid=C),
    rpc("mdev.undefine", uuid=D),
    # From a state that was saved, on the piece that it has.
    save(A),
    rpc("mdev.stop", uuid=A),
    rpc("mdev.restore", data=lambda daemon: SAVED[A]),
    # Another size is another piece.
    rpc("mdev.stop", uuid=A),
    rpc("mdev.modify", uuid=A, type="nvme-2m"),
    rpc("mdev.start", uuid=A),
    fill(A),
    rpc("mdev.modify", uuid=A, start="auto"),
    rpc("parent.upgrade", name="store"),
    rpc("mdev.undefine", uuid=B),
    rpc("mdev.stop", uuid=B),
    # A card is swapped: the definition is corrected on the way.
    rpc("parent.add", name="card", options={"cards": "m60"}, **CARD),
    rpc("mdev.define", uuid=E, parent="card", type="swap-13"),
    rpc("mdev.start", uuid=E),
    rpc("parent.remove", name="card", force=True),
    rpc("parent.add", name="card", options={"cards": "p100"}, **CARD),
    rpc("mdev.start", uuid=E),
    rpc("mdev.stop", uuid=E),
    # The last definition of a parent takes the directory along, the next one brings it back.
    rpc("mdev.undefine", uuid=E),
    rpc("mdev.define", uuid=E, parent="card", type="swap-21"),
    rpc("mdev.undefine", uuid=E),
    rpc("parent.remove", name="card"),
    # mdevctl makes the directory, and syncs nothing.
    make_directory("root/etc/umdev/mdevs.d/hand"),
    rpc("mdev.define", uuid=E, parent="hand", type="swap-21"),
    rpc("mdev.modify", uuid=E, owner="somebody"),
    rpc("mdev.undefine", uuid=E),
    # Of several definitions, all go.
    rpc("mdev.define", uuid=E, parent="hand", type="swap-21"),
    rpc("mdev.define", uuid=E, parent="store", type="nvme-1m"),
    rpc("mdev.undefine", uuid=E),
    # Ends of the daemon, and what starts by itself.
    stop(),
    boot(),
    rpc("mdev.start", uuid=T, parent="store", type="nvme-2m"),
    fill(T),
    kill(),
    boot(),
    # What is undefined while its parent is away leaves its mark on the map all the same.
    rpc("mdev.define", uuid=F, parent="store", type="nvme-1m"),
    rpc("mdev.start", uuid=F),
    fill(F),
    rpc("parent.remove", name="store", force=True),
    rpc("mdev.undefine", uuid=A),
    rpc("mdev.undefine", uuid=F),
    # The file under another name, then another file under that name.
    add("shelf", IMAGE, ""),
    rpc("mdev.start", uuid=U, parent="shelf", type="nvme-1m"),
    fill(U),
    rpc("mdev.stop", uuid=U),
    rpc("parent.remove", name="shelf"),
    remove_image(IMAGE),
    add("shelf", IMAGE),
    rpc("mdev.define", uuid=F, parent="shelf", type="nvme-1m"),
    rpc("mdev.start", uuid=F),
    fill(F),
    add("side", OTHER_IMAGE, "3M"),
    stop(),
)
