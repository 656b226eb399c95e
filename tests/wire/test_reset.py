# SPDX-License-Identifier: BSD-3-Clause
"""DEVICE_RESET, function level reset by configuration write, and what survives them."""

import threading
import time

import pytest

from umdevtest.nvme import CC, CSTS, READ, Nvme
from umdevtest.vfiouser import (CONFIG, DATA_EVENTFD, DATA_NONE, DEVICE_RESET, MSIX, NO_REPLY, TRIGGER, close_fds,
                                eventfd, signals)

FLR = 0x8000


def express(client) -> int:
    """Where the PCI Express capability stands."""
    at = client.capability(0x10)
    assert at, "the drive is no PCI Express device"
    return at


def flr(client) -> None:
    """Function level reset, as a guest starts it."""
    at = express(client)
    control = int.from_bytes(client.read(CONFIG, at + 8, 2), "little")
    client.write(CONFIG, at + 8, (control | FLR).to_bytes(2, "little"))


RESETS = {"message": lambda client: client.reset(), "function": flr}


@pytest.fixture(params=sorted(RESETS))
def reset(request):
    """Each way to reset a device."""
    return RESETS[request.param]


def test_reset_is_offered(client):
    assert client.info()[0] & 1
    assert client.read32(CONFIG, express(client) + 4) & 1 << 28


def test_registers_go_back(drive, reset):
    client = drive.client
    before = client.read(CONFIG, 0, 256)
    client.write(CONFIG, 4, b"\6\4")
    client.write32(CONFIG, 0x10, 0xfebf0000)
    assert drive.reg(CC) & 1 and drive.reg(CSTS) & 1
    reset(client)
    assert (drive.reg(CC), drive.reg(CSTS), drive.reg(0x28, 8), drive.reg(0x24)) == (0, 0, 0, 0)
    after = client.read(CONFIG, 0, 256)
    assert after[4:6] == b"\0\0"
    assert int.from_bytes(after[0x10:0x14], "little") & ~0xf == 0
    assert after[:4] == before[:4] and after[8:0x10] == before[8:0x10]
    assert int.from_bytes(client.read(CONFIG, express(client) + 8, 2), "little") & FLR == 0


def test_memory_and_interrupts_survive(drive, reset):
    """The client's maps and eventfds are the session's, not the device's."""
    event = eventfd()
    drive.client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, [event])
    drive.write(0, b"before a reset  " * 32)
    reset(drive.client)
    drive.client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 1)
    assert signals(event) == 1
    drive.queues.clear()
    drive.done.clear()
    drive.enable()
    drive.io_queue(1)
    assert drive.read(0, 512) == b"before a reset  " * 32
    close_fds([event])


def test_reset_without_reply(drive):
    drive.client.send(DEVICE_RESET, flags=NO_REPLY)
    assert drive.reg(CC) == 0


def test_reset_under_load(drive, reset):
    """With commands in flight: no completion comes after the reset was answered."""
    queue = drive.queues[1]
    for turn in range(10):
        page = drive.pages(32)
        for n in range(40):
            prp1, prp2, _ = drive.prps(page, 0x8000)
            drive.put(1, drive.sqe(READ, 1, prp1, prp2, [n * 64, 0, 63]))
        drive.ring(1)
        reset(drive.client)
        ring = drive.memory.read(queue.cq, queue.entries * 16)
        assert drive.reg(CSTS) == 0
        time.sleep(0.02)
        assert drive.memory.read(queue.cq, queue.entries * 16) == ring, f"a completion came late, turn {turn}"
        drive.queues.clear()
        drive.done.clear()
        drive.enable()
        queue = drive.io_queue(1)
        assert len(drive.read(0, 4096)) == 4096


def test_controller_reset_under_load(drive):
    for _ in range(20):
        page = drive.pages(8)
        for n in range(30):
            prp1, prp2, _ = drive.prps(page, 0x4000)
            drive.put(1, drive.sqe(READ, 1, prp1, prp2, [n * 32, 0, 31]))
        drive.ring(1)
        drive.disable()
        drive.enable()
        drive.io_queue(1)
        assert len(drive.read(0, 512)) == 512


def test_client_leaves_under_load(target):
    """In the middle of transfers into its memory, again and again."""
    for _ in range(20):
        nvme = target.drive()
        page = nvme.pages(64)
        for n in range(50):
            prp1, prp2, _ = nvme.prps(page, 0x40000)
            nvme.put(1, nvme.sqe(READ, 1, prp1, prp2, [n * 512, 0, 511]))
        nvme.ring(1)
        nvme.client.close()
        nvme.memory.close()
        target.wait_free()


def test_reset_of_one_is_not_felt_by_another(make_target):
    """Resets without end on one device; transfers on another go on."""
    first, second = make_target().drive(), make_target().drive()
    stop = threading.Event()

    def storm():
        while not stop.is_set():
            first.client.reset()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        data = b"x" * 4096
        for n in range(100):
            second.write(n * 8, data)
            assert second.read(n * 8, 4096) == data
    finally:
        stop.set()
        thread.join()


def test_unrelated_bits_do_not_reset(drive):
    client = drive.client
    at = express(client)
    client.write(CONFIG, at + 8, b"\x10\x28")
    client.write(CONFIG, at + 10, b"\xff\xff")
    assert drive.reg(CSTS) & 1
    client.write(CONFIG, at + 9, b"\x80")
    assert drive.reg(CSTS) == 0


def test_null_device(plain):
    client = plain.qemu()
    client.write(0, 4, b"kept")
    client.write(CONFIG, 4, b"\7")
    client.reset()
    assert client.read(0, 4, 4) == bytes(4)
    assert client.read(CONFIG, 4, 1) == b"\0"
    assert not client.capability(0x10)


def test_many_resets(target):
    nvme = Nvme(target.qemu(target.memory()))
    for _ in range(300):
        nvme.client.reset()
    nvme.enable()
    assert nvme.identify(1)[:2] == nvme.client.read(CONFIG, 0, 2)
