# SPDX-License-Identifier: BSD-3-Clause
"""umdevctl save and restore: the state of a device to a file and back, under a client that goes on there."""

import base64
import json
import os
import re
import stat
import struct
import threading
import time

import pytest

from lib_system import fails
from umdevtest import wait_for
from umdevtest.daemon import RpcError, new_uuid
from umdevtest.load import Load
from umdevtest.nvme import ASYNC_EVENT, CC, CSTS, FLUSH, IDENTIFY, READ, Nvme, ready_drive
from umdevtest.serial import Uart
from umdevtest.vfiouser import CONFIG, MSIX, Client, GuestMemory, signals

BLOCK = 512


def parent(daemon, name: str = "p", *words) -> None:
    """A parent of the driver nvme."""
    daemon.ok("parent", "add", name, "--driver", "nvme", "--option", f"path={daemon.directory}/{name}.img",
              "--option", "size=64M", "--option", "types=16m,32m", *words)


def start(daemon, *words, name: str = "p", kind: str = "nvme-16m") -> str:
    """A drive."""
    return daemon.ok("start", "-p", name, "-t", kind, *words).strip()


def define(daemon, *words) -> str:
    """A drive that keeps its data while it is stopped."""
    ident = daemon.ok("define", "-p", "p", "-t", "nvme-16m", *words).strip()
    daemon.ok("start", "-u", ident)
    return ident


def saved(daemon, ident: str, name: str = "state"):
    """The file that it is saved to."""
    path = daemon.directory / name
    daemon.ok("save", ident, path)
    return path


def again(daemon, ident: str, memory: GuestMemory, nvme: Nvme) -> Nvme:
    """The client of a restored drive: the same guest, with the same memory, over another connection."""
    client = Client(daemon.socket_path(ident), memory)
    client.like_qemu()
    for segment in memory.segments:
        client.dma_map(segment)
    nvme.client = client
    return nvme


def configuration(client) -> bytes:
    """All of configuration space."""
    return client.read(CONFIG, 0, client.region_info(CONFIG)["size"])


def crc32c(data: bytes) -> int:
    """The checksum of a file, computed in the plainest way."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def sealed(data: bytes) -> bytes:
    """The file with a checksum that is right."""
    return data[:-8] + struct.pack("<II", crc32c(data[:-8]), 0)


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """The file with something else of the same length in it."""
    assert old in data and len(old) == len(new)
    return sealed(data.replace(old, new, 1))


def test_without_a_client(daemon):
    """What nobody uses is saved, and comes back under its name, its type and its attributes."""
    parent(daemon)
    ident = start(daemon, "--attr", "nvme/queues=5", "--attr", "mdev/weight=250")
    path = saved(daemon, ident)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size < 8192
    assert daemon.mdev(ident)["state"] == "active"
    Load(daemon, ident, 0.2).result()
    daemon.ok("stop", "-u", ident)
    assert daemon.ok("restore", path).strip() == ident
    mdev = daemon.mdev(ident)
    assert mdev["type_name"] == "umdev NVMe 16 MiB" and not mdev["defined"]
    attributes = {key: value for pair in mdev["attrs"] for key, value in pair.items()}
    assert attributes["nvme/queues"] == "5" and attributes["mdev/weight"] == "250"
    Load(daemon, ident, 0.2).result()


@pytest.mark.parametrize("doorbells", ["trapped", "shared"])
def test_paused_guest_goes_on(daemon, doorbells):
    """A client that stands still: saved, killed, restored; queues, data and interrupts are where they were."""
    parent(daemon)
    ident = define(daemon, "--attr", f"nvme/doorbells={doorbells}")
    memory = GuestMemory()
    nvme = ready_drive(daemon.socket_path(ident), memory)
    nvme.interrupts(MSIX, 2)
    nvme.write(7, b"before the pause" * 32)
    event = nvme.submit(0, nvme.sqe(ASYNC_EVENT))
    before = configuration(nvme.client)
    path = saved(daemon, ident)
    # It stays as it is, and goes on.
    assert configuration(nvme.client) == before and daemon.mdev(ident)["in_use"]
    assert nvme.read(7, BLOCK) == b"before the pause" * 32
    path = saved(daemon, ident)
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)

    assert daemon.ok("restore", path).strip() == ident
    nvme = again(daemon, ident, memory, nvme)
    assert configuration(nvme.client) == before
    events = nvme.interrupts(MSIX, 2)
    assert nvme.reg(CSTS) & 3 == 1 and nvme.reg(CC) & 1
    assert nvme.read(7, BLOCK) == b"before the pause" * 32
    nvme.write(8, b"after it" * 64)
    assert nvme.read(8, BLOCK) == b"after it" * 64
    assert (0, event) not in nvme.done
    nvme.io_queue(3)
    cid = nvme.submit(0, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))
    assert signals(events[0], 5)
    assert nvme.wait(0, cid).status == 0
    nvme.client.close()


def test_completions_not_taken(daemon):
    """A full completion queue and commands behind it: what was owed comes after the restore, once."""
    parent(daemon)
    ident = start(daemon)
    memory = GuestMemory()
    nvme = ready_drive(daemon.socket_path(ident), memory)
    queue = nvme.io_queue(2, 4)
    page = nvme.pages()
    cids = [nvme.submit(2, nvme.sqe(READ, nsid=1, prp1=page, cdw=[n, 0, 0])) for n in range(3)]
    time.sleep(0.2)
    path = saved(daemon, ident)
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)
    daemon.ok("restore", path)
    nvme = again(daemon, ident, memory, nvme)
    assert queue.head == 0
    for cid in cids:
        assert nvme.wait(2, cid).status == 0
    nvme.write(1, bytes(BLOCK))
    nvme.client.close()


def test_running_guest_is_refused(daemon):
    """A device that works is not saved, and nothing of the work is lost by the try."""
    parent(daemon)
    ident = start(daemon)
    load = Load(daemon, ident, 3600, rw="randrw", queues=2, depth=16, verify=True)
    wait_for(lambda: daemon.mdev(ident)["in_use"] or not load.running, "the client", 20)
    time.sleep(0.2)
    path = daemon.directory / "state"
    begun = time.monotonic()
    fails(daemon, "save", ident, path, says=(ident, "in use by process", "pause"))
    assert time.monotonic() - begun < 5 and not path.exists()
    report = load.stop()
    assert report["errors"] == report["mismatches"] == 0


def test_looked_at_only(daemon):
    """A client that comes, reads configuration space and goes leaves a restored device for the next."""
    parent(daemon)
    ident = define(daemon)
    memory = GuestMemory()
    nvme = ready_drive(daemon.socket_path(ident), memory)
    nvme.write(1, b"look" * 128)
    path = saved(daemon, ident)
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)
    daemon.ok("restore", path)
    for _ in range(2):
        with Client(daemon.socket_path(ident)) as client:
            client.like_qemu()
            assert client.read(CONFIG, 0, 2) not in (b"\0\0", b"\xff\xff")
        wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    # One that is killed, too, and a save of what waits is the same state.
    host = daemon.host_pid("p")
    os.kill(host, 9)
    wait_for(lambda: daemon.host_pid("p") not in (0, host) and daemon.mdev(ident)["state"] == "active", "the host", 10)
    assert saved(daemon, ident, "again").read_bytes() == path.read_bytes()
    daemon.ok("upgrade", "p")
    nvme = again(daemon, ident, memory, nvme)
    assert nvme.read(1, BLOCK) == b"look" * 128
    nvme.client.close()


def test_unanswered_look(daemon):
    """Whether memory is shared is the session's own question: a client that leaves it open can be saved."""
    parent(daemon)
    ident = start(daemon)
    client = Client(daemon.socket_path(ident), GuestMemory())
    client.like_qemu()
    client.hold_dma = []
    nvme = Nvme(client)
    nvme.enable()
    nvme.io_queue(1)
    nvme.write(1, b"more" * 128)
    assert client.hold_dma
    saved(daemon, ident)
    held, client.hold_dma = client.hold_dma, None
    for message in held:
        client.answer_dma(message)
    assert nvme.read(1, BLOCK) == b"more" * 128
    saved(daemon, ident)
    client.close()


def test_reset_forgets(daemon):
    """A client that resets the device as a booting machine does gets a device like any other."""
    parent(daemon)
    ident = start(daemon)
    memory = GuestMemory()
    nvme = ready_drive(daemon.socket_path(ident), memory)
    path = saved(daemon, ident)
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)
    daemon.ok("restore", path)
    nvme = again(daemon, ident, memory, nvme)
    nvme.client.reset()
    assert nvme.reg(CSTS) & 1 == 0 and nvme.reg(CC) == 0
    nvme.client.close()
    Load(daemon, ident, 0.2).result()


def test_another_uuid_and_a_definition(daemon):
    """Under another UUID it is another mdev; one that is defined must be of that type."""
    parent(daemon)
    ident = start(daemon)
    path = saved(daemon, ident)
    other = new_uuid()
    assert daemon.ok("restore", path, "-u", other).strip() == other
    assert {mdev["uuid"] for mdev in daemon.rpc("mdev.list")["mdevs"]} == {ident, other}
    fails(daemon, "restore", path, says=(ident, "active already"))
    daemon.ok("stop", "-u", ident)
    daemon.ok("define", "-u", ident, "-p", "p", "-t", "nvme-16m", "--attr", "mdev/weight=7")
    daemon.ok("restore", path)
    assert daemon.mdev(ident)["defined"] and {"mdev/weight": "7"} in daemon.mdev(ident)["attrs"]
    daemon.ok("stop", "-u", ident)
    for words, says in ((["--attr", "nvme/queues=3"], ("nvme/queues 64", "nvme/queues 3")),
                        (["--attr", "nvme/doorbells=shared"], ("doorbells trapped", "doorbells shared"))):
        daemon.ok("undefine", "-u", ident)
        daemon.ok("define", "-u", ident, "-p", "p", "-t", "nvme-16m", *words)
        fails(daemon, "restore", path, says=says, unchanged=False)
        assert not daemon.mdev(ident, True)["active"]
    daemon.ok("undefine", "-u", ident)
    daemon.ok("define", "-u", ident, "-p", "p", "-t", "nvme-32m")
    fails(daemon, "restore", path, says=(ident, "'umdev NVMe 32 MiB'", "'umdev NVMe 16 MiB'"))


def test_another_parent(daemon):
    """Elsewhere: on a parent that has a copy of the data; not where driver or type are others."""
    parent(daemon)
    ident = start(daemon)
    (begin, size) = (daemon.mdev(ident)["piece"][key] for key in ("start", "size"))
    memory = GuestMemory()
    nvme = ready_drive(daemon.socket_path(ident), memory)
    nvme.write(100, b"goes along" * 51 + b"..")
    nvme.ok(1, FLUSH, nsid=1)
    data = (daemon.directory / "p.img").read_bytes()[begin:begin + size]
    assert b"goes along" in data
    path = saved(daemon, ident)
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)
    daemon.ok("parent", "add", "q", "--driver", "nvme", "--option", f"path={daemon.directory}/q.img",
              "--option", "size=64M", "--option", "types=32m")
    fails(daemon, "restore", path, "-p", "q", says="umdev NVMe 16 MiB")
    daemon.ok("parent", "add", "n", "--driver", "null")
    fails(daemon, "restore", path, "-p", "n", says=("driver nvme", "parent n has driver null"))
    fails(daemon, "restore", path, "-p", "nobody", says="nobody")
    daemon.ok("parent", "remove", "q")
    # The data is the operator's to move, between the start that takes a piece and the first client.
    parent(daemon, "r")
    assert daemon.ok("restore", path, "-p", "r").strip() == ident
    assert daemon.mdev(ident)["parent"] == "r"
    with open(daemon.directory / "r.img", "r+b") as file:
        file.seek(daemon.mdev(ident)["piece"]["start"])
        file.write(data)
    nvme = again(daemon, ident, memory, nvme)
    assert nvme.reg(CSTS) & 3 == 1
    assert nvme.read(100, BLOCK) == b"goes along" * 51 + b".."
    nvme.client.close()


def test_serial(daemon):
    """A UART: its registers and what it had received and not been asked for."""
    daemon.ok("parent", "add", "s", "--driver", "serial")
    kind = daemon.rpc("type.list", parent="s")["types"][0]["id"]
    ident = daemon.ok("start", "-p", "s", "-t", kind).strip()
    client = Client(daemon.socket_path(ident))
    client.like_qemu()
    Uart(client).open(3)
    scratch = 7
    Uart(client).write(scratch, 0x5a)
    path = saved(daemon, ident)
    assert Uart(client).read(scratch) == 0x5a
    client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)
    daemon.ok("restore", path)
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        assert Uart(client).read(scratch) == 0x5a
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        assert Uart(client).read(scratch) != 0x5a, "the first one that touched it has left"


# ---- files that are none


def test_damaged_files(daemon):
    """Cut, changed, of another version: one line that says why, and nothing is created."""
    parent(daemon)
    ident = start(daemon)
    good = saved(daemon, ident).read_bytes()
    daemon.ok("stop", "-u", ident)
    assert sealed(good) == good
    path = daemon.directory / "bad"
    cases = [
        (b"", "does not begin like one"), (b"x" * 4096, "does not begin like one"),
        (good[:len(good) // 2], "is cut"), (good[:-1], "is cut"), (good + b"\0", "something behind it"),
        (good[:200] + bytes([good[200] ^ 1]) + good[201:], "checksum is wrong"),
        (sealed(good[:8] + b"\2" + good[9:]), "format 2, only 1"),
        (replaced(good, b"driver nvme\n", b"driver null\n"), "driver null"),
        (replaced(good, b"state 2\n", b"state 9\n"), "version 9"),
        (replaced(good, b"16 MiB", b"99 MiB"), "99 MiB"),
        (replaced(good, b"size 16777216", b"size 16777217"), "size 16777217"),
        (replaced(good, b"pci 1\n", b"pci 7\n"), "pci 7"),
        (replaced(good, b"nvme/queues 64", b"nvme/queues 63"), "nvme/queues 63"),
        (replaced(good, ident.encode(), b"x" * 36), "no UUID"),
    ]
    for data, says in cases:
        path.write_bytes(data)
        fails(daemon, "restore", path, says=says)
    path.write_bytes(bytes(1 << 20))
    fails(daemon, "restore", path, says=str(path))
    fails(daemon, "restore", daemon.directory / "absent", says=("absent", "No such file"))
    path.write_bytes(good)
    daemon.ok("restore", path)


def test_every_byte(daemon):
    """A byte in a hundred changed, at every place in turn, with a checksum that is right or not: the daemon lives,
    and what it starts can be stopped."""
    parent(daemon)
    ident = start(daemon)
    nvme = ready_drive(daemon.socket_path(ident), GuestMemory())
    good = saved(daemon, ident).read_bytes()
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)
    host = daemon.host_pid("p")
    rpc = daemon.connect()
    outcomes = {"started": 0, "refused": 0}
    for at in range(0, len(good), 97):
        bad = good[:at] + bytes([good[at] ^ 0x81]) + good[at + 1:]
        with pytest.raises(RpcError):
            rpc.call("mdev.restore", data=base64.b64encode(bad).decode())
        try:
            got = rpc.call("mdev.restore", data=base64.b64encode(sealed(bad)).decode())["uuid"]
            outcomes["started"] += 1
        except RpcError:
            outcomes["refused"] += 1
            continue
        with Client(daemon.socket_path(got)) as client:
            client.like_qemu()
            client.call(9, struct.pack("=QII", CSTS, 0, 4))
            client.info()
        rpc.call("mdev.stop", uuid=got, force=True)
    rpc.close()
    assert daemon.host_pid("p") == host and outcomes["started"] and outcomes["refused"]


def test_refusals(daemon):
    parent(daemon)
    ident = start(daemon)
    path = daemon.directory / "state"
    fails(daemon, "save", new_uuid(), path, says="not active")
    fails(daemon, "save", "nonsense", path, says="not a UUID", rc=2)
    fails(daemon, "save", ident, rc=2)
    fails(daemon, "save", ident, daemon.directory / "no/where", says=("no/where", "No such file"))
    assert not path.exists()
    assert json.loads(daemon.ok("save", ident, path, "--json")) == {"uuid": ident, "size": path.stat().st_size}
    assert re.match(rb"umdevsav\x01\0\0\0", path.read_bytes())


def test_many_at_once(daemon):
    """Saves side by side, and a stop in the middle of one."""
    parent(daemon)
    idents = [start(daemon) for _ in range(3)]
    clients = [Client(daemon.socket_path(ident)) for ident in idents]
    for client in clients:
        client.like_qemu()
    results = []
    threads = [threading.Thread(target=lambda ident=ident: results.append(
        daemon.ctl("save", ident, daemon.directory / ident).rc)) for ident in idents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0, 0, 0]
    thread = threading.Thread(target=lambda: daemon.ctl("save", idents[0], daemon.directory / "x"))
    thread.start()
    time.sleep(0.03)
    daemon.ctl("stop", "-u", idents[0], "--force")
    thread.join()
    daemon.ctl("stop", "-u", idents[0], "--force")
    assert all(mdev["uuid"] != idents[0] for mdev in daemon.rpc("mdev.list")["mdevs"])
    for client in clients:
        client.close()
