# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory without a descriptor: reached by DMA_READ and DMA_WRITE messages to the client.

The server must never wait for an answer: while its messages are open it serves accesses, maps,
resets. Clients that answer late, wrongly, or not at all lose their request or their session.
"""

import errno
import struct
import time

import pytest

from umdevtest import wait_for
from umdevtest.nvme import CC, CSTS, IDENTIFY, READ, WRITE, Nvme
from umdevtest.vfiouser import (ACCESS_BODY, CONFIG, DEVICE_RESET, DMA_BODY, DMA_READ, DMA_WRITE, ERROR, HEADER,
                                REGION_READ, REPLY, VERSION, GuestMemory)


@pytest.fixture
def messages(target):
    """A drive all of whose memory is reached by messages."""
    return target.drive(with_fd=False)


def held(nvme: Nvme, limit_s: float = 5) -> list:
    """Waits for DMA messages of the server, without answering them."""
    def some():
        nvme.client.pump(0.01)
        return nvme.client.hold_dma

    return wait_for(some, "a DMA message", limit_s)


def hold(nvme: Nvme, submit=True) -> list:
    """From now on the server's messages are collected; a command makes it send one."""
    nvme.client.hold_dma = []
    if submit:
        nvme.submit(0, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))
    return held(nvme)


def let_go(nvme: Nvme) -> None:
    """Answers what was held, and everything from now on."""
    waiting, nvme.client.hold_dma = nvme.client.hold_dma, None
    for message in waiting:
        nvme.client.answer_dma(message)


def test_whole_drive(messages):
    """Queues, lists and data all by messages."""
    data = bytes(range(256)) * 512
    messages.write(0, data)
    assert messages.read(0, len(data)) == data
    assert messages.memory.reads and messages.memory.writes
    assert messages.identify(1)[:2] == messages.client.read(CONFIG, 0, 2)


def test_transfers_keep_to_the_clients_limit(target):
    """max_data_xfer_size bounds what the server puts into one message."""
    client = target.connect(target.memory())
    client.version(capabilities=b'{"capabilities":{"max_data_xfer_size":4096,"write_multiple":true}}\0')
    nvme = Nvme(client, with_fd=False)
    nvme.enable()
    nvme.io_queue(1)
    data = bytes(range(256)) * 256
    nvme.write(0, data)
    assert nvme.read(0, len(data)) == data
    counts = [count for _, count in nvme.memory.reads + nvme.memory.writes]
    assert counts and max(counts) <= 4096


def test_mixed_memory(target):
    """One transfer, half of which has a descriptor."""
    nvme = target.drive()
    far = nvme.memory.add(0x4000000, 0x10000)
    nvme.client.dma_map(far, with_fd=False)
    addr = nvme.pages(1)
    nvme.memory.write(addr, b"near" * 1024)
    nvme.memory.write(far.addr, b"away" * 1024)
    done = nvme.command(1, WRITE, nsid=1, prp1=addr, prp2=far.addr, cdw=[0, 0, 15])
    assert done.status == 0
    assert nvme.read(0, 8192) == b"near" * 1024 + b"away" * 1024
    done = nvme.command(1, READ, nsid=1, prp1=far.addr, prp2=addr, cdw=[0, 0, 15])
    assert done.status == 0
    assert far.view[:4096] == b"near" * 1024 and nvme.memory.read(addr, 4096) == b"away" * 1024


def test_reads_go_on_while_messages_wait(messages):
    """The trap of a big lock: whoever waits for its DMA before it answers a read is dead."""
    hold(messages)
    begin = time.monotonic()
    for _ in range(200):
        assert messages.reg(CSTS) & 1
        assert len(messages.client.read(CONFIG, 0, 64)) == 64
    messages.client.write(CONFIG, 0x3c, b"\5")
    assert messages.client.map_error(0x40000000, 0x1000) == 0
    assert messages.client.unmap_error(0x40000000, 0x1000) == 0
    assert messages.client.irqs_error(0x21, 2, 0, 0) == 0
    assert time.monotonic() - begin < 5
    let_go(messages)
    messages.identify(1)


def test_message_comes_between_read_and_its_reply(messages):
    """The server's message and the reply to a read may come in either order."""
    messages.client.hold_dma = []
    for _ in range(50):
        cid = messages.put(0, messages.sqe(IDENTIFY, prp1=messages.pages(), cdw=[1]))
        messages.client.write32(0, 0x1000, messages.queues[0].tail, posted=True)
        idents = [messages.client.send(REGION_READ, ACCESS_BODY.pack(CSTS, 0, 4)) for _ in range(5)]
        for ident in idents:
            assert messages.client.reply(ident, REGION_READ).body[16] & 1
        let_go(messages)
        messages.wait(0, cid)
        messages.client.hold_dma = []


def test_answers_in_pieces(messages):
    messages.client.hold_dma = []
    messages.submit(0, messages.sqe(IDENTIFY, prp1=messages.pages(), cdw=[1]))
    for _ in range(6):
        for message in list(held(messages)):
            messages.client.hold_dma.remove(message)
            messages.client.answer_dma(message, split=True)
        if messages.reap(0):
            break
    let_go(messages)
    assert messages.reg(CSTS) & 1


def test_reset_while_messages_wait(messages):
    """It is answered although the client has not answered; late answers are taken and dropped."""
    waiting = list(hold(messages))
    begin = time.monotonic()
    messages.client.reset()
    assert time.monotonic() - begin < 4
    assert messages.reg(CC) == 0
    for message in waiting:
        messages.client.answer_dma(message)
    messages.client.hold_dma = None
    assert messages.reg(CSTS) == 0
    messages.queues.clear()
    messages.enable()
    messages.identify(1)


def test_controller_reset_while_messages_wait(messages):
    hold(messages)
    messages.set_reg(CC, 0)
    begin = time.monotonic()
    while messages.reg(CSTS) & 1 and time.monotonic() - begin < 1:
        pass
    let_go(messages)
    messages.wait_csts(1, 0)


def test_unmap_while_messages_wait(messages):
    """VMMs wait 5 seconds for the reply to an unmap, and cannot answer meanwhile."""
    waiting = list(hold(messages))
    begin = time.monotonic()
    assert messages.client.unmap_error(messages.segment.addr, messages.segment.size) == 0
    assert time.monotonic() - begin < 4
    for message in waiting:
        messages.client.answer_dma(message)
    assert messages.client.info()[0] & 2


def test_client_leaves_while_messages_wait(target):
    for _ in range(10):
        nvme = target.drive(with_fd=False)
        hold(nvme)
        target.leave()


def test_operator_stops_while_messages_wait(make_target):
    target = make_target()
    nvme = target.drive(with_fd=False)
    hold(nvme)
    target.world.daemon.rpc("mdev.stop", uuid=target.uuid, force=True)
    assert nvme.client.closed_by_server()
    target.world.daemon.rpc("mdev.start", uuid=target.uuid, parent=target.parent, type="nvme-16m")


@pytest.mark.parametrize("error", [errno.ENODEV, errno.EIO, errno.EFAULT, 0x7fffffff])
def test_error_instead_of_data(messages, error):
    """The command fails, or the controller, where it is its queue; the session goes on."""
    data = messages.memory.add(0x4000000, 0x10000)
    messages.client.dma_map(data, with_fd=False)
    messages.memory.segments.remove(data)  # the client answers for it with an error
    messages.memory.fail_with = 0
    assert messages.transfer(WRITE, 0, 8, data.addr, 4096).status != 0
    assert messages.transfer(READ, 0, 8, data.addr, 4096).status != 0
    assert messages.identify(1)
    messages.memory.fail_with = error
    messages.client.write32(0, 0x1000, (messages.queues[0].tail + 1) % 32)
    deadline = time.monotonic() + 5
    while not messages.reg(CSTS) & 2:
        assert time.monotonic() < deadline, "no fatal status although the queue cannot be read"
        messages.client.pump(0.005)
    messages.memory.fail_with = 0
    messages.disable()
    messages.enable()
    assert messages.identify(1)
    data.close()


def answered_wrongly(target, nvme, change, *words):
    """The first message that is held gets a wrong answer, which must cost the session."""
    message = hold(nvme)[0]
    data = nvme.memory.read(*DMA_BODY.unpack_from(message.body)) if message.command == DMA_READ else b""
    nvme.client.send_raw(change(message, data))
    assert nvme.client.closed_by_server()
    target.refusal(*words)
    target.wait_free()
    assert target.drive(with_fd=False).identify(1)


def good_answer(message, data, **wrong):
    """The answer to a DMA message, with something changed."""
    body = wrong.get("body", message.body[:16] + data)
    return HEADER.pack(wrong.get("ident", message.ident), wrong.get("command", message.command),
                       HEADER.size + len(body), wrong.get("flags", REPLY), 0) + body


@pytest.mark.parametrize("change, words", [
    (lambda m, d: good_answer(m, d, body=m.body[:16] + d[:-1]), "malformed"),
    (lambda m, d: good_answer(m, d, body=m.body[:8]), "malformed"),
    (lambda m, d: good_answer(m, d, body=b""), "malformed"),
    (lambda m, d: good_answer(m, d, body=DMA_BODY.pack(0, len(d)) + d), "malformed"),
    (lambda m, d: good_answer(m, d, body=m.body[:8] + struct.pack("=Q", len(d) - 1) + d), "malformed"),
    (lambda m, d: good_answer(m, d, body=m.body[:8] + struct.pack("=Q", 1 << 40) + d), "malformed"),
    (lambda m, d: good_answer(m, d, ident=m.ident + 1), "not made"),
    (lambda m, d: good_answer(m, d, command=DMA_WRITE), "not made"),
    (lambda m, d: good_answer(m, d) + good_answer(m, d), "not made"),
], ids=["short", "address only", "empty", "other address", "other count", "huge count", "other id", "other command",
        "twice"])
def test_wrong_answer(target, change, words):
    answered_wrongly(target, target.drive(with_fd=False), change, words)


def test_longer_answer_than_asked_for(target):
    """Bytes after the data are no reason to fail."""
    nvme = target.drive(with_fd=False)
    message = hold(nvme)[0]
    data = nvme.memory.read(*DMA_BODY.unpack_from(message.body))
    nvme.client.hold_dma.remove(message)
    nvme.client.send_raw(good_answer(message, data + b"\xee" * 64))
    let_go(nvme)
    assert nvme.client.info()[0] & 2


def test_count_of_a_write_in_four_bytes_or_eight(target):
    """The specification's table says 4, its readers send 8."""
    nvme = target.drive(with_fd=False)
    for width in (4, 8):
        nvme.client.hold_dma = []
        cid = nvme.submit(0, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))
        for _ in range(50):
            for message in list(held(nvme)):
                nvme.client.hold_dma.remove(message)
                if message.command == DMA_READ:
                    nvme.client.answer_dma(message)
                    continue
                nvme.memory.answer(message)
                nvme.client.send_raw(good_answer(message, b"", body=message.body[:8 + width]))
            if nvme.reap(0):
                break
            nvme.client.pump(0.01)
        assert nvme.done.pop((0, cid)).status == 0
    nvme.client.hold_dma = None


def test_silent_client_keeps_nobody_waiting(make_target):
    """It never answers: its own commands hang, and that is all."""
    first, second = make_target(), make_target()
    nvme = first.drive(with_fd=False)
    hold(nvme)
    other = second.drive()
    data = b"unimpressed" * 372 + b"\0" * 4
    for n in range(50):
        other.write(n * 8, data)
        assert other.read(n * 8, 4096) == data
    assert nvme.client.info()[0] & 2


def test_client_that_cannot_answer(target):
    """One of those that do not serve DMA messages: memory without descriptor cannot be used, and is not asked for."""
    client = target.connect()
    client.like_cloud_hypervisor()
    memory = GuestMemory()
    segment = memory.add(0x100000, 0x100000)
    client.dma_map(segment, with_fd=False)
    client.write(0, 0x28, struct.pack("<QQ", segment.addr, segment.addr + 0x1000))
    client.write32(0, 0x24, 0x001f001f)
    client.write32(0, CC, 0x00460001)
    client.write32(0, 0x1000, 1)
    deadline = time.monotonic() + 5
    while not client.read32(0, CSTS) & 2:
        assert time.monotonic() < deadline, "no fatal status"
    assert not client.readable(0.1)
    memory.close()


def test_qemu_before_11(target):
    """Its layout of these messages is another; it must be found out before any data is written wrongly."""
    client = target.qemu(target.memory())
    segment = client.memory.add(0x100000, 0x100000)
    client.dma_map(segment, with_fd=False)
    client.hold_dma = []
    client.write(0, 0x28, struct.pack("<QQ", segment.addr, segment.addr + 0x1000))
    client.write32(0, 0x24, 0x001f001f)
    client.write32(0, CC, 0x00460001)
    client.write32(0, 0x1000, 1)
    deadline = time.monotonic() + 5
    while not client.read32(0, CSTS) & 2:
        assert time.monotonic() < deadline, "no fatal status"
        for message in client.hold_dma:
            addr, count = DMA_BODY.unpack_from(message.body)
            assert message.command == DMA_READ or count == 0, "data were written to a client of the old layout"
            body = b"" if message.command == DMA_WRITE else struct.pack("=QI", addr, count) + bytes(count)
            client.send_raw(HEADER.pack(message.ident, message.command, 16 + len(body), REPLY, 0) + body)
        client.hold_dma.clear()
    assert segment.view[:] == bytes(segment.size)


def test_late_answers_are_not_taken_for_others(messages):
    """Messages that a reset gave up are answered in the middle of the next life."""
    old = list(hold(messages))
    messages.client.reset()
    messages.client.hold_dma = None
    messages.queues.clear()
    messages.done.clear()
    messages.enable()
    messages.identify(1)
    for message in old:
        messages.client.answer_dma(message)
    assert messages.identify(1)[:2] == messages.client.read(CONFIG, 0, 2)


def test_answers_after_an_unmap(messages):
    """The memory went while the server's question was open; the answer is taken or dropped."""
    old = list(hold(messages))
    assert messages.client.unmap_error(messages.segment.addr, messages.segment.size) == 0
    messages.client.dma_map(messages.segment, with_fd=False)
    for message in old:
        messages.client.answer_dma(message)
    messages.client.hold_dma = None
    messages.disable()
    messages.enable()
    assert messages.identify(1)[:2] == messages.client.read(CONFIG, 0, 2)


def test_no_message_to_a_client_that_negotiates(target):
    client = target.connect()
    assert not client.readable(0.1)
    client.call(VERSION, bytes(4))
    assert not client.readable(0.1)
    client.ok(DEVICE_RESET)


def test_error_flag_alone(messages):
    """An error reply whose error field is zero is still an error."""
    data = messages.memory.add(0x4000000, 0x10000)
    messages.client.dma_map(data, with_fd=False)
    messages.client.hold_dma = []
    cid = messages.submit(1, messages.sqe(READ, 1, data.addr, 0, [0, 0, 7]))
    for _ in range(100):
        for message in list(messages.client.hold_dma):
            messages.client.hold_dma.remove(message)
            if DMA_BODY.unpack_from(message.body)[0] == data.addr:
                messages.client.send_raw(HEADER.pack(message.ident, message.command, 16, REPLY | ERROR, 0))
            else:
                messages.client.answer_dma(message)
        if messages.reap(1):
            break
        messages.client.pump(0.02)
    assert messages.done.pop((1, cid)).status != 0
    messages.client.hold_dma = None
