# SPDX-License-Identifier: BSD-3-Clause
"""A client of an nvme mdev that does at each step something that no good client does, by chance.

It never waits: what it sends goes out as far as the socket takes it, what comes is read or left, answered rightly,
wrongly or not at all. Nothing is expected of the server but that it lives, bounded, and that the device serves
whoever comes next.
"""

import array
import errno
import os
import select
import socket
import struct

from .vfiouser import (ACCESS_BODY, CONFIG, DATA_BOOL, DATA_EVENTFD, DATA_NONE, DEVICE_RESET, DMA_BODY, DMA_MAP,
                       DMA_READ, DMA_UNMAP, DMA_WRITE, ERROR, GET_REGION_INFO, HEADER, IRQS_BODY, MAP_BODY, MSI, MSIX,
                       MULTI_ENTRY, NO_REPLY, QEMU_CAPABILITIES, REGION_BODY, REGION_READ, REGION_WRITE, REPLY,
                       SET_IRQS, TRIGGER, UNMAP_BODY, VERSION, WRITE_MULTI, eventfd)

PAGE = 4096
AQA, ASQ, ACQ, CC, DOORBELLS = 0x24, 0x28, 0x30, 0x14, 0x1000
ENABLE = 0x00460001
FILES = 6
FILE_SIZE = 1 << 20
BASE = 0x100000
BAR_ADDRESS = 0xfe000000
PATIENCE_S = 0.5
CONNECT_LIMIT_S = 20
OPCODES = [0, 1, 2, 4, 5, 6, 8, 9, 0x0a, 0x0c, 0x7c, 0x80]


class _Gone(Exception):
    """The server has thrown it out."""


class Villain:
    """One that means harm, on one socket; @rnd decides everything."""

    def __init__(self, path, rnd):
        self._path, self._rnd = str(path), rnd
        self._sock = None
        self._files = []
        self._events = [eventfd() for _ in range(4)]
        self._waiting = b""  # for the socket
        self._came = b""
        self.steps = {}
        self.expelled = 0
        self.stuck = 0

    def close(self) -> None:
        """Leaves, and takes its memory along."""
        self._leave()
        for fd in self._events:
            os.close(fd)
        self._events = []

    # ---- bytes

    def _leave(self) -> None:
        if self._sock:
            self._sock.close()
        self._sock, self._waiting, self._came = None, b"", b""
        while self._files:
            os.close(self._files.pop())

    def _connect(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Waits while the queue of the listener is full, which a socket with a Python timeout does not.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", CONNECT_LIMIT_S, 0))
        self._sock.connect(self._path)
        self._sock.setblocking(False)
        self._send(VERSION, struct.pack("=HH", 0, 0) + QEMU_CAPABILITIES + b"\0")
        self._files = [os.memfd_create("guest", os.MFD_CLOEXEC) for _ in range(FILES)]
        for number, fd in enumerate(self._files):
            os.ftruncate(fd, FILE_SIZE)
            if self._rnd.random() < 0.7:
                self._map(BASE + number * FILE_SIZE, FILE_SIZE, 0, fd)

    def _raw(self, data: bytes, fds=()) -> None:
        """Sends what the socket takes now; the rest waits, unless too much does."""
        if self._waiting and len(self._waiting) + len(data) > 1 << 20:
            return
        try:
            if fds and not self._waiting:
                sent = self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
                data = data[sent:]
            self._waiting += data
            while self._waiting:
                self._waiting = self._waiting[self._sock.send(self._waiting):]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ETOOMANYREFS):
                raise
            raise _Gone from error

    def _push(self) -> None:
        """Waits a little until the server takes more. One who gets nowhere gives up and leaves."""
        if not select.select([], [self._sock], [], PATIENCE_S)[1]:
            self.stuck += 1
            self._leave()
            return
        self._raw(b"")

    def _send(self, command: int, body: bytes = b"", fds=(), flags: int = None) -> None:
        if flags is None:
            flags = self._rnd.choice([0, NO_REPLY])
        self._raw(HEADER.pack(self._rnd.randrange(1 << 16), command, HEADER.size + len(body), flags, 0) + body, fds)

    def _read(self) -> None:
        """Takes what has come and answers the server's messages in one way or another."""
        try:
            while True:
                data = self._sock.recv(1 << 18)
                if not data:
                    raise _Gone
                self._came += data
        except BlockingIOError:
            pass
        except ConnectionResetError as error:
            raise _Gone from error
        while len(self._came) >= HEADER.size:
            ident, command, size, flags, _ = HEADER.unpack_from(self._came)
            if len(self._came) < size:
                return
            body, self._came = self._came[HEADER.size:size], self._came[size:]
            if not flags & REPLY and command in (DMA_READ, DMA_WRITE):
                self._answer(ident, command, body)

    def _answer(self, ident: int, command: int, body: bytes) -> None:
        how = self._rnd.random()
        _, count = DMA_BODY.unpack_from(body)
        if how < 0.2:
            return
        if how < 0.3:
            self._raw(HEADER.pack(ident, command, HEADER.size, REPLY | ERROR, errno.EIO))
            return
        if how < 0.32:
            count = max(count - 8, 0)
        answer = body[:DMA_BODY.size] + (self._rnd.randbytes(count) if command == DMA_READ else b"")
        self._raw(HEADER.pack(ident, command, HEADER.size + len(answer), REPLY, 0) + answer)

    # ---- what a guest has

    def _address(self) -> int:
        """Of guest memory, mostly; else of nothing, of the device itself, an odd one, or the end of everything."""
        rnd = self._rnd
        good = BASE + rnd.randrange(FILES * FILE_SIZE // PAGE) * PAGE
        return rnd.choice([good, good, good, good, good + rnd.randrange(PAGE), BAR_ADDRESS, 0, (1 << 64) - PAGE,
                           rnd.randrange(1 << 64), good & ~(FILE_SIZE - 1)])

    def _write(self, offset: int, value: int, size: int = 4, region: int = 0) -> None:
        self._send(REGION_WRITE, ACCESS_BODY.pack(offset, region, size) + value.to_bytes(size, "little"))

    def _map(self, addr: int, size: int, offset: int, fd: int = None) -> None:
        self._send(DMA_MAP, MAP_BODY.pack(MAP_BODY.size, self._rnd.choice([3, 3, 3, 1, 2]), offset, addr, size),
                   [] if fd is None else [fd])

    def _entry(self) -> bytes:
        """A submission entry: the head of a good one, with anything in it."""
        rnd = self._rnd
        words = [rnd.choice([0, 1, 2, 3, 7, rnd.randrange(1 << 32)]) for _ in range(6)]
        return struct.pack("<BBHIQQQQ6I", rnd.choice(OPCODES), rnd.choice([0, 0, 0, 0x40, 1]), rnd.randrange(1 << 16),
                           rnd.choice([0, 1, 1, 1, 0xffffffff]), 0, 0, self._address(), self._address(), *words)

    # ---- steps

    def step_memory(self) -> None:
        """Entries, lists and indexes are whatever they are, and change while they are read."""
        fd = self._rnd.choice(self._files)
        size = os.fstat(fd).st_size
        if size:
            os.pwrite(fd, b"".join(self._entry() for _ in range(16)), self._rnd.randrange(size // PAGE) * PAGE)

    def step_enable(self) -> None:
        """Queues anywhere, and on."""
        self._write(CONFIG_COMMAND, 6, 2, CONFIG)
        self._write(AQA, self._rnd.choice([0x001f001f, 0, 0x0fff0fff, 0x00010001]))
        self._write(ASQ, self._address(), 8)
        self._write(ACQ, self._address(), 8)
        self._write(CC, self._rnd.choice([ENABLE, ENABLE, ENABLE | 0x4000, 1]))

    def step_good_start(self) -> None:
        """As a good guest begins, so that the rest has something to disturb."""
        self._write(CC, 0)
        self._write(CONFIG_COMMAND, 6, 2, CONFIG)
        self._write(AQA, 0x001f001f)
        self._write(ASQ, BASE, 8)
        self._write(ACQ, BASE + PAGE, 8)
        self._write(CC, ENABLE)
        queue = BASE + FILE_SIZE
        entries = struct.pack("<BBHIQQQQ6I", 5, 0, 1, 0, 0, 0, queue, 0, 63 << 16 | 1, 1, 0, 0, 0, 0)
        entries += struct.pack("<BBHIQQQQ6I", 1, 0, 2, 0, 0, 0, queue + PAGE, 0, 63 << 16 | 1, 1 << 16 | 1, 0, 0, 0, 0)
        entries += struct.pack("<BBHIQQQQ6I", 0x7c, 0, 3, 0, 0, 0, queue + 2 * PAGE, queue + 3 * PAGE, 0, 0, 0, 0, 0, 0)
        if os.fstat(self._files[0]).st_size and os.fstat(self._files[1]).st_size:
            os.pwrite(self._files[0], entries, 0)
            blocks = [struct.pack("<BBHIQQQQ6I", self._rnd.choice([1, 2]), 0, 16 + n, 1, 0, 0,
                                  BASE + 2 * FILE_SIZE + n * 2 * PAGE, BASE + 2 * FILE_SIZE + (n * 2 + 1) * PAGE,
                                  n * 16, 0, 15, 0, 0, 0) for n in range(60)]
            os.pwrite(self._files[1], b"".join(blocks), PAGE)
        self._write(DOORBELLS, self._rnd.choice([2, 3]))
        self._write(DOORBELLS + 8, self._rnd.randrange(60))

    def step_doorbell(self) -> None:
        """Any value in any of them, in registers and in memory."""
        qid = self._rnd.choice([0, 1, 1, 2, 64])
        self._write(DOORBELLS + 4 * (2 * qid + self._rnd.randrange(2)), self._rnd.choice([1, 2, 31, 63, 0xffff]))
        size = os.fstat(self._files[1]).st_size
        if size:
            os.pwrite(self._files[1], struct.pack("<II", self._rnd.randrange(70), self._rnd.randrange(70)), 2 * PAGE + 8)

    def step_reset(self) -> None:
        """In the middle of everything."""
        how = self._rnd.randrange(4)
        if how == 0:
            self._send(DEVICE_RESET)
        elif how == 1:
            self._write(CC, 0)
        elif how == 2:
            self._write(CC, ENABLE)
        else:
            self._send(REGION_READ, ACCESS_BODY.pack(0, CONFIG, 256), flags=0)
            for at in range(0x40, 0xa0, 4):
                self._write(at + 8, 0x8000, 2, CONFIG)  # one of them is the function level reset

    def step_map(self) -> None:
        """Maps over each other, over the device, of files and of nothing."""
        fd = self._rnd.choice([None, *self._files])
        self._map(self._address() & ~(PAGE - 1), self._rnd.choice([PAGE, FILE_SIZE, FILE_SIZE * 2, 1 << 40]),
                  self._rnd.choice([0, 0, PAGE, FILE_SIZE]), fd)

    def step_unmap(self) -> None:
        """Memory that is in use."""
        number = self._rnd.randrange(FILES)
        if self._rnd.random() < 0.1:
            self._send(DMA_UNMAP, UNMAP_BODY.pack(UNMAP_BODY.size, 2, 0, 0))
            return
        self._send(DMA_UNMAP, UNMAP_BODY.pack(UNMAP_BODY.size, 0, BASE + number * FILE_SIZE, FILE_SIZE))
        if self._rnd.random() < 0.8:
            self._map(BASE + number * FILE_SIZE, FILE_SIZE, 0, self._rnd.choice([None, *self._files]))

    def step_shrink(self) -> None:
        """Memory that was lent gets smaller, and sometimes larger again."""
        fd = self._rnd.choice(self._files)
        os.ftruncate(fd, self._rnd.choice([0, PAGE, FILE_SIZE // 2]))
        if self._rnd.random() < 0.5:
            os.ftruncate(fd, FILE_SIZE)

    def step_interrupts(self) -> None:
        """Assigned, fired and taken away."""
        index, start = self._rnd.choice([MSI, MSIX, MSIX]), self._rnd.randrange(8)
        count = self._rnd.randrange(4)
        kind = self._rnd.choice([DATA_NONE, DATA_BOOL, DATA_EVENTFD])
        data = bytes(count) if kind == DATA_BOOL else b""
        self._send(SET_IRQS, IRQS_BODY.pack(IRQS_BODY.size + len(data), kind | TRIGGER, index, start, count) + data,
                   self._events[:count] if kind == DATA_EVENTFD else [])

    def step_posted(self) -> None:
        """Much at once that wants no reply."""
        body = ACCESS_BODY.pack(DOORBELLS + 8, 0, 4) + struct.pack("=I", self._rnd.randrange(64))
        self._raw(HEADER.pack(1, REGION_WRITE, HEADER.size + len(body), NO_REPLY, 0) * 0 +
                  (HEADER.pack(1, REGION_WRITE, HEADER.size + len(body), NO_REPLY, 0) + body) * 200)
        entries = b"".join(MULTI_ENTRY.pack(DOORBELLS + 8 * n, 0, 4, struct.pack("=II", n, 0)) for n in range(8))
        self._send(WRITE_MULTI, struct.pack("=Q", 8) + entries)

    def step_region_info(self) -> None:
        """Replies that bring descriptors."""
        self._send(GET_REGION_INFO, REGION_BODY.pack(4096, 0, self._rnd.randrange(10), 0, 0, 0), flags=0)

    def step_half(self) -> None:
        """Leaves in the middle of a message, or of nothing."""
        if self._rnd.random() < 0.5:
            self._raw(HEADER.pack(1, REGION_WRITE, 4096, 0, 0) + bytes(self._rnd.randrange(200)), self._events[:2])
        self._leave()

    def step_garbage(self) -> None:
        """No protocol at all."""
        self._raw(self._rnd.randbytes(self._rnd.randrange(1, 64)))

    def step(self) -> str:
        """One of these; returns which."""
        names, weights = zip(*STEPS)
        name = self._rnd.choices(names, weights)[0]
        self.steps[name] = self.steps.get(name, 0) + 1
        try:
            if not self._sock:
                self._connect()
            getattr(self, f"step_{name}")()
            if self._sock and self._rnd.random() < 0.7:
                self._read()
            if self._waiting:
                self._push()
        except _Gone:
            self.expelled += 1
            self._leave()
        return name


CONFIG_COMMAND = 4
STEPS = [("memory", 20), ("enable", 4), ("good_start", 10), ("doorbell", 30), ("reset", 6), ("map", 6), ("unmap", 6),
         ("shrink", 1), ("interrupts", 6), ("posted", 3), ("region_info", 2), ("half", 1), ("garbage", 0.3)]
