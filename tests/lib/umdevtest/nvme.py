# SPDX-License-Identifier: BSD-3-Clause
"""A small NVMe driver over a vfio-user client: queues, commands, PRPs, shadow doorbells.

It checks what a careful driver would: phase bits, command ids, queue heads. Commands may carry any
field a test wants; their status comes back as (type << 8 | code), with do-not-retry cut off.
"""

import os
import select
import struct
import time
from collections import namedtuple

from . import Failure
from .vfiouser import (CONFIG, DATA_EVENTFD, DATA_NONE, MSI, MSIX, TRIGGER, Client, GuestMemory, Segment, close_fds,
                       eventfd)

CAP, VS, INTMS, INTMC, CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0, 8, 0xc, 0x10, 0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000
DELETE_SQ, CREATE_SQ, GET_LOG, DELETE_CQ, CREATE_CQ, IDENTIFY, ABORT = 0, 1, 2, 4, 5, 6, 8
SET_FEATURES, GET_FEATURES, ASYNC_EVENT, DOORBELL_BUFFER = 9, 0xa, 0xc, 0x7c
FLUSH, WRITE, READ, WRITE_ZEROES, DATASET = 0, 1, 2, 8, 9

OK, BAD_OPCODE, BAD_FIELD, ID_CONFLICT, DATA_ERROR, INTERNAL, ABORTED = 0, 1, 2, 3, 4, 6, 7
BAD_NAMESPACE, PRP_OFFSET, LBA_RANGE = 0xb, 0x13, 0x80
BAD_CQ, BAD_QID, BAD_QUEUE_SIZE, BAD_VECTOR, BAD_LOG_PAGE, BAD_DELETION = 0x100, 0x101, 0x102, 0x108, 0x109, 0x10c

PAGE = 4096
COMMAND_LIMIT_S = 10.0

Completion = namedtuple("Completion", "result head sqid cid status dnr")


class Queue:
    """One pair of queues in guest memory."""

    def __init__(self, qid: int, entries: int, sq: int, cq: int):
        self.qid, self.entries, self.sq, self.cq = qid, entries, sq, cq
        self.tail = self.head = 0
        self.sq_head = 0
        self.phase = 1
        self.event = -1  # the eventfd of its vector


class Nvme:
    """A controller as seen through a client. Memory: one segment, given out page by page."""

    def __init__(self, client: Client, memory: GuestMemory = None, base: int = 0x100000, size: int = 8 << 20,
                 with_fd: bool = True, segment: Segment = None):
        self.client = client
        self.memory = memory if memory is not None else client.memory or GuestMemory()
        client.memory = self.memory
        self.segment = segment or self.memory.add(base, size)
        client.dma_map(self.segment, with_fd=with_fd)
        self._page = self.segment.addr
        self._free = {}  # by number of pages
        self._cid = 0
        self.queues = {}
        self.done = {}
        self.shadow = self.eventidx = 0
        self.doorbells = 0
        self._events = []

    # ---- memory

    def pages(self, count: int = 1) -> int:
        """The address of some pages of guest memory, filled with zeros."""
        if self._free.get(count):
            addr = self._free[count].pop()
        else:
            addr, self._page = self._page, self._page + count * PAGE
            if self._page > self.segment.addr + self.segment.size:
                raise Failure("the test ran out of guest memory")
        self.memory.write(addr, bytes(count * PAGE))
        return addr

    def release(self, addr: int, count: int = 1) -> None:
        """Gives pages back."""
        self._free.setdefault(count, []).append(addr)

    # ---- registers

    def reg(self, offset: int, size: int = 4) -> int:
        """Reads a register."""
        return int.from_bytes(self.client.read(0, offset, size), "little")

    def set_reg(self, offset: int, value: int, size: int = 4) -> None:
        """Writes a register."""
        self.client.write(0, offset, value.to_bytes(size, "little"))

    def wait_csts(self, mask: int, value: int, limit_s: float = COMMAND_LIMIT_S) -> None:
        """Waits for bits of the status register."""
        deadline = time.monotonic() + limit_s
        while self.reg(CSTS) & mask != value:
            if time.monotonic() > deadline:
                raise Failure(f"CSTS is {self.reg(CSTS):#x}, expected {value:#x} of {mask:#x}")
            self.client.pump(0.001)

    def bus_master(self) -> None:
        """Turns memory and bus mastering on, as every guest does."""
        command = int.from_bytes(self.client.read(CONFIG, 4, 2), "little")
        self.client.write(CONFIG, 4, (command | 6).to_bytes(2, "little"))

    def disable(self) -> None:
        """Controller reset."""
        self.set_reg(CC, self.reg(CC) & ~1)
        self.wait_csts(1, 0)
        self.queues.clear()
        self.done.clear()
        self.shadow = self.eventidx = 0

    def enable(self, entries: int = 32, cc: int = 0x00460001) -> None:
        """Sets the admin queue up and waits until the controller is ready."""
        self.bus_master()
        queue = Queue(0, entries, self.pages(-(-entries * 64 // PAGE)), self.pages(-(-entries * 16 // PAGE)))
        self.set_reg(AQA, entries - 1 << 16 | entries - 1)
        self.set_reg(ASQ, queue.sq, 8)
        self.set_reg(ACQ, queue.cq, 8)
        self.set_reg(CC, cc)
        self.wait_csts(1, 1)
        self.queues[0] = queue

    # ---- commands

    def doorbell(self, qid: int, completion: bool, value: int, size: int = 4) -> None:
        """Writes a doorbell register, whatever shadow doorbells there are."""
        self.doorbells += 1
        self.client.write(0, DOORBELLS + 8 * qid + 4 * completion, value.to_bytes(size, "little"))

    def _ring(self, qid: int, completion: bool, value: int) -> None:
        if not self.shadow or not qid:
            self.doorbell(qid, completion, value)
            return
        at = 8 * qid + 4 * completion
        (old,) = struct.unpack("<I", self.memory.read(self.shadow + at, 4))
        self.memory.write(self.shadow + at, struct.pack("<I", value))
        (event,) = struct.unpack("<I", self.memory.read(self.eventidx + at, 4))
        # Only when the value passes the one the controller waits for, as the specification says.
        if (value - event - 1) & 0xffff < (value - old) & 0xffff:
            self.doorbell(qid, completion, value)

    def sqe(self, opcode: int, nsid: int = 0, prp1: int = 0, prp2: int = 0, cdw=(), cid: int = None, flags: int = 0,
            metadata: int = 0) -> bytes:
        """A submission entry; cdw are dwords 10 to 15."""
        if cid is None:
            self._cid = (self._cid + 1) & 0x7fff
            cid = self._cid
        words = (list(cdw) + [0] * 6)[:6]
        return struct.pack("<BBHIQQQQ6I", opcode, flags, cid, nsid, 0, metadata, prp1, prp2, *words)

    def put(self, qid: int, entry: bytes) -> int:
        """Places an entry without ringing; returns its command id."""
        queue = self.queues[qid]
        if (queue.tail + 1) % queue.entries == queue.sq_head:
            raise Failure(f"submission queue {qid} is full")
        self.memory.write(queue.sq + queue.tail * 64, entry)
        queue.tail = (queue.tail + 1) % queue.entries
        return struct.unpack_from("<H", entry, 2)[0]

    def ring(self, qid: int) -> None:
        """Tells the controller of all entries placed."""
        self._ring(qid, False, self.queues[qid].tail)

    def submit(self, qid: int, entry: bytes) -> int:
        """Places an entry and rings; returns its command id."""
        cid = self.put(qid, entry)
        self.ring(qid)
        return cid

    def reap(self, qid: int) -> int:
        """Takes what has completed on a queue; returns how many."""
        queue, count = self.queues[qid], 0
        while True:
            raw = self.memory.read(queue.cq + queue.head * 16, 16)
            result, _, head, sqid, cid, status = struct.unpack("<IIHHHH", raw)
            if status & 1 != queue.phase:
                break
            queue.head += 1
            if queue.head == queue.entries:
                queue.head, queue.phase = 0, queue.phase ^ 1
            if sqid not in self.queues or head >= self.queues[sqid].entries:
                raise Failure(f"completion entry names queue {sqid}, head {head}: {raw.hex()}")
            self.queues[sqid].sq_head = head
            if (sqid, cid) in self.done:
                raise Failure(f"command {cid} of queue {sqid} completed twice")
            self.done[sqid, cid] = Completion(result, head, sqid, cid, status >> 1 & 0x7ff, bool(status & 0x8000))
            count += 1
        if count:
            self._ring(qid, True, queue.head)
        return count

    def wait(self, qid: int, cid: int, limit_s: float = COMMAND_LIMIT_S, cqid: int = None) -> Completion:
        """The completion of a command."""
        deadline = time.monotonic() + limit_s
        cqid = qid if cqid is None else cqid
        idle_s = 0.0
        while (qid, cid) not in self.done:
            if self.reap(cqid):
                continue
            if time.monotonic() > deadline:
                raise Failure(f"command {cid} of queue {qid} does not complete; CSTS {self.reg(CSTS):#x}")
            event = self.queues[cqid].event
            if event >= 0:
                if select.select([event, self.client.sock], [], [], 0.05)[0] and self.client.readable():
                    self.client.pump()
                _drain(event)
            else:
                self.client.pump(idle_s)
                idle_s = min(idle_s + 0.00005, 0.002)
        return self.done.pop((qid, cid))

    def command(self, qid: int, opcode: int, limit_s: float = COMMAND_LIMIT_S, **fields) -> Completion:
        """One command from beginning to end."""
        return self.wait(qid, self.submit(qid, self.sqe(opcode, **fields)), limit_s)

    def admin(self, opcode: int, **fields) -> Completion:
        """One admin command."""
        return self.command(0, opcode, **fields)

    def ok(self, qid: int, opcode: int, **fields) -> int:
        """One command, which must succeed; its result."""
        done = self.command(qid, opcode, **fields)
        if done.status:
            raise Failure(f"opcode {opcode:#x} on queue {qid}: status {done.status:#x}")
        return done.result

    # ---- admin

    def identify(self, cns: int, nsid: int = 0) -> bytes:
        """An identify structure."""
        page = self.pages()
        self.ok(0, IDENTIFY, nsid=nsid, prp1=page, cdw=[cns])
        data = self.memory.read(page, PAGE)
        self.release(page)
        return data

    def namespace(self) -> tuple:
        """(blocks, block size) of namespace 1"""
        data = self.identify(0, 1)
        (blocks,) = struct.unpack_from("<Q", data)
        return blocks, 1 << data[128 + 4 * (data[26] & 15) + 2]

    def create_cq(self, qid: int, entries: int, addr: int, flags: int = 1, vector: int = 0) -> Completion:
        """Create I/O Completion Queue."""
        return self.admin(CREATE_CQ, prp1=addr, cdw=[(entries - 1 & 0xffff) << 16 | qid, vector << 16 | flags])

    def create_sq(self, qid: int, entries: int, addr: int, flags: int = 1, cqid: int = None) -> Completion:
        """Create I/O Submission Queue."""
        return self.admin(CREATE_SQ, prp1=addr, cdw=[(entries - 1 & 0xffff) << 16 | qid,
                                                     (qid if cqid is None else cqid) << 16 | flags])

    def io_queue(self, qid: int = 1, entries: int = 64, vector: int = None) -> Queue:
        """Creates one pair of I/O queues; with a vector its interrupts are on."""
        queue = Queue(qid, entries, self.pages(-(-entries * 64 // PAGE)), self.pages(-(-entries * 16 // PAGE)))
        flags = 1 if vector is None else 3
        created = [self.create_cq(qid, entries, queue.cq, flags, vector or 0), self.create_sq(qid, entries, queue.sq)]
        for done in created:
            if done.status:
                raise Failure(f"queue {qid}: status {done.status:#x}")
        if vector is not None and vector < len(self._events):
            queue.event = self._events[vector]
        self.queues[qid] = queue
        return queue

    def use_shadow(self) -> None:
        """Doorbell Buffer Config."""
        shadow, eventidx = self.pages(), self.pages()
        for queue in self.queues.values():
            if queue.qid:
                self.memory.write(shadow + 8 * queue.qid, struct.pack("<II", queue.tail, queue.head))
        self.ok(0, DOORBELL_BUFFER, prp1=shadow, prp2=eventidx)
        self.shadow, self.eventidx = shadow, eventidx

    def interrupts(self, index: int, count: int) -> list:
        """Turns MSI or MSI-X on as QEMU does; returns the eventfds."""
        client = self.client
        capability = client.capability(0x11 if index == MSIX else 0x05)
        if not capability:
            raise Failure(f"the device has no capability for interrupts of index {index}")
        self._events = [eventfd() for _ in range(count)]
        client.set_irqs(DATA_NONE | TRIGGER, 0, 0, 0)
        if index == MSIX:
            client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1)
            for vector, fd in enumerate(self._events):
                client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, vector, 1, [fd])
        else:
            client.set_irqs(DATA_EVENTFD | TRIGGER, MSI, 0, count, self._events)
        at = capability + (3 if index == MSIX else 2)
        value = client.read(CONFIG, at, 1)[0] | (0x80 if index == MSIX else 1)
        client.write(CONFIG, at, bytes([value]))
        if 0 in self.queues:
            self.queues[0].event = self._events[0]
        return self._events

    def close(self) -> None:
        """Closes the eventfds; the client stays the caller's."""
        close_fds(self._events)
        self._events = []

    # ---- data

    def prps(self, addr: int, length: int) -> tuple:
        """(prp1, prp2, list page or 0) for a buffer of consecutive pages."""
        first = PAGE - addr % PAGE
        if length <= first:
            return addr, 0, 0
        rest = range(addr + first, addr + length, PAGE)
        if len(rest) == 1:
            return addr, rest[0], 0
        if len(rest) > PAGE // 8:
            raise Failure("the test asks for more than one list of PRPs")
        page = self.pages()
        self.memory.write(page, struct.pack(f"<{len(rest)}Q", *rest))
        return addr, page, page

    def transfer(self, opcode: int, lba: int, blocks: int, addr: int, length: int, qid: int = 1,
                 **fields) -> Completion:
        """A read or write of a buffer in guest memory."""
        prp1, prp2, page = self.prps(addr, length)
        done = self.command(qid, opcode, nsid=1, prp1=prp1, prp2=prp2,
                            cdw=[lba & 0xffffffff, lba >> 32, blocks - 1, 0, 0, 0], **fields)
        if page:
            self.release(page)
        return done

    def write(self, lba: int, data: bytes, block: int = 512, qid: int = 1) -> None:
        """Writes data, which must succeed."""
        count = -(-len(data) // PAGE)
        addr = self.pages(count)
        self.memory.write(addr, data)
        done = self.transfer(WRITE, lba, len(data) // block, addr, len(data), qid)
        self.release(addr, count)
        if done.status:
            raise Failure(f"write of {len(data)} bytes at block {lba}: status {done.status:#x}")

    def read(self, lba: int, length: int, block: int = 512, qid: int = 1) -> bytes:
        """Reads data, which must succeed."""
        count = -(-length // PAGE)
        addr = self.pages(count)
        done = self.transfer(READ, lba, length // block, addr, length, qid)
        data = self.memory.read(addr, length)
        self.release(addr, count)
        if done.status:
            raise Failure(f"read of {length} bytes at block {lba}: status {done.status:#x}")
        return data


def _drain(event: int) -> None:
    try:
        os.eventfd_read(event)
    except BlockingIOError:
        pass


def ready_drive(path, memory: GuestMemory = None, with_fd: bool = True, **keywords) -> Nvme:
    """Connects like QEMU and brings a controller with one I/O queue up."""
    client = Client(path, memory)
    try:
        client.like_qemu()
        nvme = Nvme(client, with_fd=with_fd, **keywords)
        nvme.enable()
        nvme.io_queue(1)
    except BaseException:
        client.close()
        raise
    return nvme
