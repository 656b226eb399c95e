# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client that can be as wrong as a test needs.

Client builds and sends any bytes with any descriptors, in any pieces, and reads replies as strictly
as the clients of the world do: a header in one read, no descriptor where none belongs. While it
waits for a reply it serves the server's DMA messages from a GuestMemory, as QEMU does.
"""

import array
import errno
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import Failure

VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO, SET_IRQS = range(1, 9)
REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, DEVICE_RESET, DIRTY_PAGES, WRITE_MULTI, DEVICE_FEATURE = range(9, 17)
MIG_DATA_READ, MIG_DATA_WRITE = 17, 18

REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
MAP_READ, MAP_WRITE, MAP_MMAP, MAP_FILE_IO = 1, 2, 4, 8
INTX, MSI, MSIX, ERR_IRQ, REQ_IRQ = range(5)
DATA_NONE, DATA_BOOL, DATA_EVENTFD, MASK, UNMASK, TRIGGER = 1, 2, 4, 8, 0x10, 0x20
ROM, CONFIG, VGA = 6, 7, 8

HEADER = struct.Struct("=HHIII")
MAP_BODY = struct.Struct("=IIQQQ")
UNMAP_BODY = struct.Struct("=IIQQ")
INFO_BODY = struct.Struct("=IIII")
REGION_BODY = struct.Struct("=IIIIQQ")
ACCESS_BODY = struct.Struct("=QII")
IRQS_BODY = struct.Struct("=IIIII")
DMA_BODY = struct.Struct("=QQ")
MULTI_ENTRY = struct.Struct("=QII8s")
MAX_TRANSFER = 1 << 20
REPLY_LIMIT_S = 5.0  # what QEMU waits

QEMU_CAPABILITIES = (b'{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535, '
                     b'"max_data_xfer_size": 1048576, "migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, '
                     b'"write_multiple": true}}')
CLOUD_HYPERVISOR_CAPABILITIES = (b'{"capabilities":{"max_msg_fds":1,"max_data_xfer_size":1048576,'
                                 b'"migration":{"pgsize":4096}}}')


class Disconnected(Exception):
    """The server closed the connection."""


class NoReply(Failure):
    """Nothing came within the time."""


@dataclass
class Message:
    """One message of the server."""
    ident: int
    command: int
    flags: int
    error: int
    body: bytes
    fds: list = field(default_factory=list)

    @property
    def is_reply(self) -> bool:
        """Whether it answers a command of ours."""
        return self.flags & 0xf == REPLY

    @property
    def failed(self) -> int:
        """The errno of an error reply, 0 for success."""
        return (self.error or -1) if self.flags & ERROR else 0

    def close(self) -> None:
        """Closes descriptors that came with it."""
        while self.fds:
            os.close(self.fds.pop())


# ---- guest memory


class Segment:
    """A piece of guest memory: the guest sees `view`, the server is given `fd`."""

    def __init__(self, addr: int, size: int, shared: bool = True, fd: int = None, offset: int = 0, name: str = "guest"):
        self.addr, self.size, self.offset = addr, size, offset
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC) if fd is None else os.dup(fd)
        if fd is None:
            os.ftruncate(self.fd, offset + size)
        self.view = mmap.mmap(self.fd, size, flags=mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE, offset=offset)

    def ends_before(self, at: int) -> bool:
        """Whether a test made the file smaller: what is not there must not be touched here either."""
        return os.fstat(self.fd).st_size < self.offset + at

    def close(self) -> None:
        """Gives the memory back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.view.close()


class GuestMemory:
    """What a guest has for memory; answers the server's DMA messages."""

    def __init__(self):
        self.segments = []
        self.reads = []
        self.writes = []
        self.fail_with = 0  # an errno for every message instead of an answer

    def add(self, addr: int, size: int, **keywords) -> Segment:
        """Adds a segment."""
        segment = Segment(addr, size, **keywords)
        self.segments.append(segment)
        return segment

    def close(self) -> None:
        """Gives all memory back."""
        while self.segments:
            self.segments.pop().close()

    def _find(self, addr: int, count: int):
        for segment in self.segments:
            if segment.addr <= addr and addr + count <= segment.addr + segment.size:
                return segment, addr - segment.addr
        return None, 0

    def read(self, addr: int, count: int) -> bytes:
        """What the guest finds at an address."""
        segment, at = self._find(addr, count)
        if segment is None:
            raise Failure(f"the test has no guest memory at {addr:#x}, {count} bytes")
        return segment.view[at:at + count]

    def write(self, addr: int, data: bytes) -> None:
        """The guest writes."""
        segment, at = self._find(addr, len(data))
        if segment is None:
            raise Failure(f"the test has no guest memory at {addr:#x}, {len(data)} bytes")
        segment.view[at:at + len(data)] = data

    def answer(self, message: Message) -> tuple:
        """(errno, body) of the answer to a DMA message of the server."""
        if len(message.body) < DMA_BODY.size:
            raise Failure(f"the server's DMA message has a body of {len(message.body)} bytes")
        addr, count = DMA_BODY.unpack_from(message.body)
        if count > MAX_TRANSFER:
            raise Failure(f"the server asks for {count} bytes in one DMA message")
        (self.reads if message.command == DMA_READ else self.writes).append((addr, count))
        segment, at = self._find(addr, count)
        if self.fail_with or segment is None or segment.ends_before(at + count):
            return self.fail_with or errno.ENODEV, b""
        if message.command == DMA_READ:
            return 0, message.body[:16] + segment.view[at:at + count]
        data = message.body[DMA_BODY.size:]
        if len(data) != count:
            raise Failure(f"DMA_WRITE of {count} bytes carries {len(data)}")
        segment.view[at:at + count] = data
        return 0, message.body[:16]


# ---- the client


class Client:
    """One connection to a vfio-user server."""

    def __init__(self, path, memory: GuestMemory = None, limit_s: float = REPLY_LIMIT_S):
        self.limit_s = limit_s
        self.memory = memory
        self.whole_body = False  # SPDK reads a reply's body with one read
        self.hold_dma = None  # a list collects the server's DMA messages instead of answering them
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Waits while the queue of the listener is full, which a socket with a Python timeout does not.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(limit_s) + 1, 0))
        self._next = 0
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise
        self.sock.settimeout(limit_s)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self) -> None:
        """Leaves as QEMU does: without a word."""
        self.sock.close()

    # ---- bytes

    def send_raw(self, data: bytes, fds=(), pieces=(), fds_with: int = 0) -> None:
        """
        Sends bytes as they are. `pieces` are the lengths of the first pieces, each of which the
        server has read before the next is sent; the descriptors go with piece number `fds_with`.
        """
        cuts = []
        rest = data
        for length in pieces:
            cuts.append(rest[:length])
            rest = rest[length:]
        cuts = [cut for cut in cuts + [rest] if cut]
        for number, cut in enumerate(cuts):
            ancillary = []
            if fds and number == fds_with:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sent = self.sock.sendmsg([cut], ancillary)
            if sent < len(cut):
                self.sock.sendall(cut[sent:])
            if number + 1 < len(cuts):
                self._await_read()

    def _await_read(self) -> None:
        """Waits until the server has taken what was sent, or for a moment: it may only look at it."""
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            unread = array.array("i", [0])
            fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, unread)
            if not unread[0]:
                return
            time.sleep(0.0002)

    def message(self, command: int, body: bytes = b"", flags: int = 0, **wrong) -> bytes:
        """The bytes of a command; `wrong` replaces ident, size, error or command in the header."""
        if "ident" not in wrong:
            self._next = self._next + 1 & 0xffff
        return HEADER.pack(wrong.get("ident", self._next), wrong.get("command", command),
                           wrong.get("size", HEADER.size + len(body)), flags, wrong.get("error", 0)) + body

    def send(self, command: int, body: bytes = b"", fds=(), flags: int = 0, **keywords) -> int:
        """Sends a command; returns its id. Keywords as for message() and send_raw()."""
        delivery = {key: keywords.pop(key) for key in ("pieces", "fds_with") if key in keywords}
        data = self.message(command, body, flags, **keywords)
        self.send_raw(data, fds, **delivery)
        return HEADER.unpack_from(data)[0]

    def _recv_bytes(self, count: int, deadline: float, once: bool) -> tuple:
        data, fds = b"", array.array("i")
        while len(data) < count:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part, ancillary, flags, _ = self.sock.recvmsg(count - len(data), socket.CMSG_SPACE(64 * 4),
                                                              socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError as error:
                raise Disconnected("reset") from error
            except socket.timeout as error:
                raise NoReply(f"nothing came ({len(data)} of {count} bytes)") from error
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
            if flags & socket.MSG_CTRUNC:
                raise Failure("the server sent more descriptors than any client takes")
            if not part:
                if data:
                    raise Failure(f"the server closed in the middle of a message ({len(data)} of {count} bytes)")
                raise Disconnected("closed")
            data += part
            if once and len(data) < count:
                raise Failure(f"the server sent {count} bytes in pieces, the first of {len(data)}: clients break on it")
        return data, list(fds)

    def recv(self, limit_s: float = None) -> Message:
        """The next message of the server, whatever it is."""
        deadline = time.monotonic() + (self.limit_s if limit_s is None else limit_s)
        data, fds = self._recv_bytes(HEADER.size, deadline, True)
        ident, command, size, flags, error = HEADER.unpack(data)
        if not HEADER.size <= size <= HEADER.size + MAX_TRANSFER + 64:
            raise Failure(f"the server sent a message of {size} bytes")
        body, more = b"", []
        if size > HEADER.size:
            body, more = self._recv_bytes(size - HEADER.size, time.monotonic() + self.limit_s, self.whole_body)
        if more:
            raise Failure("the server sent descriptors with the body instead of the header")
        return Message(ident, command, flags, error, body, fds)

    def readable(self, limit_s: float = 0) -> bool:
        """Whether something can be read."""
        return bool(select.select([self.sock], [], [], limit_s)[0])

    # ---- requests and replies

    def answer_dma(self, message: Message, split: bool = False) -> None:
        """Answers a DMA message of the server from the guest memory."""
        if self.memory is None:
            raise Failure(f"the server sent command {message.command}, and there is no guest memory")
        error, body = self.memory.answer(message)
        if message.flags & NO_REPLY:
            return
        data = HEADER.pack(message.ident, message.command, HEADER.size + len(body),
                           REPLY | (ERROR if error else 0), error) + body
        self.send_raw(data, pieces=(5, 20) if split else ())

    def _serve(self, message: Message) -> None:
        if message.fds:
            message.close()
            raise Failure("the server sent a descriptor with a request")
        if message.command not in (DMA_READ, DMA_WRITE):
            raise Failure(f"the server sent command {message.command}")
        if self.hold_dma is None:
            self.answer_dma(message)
        else:
            self.hold_dma.append(message)

    def reply(self, ident: int, command: int, limit_s: float = None) -> Message:
        """The reply to a command, serving DMA messages meanwhile."""
        deadline = time.monotonic() + (self.limit_s if limit_s is None else limit_s)
        while True:
            message = self.recv(max(deadline - time.monotonic(), 0.001))
            if not message.is_reply:
                self._serve(message)
                continue
            if (message.ident, message.command) != (ident, command):
                raise Failure(f"reply to id {message.ident} command {message.command}, expected {ident} {command}")
            if message.flags & ~(REPLY | ERROR):
                raise Failure(f"reply with flags {message.flags:#x}")
            if message.flags & ERROR and (message.body or message.fds):
                raise Failure("an error reply is a header only")
            if message.fds and command not in (GET_REGION_INFO, GET_REGION_IO_FDS):
                raise Failure(f"descriptors in the reply to command {command}")
            return message

    def call(self, command: int, body: bytes = b"", fds=(), **keywords) -> Message:
        """Sends a command and returns its reply."""
        ident = self.send(command, body, fds, **keywords)
        return self.reply(ident, keywords.get("command", command))

    def ok(self, command: int, body: bytes = b"", fds=(), **keywords) -> Message:
        """As call(), and the reply must be one of success."""
        message = self.call(command, body, fds, **keywords)
        if message.failed:
            raise Failure(f"command {command}: error {errno.errorcode.get(message.failed, message.failed)}")
        return message

    def pump(self, limit_s: float = 0.0) -> None:
        """Serves what the server asks for; returns at once when nothing is there after the time."""
        while self.readable(limit_s):
            message = self.recv()
            if message.is_reply:
                raise Failure(f"reply to command {message.command} id {message.ident}, which nobody waits for")
            self._serve(message)
            limit_s = 0

    def closed_by_server(self, limit_s: float = 5.0) -> bool:
        """Whether the server closes the connection within the time; what it still sends is dropped."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if not self.readable(max(deadline - time.monotonic(), 0)):
                return False
            try:
                if not self.sock.recv(65536):
                    return True
            except (ConnectionResetError, BrokenPipeError):
                return True
        return False

    # ---- the protocol

    def version(self, major: int = 0, minor: int = 0, capabilities: bytes = QEMU_CAPABILITIES + b"\0") -> tuple:
        """Negotiates; returns (major, minor, capabilities of the server)."""
        ident = self.send(VERSION, struct.pack("=HH", major, minor) + capabilities)
        message = self.reply(ident, VERSION)
        if message.failed:
            raise Failure(f"VERSION: error {message.failed}")
        got = struct.unpack_from("=HH", message.body)
        text = message.body[4:]
        if not text:
            return got + ({},)
        if text[-1:] != b"\0" or b"\0" in text[:-1]:
            raise Failure(f"the capabilities are not one string: {text!r}")
        return got + (json.loads(text[:-1])["capabilities"],)

    def like_qemu(self) -> dict:
        """Negotiates as QEMU 11.1 does, byte for byte; returns the server's capabilities."""
        data = HEADER.pack(0, VERSION, 214, 0, 0) + struct.pack("=HH", 0, 0) + QEMU_CAPABILITIES + b"\0"
        assert len(data) == 214
        self.send_raw(data)
        message = self.reply(0, VERSION)
        if message.failed or HEADER.size + len(message.body) > 214:
            raise Failure(f"QEMU takes no VERSION reply of {len(message.body)} bytes, error {message.failed}")
        major, minor = struct.unpack_from("=HH", message.body)
        if (major, minor) != (0, 0):
            raise Failure(f"QEMU does not speak version {major}.{minor}")
        return json.loads(message.body[4:-1])["capabilities"] if message.body[4:] else {}

    def like_cloud_hypervisor(self) -> tuple:
        """Negotiates as cloud-hypervisor does."""
        return self.version(0, 1, CLOUD_HYPERVISOR_CAPABILITIES + b"\0")

    def like_spdk(self) -> tuple:
        """Negotiates as SPDK's initiator does: no JSON, every id 0, bodies read at once."""
        self.whole_body = True
        ident = self.send(VERSION, struct.pack("=HH", 0, 1), ident=0)
        message = self.reply(ident, VERSION)
        if message.failed:
            raise Failure(f"VERSION: error {message.failed}")
        return struct.unpack_from("=HH", message.body)

    def dma_map(self, segment: Segment, flags: int = MAP_READ | MAP_WRITE, with_fd: bool = True) -> None:
        """Maps a segment of guest memory."""
        body = MAP_BODY.pack(MAP_BODY.size, flags, segment.offset if with_fd else 0, segment.addr, segment.size)
        self.ok(DMA_MAP, body, [segment.fd] if with_fd else [])

    def map_error(self, addr: int, size: int, offset: int = 0, flags: int = 3, fds=(), **keywords) -> int:
        """The errno that a map gets, 0 for success."""
        return self.call(DMA_MAP, MAP_BODY.pack(MAP_BODY.size, flags, offset, addr, size), fds, **keywords).failed

    def unmap_error(self, addr: int, size: int, flags: int = 0, **keywords) -> int:
        """The errno that an unmap gets; a success must echo the request."""
        body = UNMAP_BODY.pack(UNMAP_BODY.size, flags, addr, size)
        message = self.call(DMA_UNMAP, body, **keywords)
        if not message.failed and message.body != body:
            raise Failure(f"DMA_UNMAP is answered with {message.body.hex()}")
        return message.failed

    def info(self) -> tuple:
        """(flags, regions, irqs)"""
        message = self.ok(GET_INFO, INFO_BODY.pack(INFO_BODY.size, 0, 0, 0))
        return INFO_BODY.unpack(message.body)[1:]

    def region_info(self, index: int, argsz: int = 4096, pad: int = 0) -> dict:
        """One region: size, flags, areas, and the descriptor (the caller's to close) where there is one."""
        body = REGION_BODY.pack(argsz, 0, index, 0, 0, 0) + bytes(pad)
        message = self.ok(GET_REGION_INFO, body)
        got, flags, at, caps, size, offset = REGION_BODY.unpack_from(message.body)
        areas = []
        while caps:
            kind, version, following = struct.unpack_from("=HHI", message.body, caps)
            if kind == 1:
                if version != 1:
                    raise Failure(f"sparse mmap capability of version {version}")
                (count,) = struct.unpack_from("=I", message.body, caps + 8)
                areas += [struct.unpack_from("=QQ", message.body, caps + 16 + 16 * n) for n in range(count)]
            caps = following
        if at != index:
            raise Failure(f"region {index} is answered as {at}")
        return {"argsz": got, "flags": flags, "size": size, "offset": offset, "areas": areas, "fds": message.fds,
                "body": message.body}

    def irq_info(self, index: int) -> tuple:
        """(flags, count)"""
        message = self.ok(GET_IRQ_INFO, INFO_BODY.pack(INFO_BODY.size, 0, index, 0))
        _, flags, at, count = INFO_BODY.unpack(message.body)
        if at != index:
            raise Failure(f"interrupt {index} is answered as {at}")
        return flags, count

    def irqs_error(self, flags: int, index: int, start: int, count: int, data: bytes = b"", fds=(), **keywords) -> int:
        """The errno that SET_IRQS gets, 0 for success."""
        body = IRQS_BODY.pack(IRQS_BODY.size + len(data), flags, index, start, count) + data
        return self.call(SET_IRQS, body, fds, **keywords).failed

    def set_irqs(self, flags: int, index: int, start: int, count: int, fds=(), data: bytes = b"") -> None:
        """SET_IRQS, which must succeed."""
        error = self.irqs_error(flags, index, start, count, data, fds)
        if error:
            raise Failure(f"SET_IRQS {flags:#x} {index} {start} {count}: error {error}")

    def read(self, region: int, offset: int, count: int) -> bytes:
        """Reads a region."""
        message = self.ok(REGION_READ, ACCESS_BODY.pack(offset, region, count))
        if message.body[:16] != ACCESS_BODY.pack(offset, region, count) or len(message.body) != 16 + count:
            raise Failure(f"a read of {count} bytes is answered with {len(message.body)}: {message.body[:16].hex()}")
        return message.body[16:]

    def write(self, region: int, offset: int, data: bytes, posted: bool = False) -> None:
        """Writes a region; posted as QEMU does for memory BARs."""
        body = ACCESS_BODY.pack(offset, region, len(data))
        if posted:
            self.send(REGION_WRITE, body + data, flags=NO_REPLY)
            return
        message = self.ok(REGION_WRITE, body + data)
        if message.body != body:
            raise Failure(f"a write is answered with {message.body.hex()}")

    def read_error(self, region: int, offset: int, count: int, **keywords) -> int:
        """The errno that a read gets, 0 for success."""
        return self.call(REGION_READ, ACCESS_BODY.pack(offset, region, count), **keywords).failed

    def write_error(self, region: int, offset: int, data: bytes, count: int = None) -> int:
        """The errno that a write gets, 0 for success."""
        body = ACCESS_BODY.pack(offset, region, len(data) if count is None else count)
        return self.call(REGION_WRITE, body + data).failed

    def read32(self, region: int, offset: int) -> int:
        """A 32-bit register."""
        return int.from_bytes(self.read(region, offset, 4), "little")

    def write32(self, region: int, offset: int, value: int, posted: bool = False) -> None:
        """Writes a 32-bit register."""
        self.write(region, offset, value.to_bytes(4, "little"), posted)

    def multi(self, entries, count: int = None, flags: int = 0, tail: bytes = b"") -> Message:
        """REGION_WRITE_MULTI of (region, offset, data); None where no reply is wanted."""
        body = struct.pack("=Q", len(entries) if count is None else count)
        for region, offset, data in entries:
            body += MULTI_ENTRY.pack(offset, region, len(data), data)
        if flags & NO_REPLY:
            self.send(WRITE_MULTI, body + tail, flags=flags)
            return None
        return self.call(WRITE_MULTI, body + tail, flags=flags)

    def reset(self) -> None:
        """DEVICE_RESET, which must succeed."""
        self.ok(DEVICE_RESET)

    def capability(self, ident: int) -> int:
        """Where a PCI capability stands in configuration space, 0 when it is not there."""
        at, hops = self.read(CONFIG, 0x34, 1)[0], 0
        while at and hops < 48:
            kind, following = self.read(CONFIG, at, 2)
            if kind == ident:
                return at
            at, hops = following, hops + 1
        return 0


def eventfd() -> int:
    """A non-blocking eventfd."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def signals(fd: int, limit_s: float = 0.0) -> int:
    """How often an eventfd was signalled since the last look, waiting for the first."""
    if not select.select([fd], [], [], limit_s)[0]:
        return 0
    return os.eventfd_read(fd)


def null_fds(count: int) -> list:
    """Descriptors that are good for nothing; close_fds() ends them."""
    return [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(count)]


def close_fds(fds) -> None:
    """Closes all of them."""
    for fd in fds:
        os.close(fd)


def wait_socket(path, limit_s: float = 10.0) -> None:
    """Waits until a socket is there."""
    deadline = time.monotonic() + limit_s
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise Failure(f"{path} does not appear")
        time.sleep(0.005)
