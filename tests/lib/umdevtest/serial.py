# SPDX-License-Identifier: BSD-3-Clause
"""A guest's driver of a 16550A over vfio-user, and the programs at the other ends of its lines."""

import os
import select
import socket
import time
import tty

from . import Failure
from .vfiouser import Client

RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR, MCR, LSR, MSR, SCR = range(3, 8)
DR, OE, BI, EMPTY, SENT = 0x01, 0x02, 0x10, 0x20, 0x40
DTR, RTS = 0x01, 0x02
CTS, DSR, DCD = 0x10, 0x20, 0x80
CARRIER = CTS | DSR | DCD
BREAK = 0x40
FIFO = 16
BAR = 0


class Uart:
    """One port of a device."""

    def __init__(self, client: Client, port: int = 0):
        self._client = client
        self._base = 8 * port

    def read(self, register: int) -> int:
        """A register."""
        return self._client.read(BAR, self._base + register, 1)[0]

    def write(self, register: int, value: int) -> None:
        """Sets a register, without waiting."""
        self._client.write(BAR, self._base + register, bytes([value]), posted=True)

    def open(self, divisor: int = 1) -> "Uart":
        """Does what a driver does first: FIFOs, speed, DTR and RTS."""
        self.write(FCR, 0x87)
        self.speed(divisor)
        self.write(MCR, DTR | RTS | 0x08)
        return self

    def speed(self, divisor: int) -> None:
        """Sets it, with eight bits a character."""
        self.write(LCR, 0x83)
        self.write(DLL, divisor & 0xff)
        self.write(DLM, divisor >> 8)
        self.write(LCR, 0x03)
        self.read(LSR)

    def carrier(self) -> bool:
        """Whether somebody is at the other end."""
        return self.read(MSR) & CARRIER == CARRIER

    def feed(self, data: bytes) -> int:
        """Fills the transmitter if it is empty: how much it took."""
        if not self.read(LSR) & EMPTY:
            return 0
        for byte in data[:FIFO]:
            self.write(THR, byte)
        return len(data[:FIFO])

    def send(self, data: bytes, limit_s: float = 20) -> None:
        """Sends all, and waits until it is sent."""
        deadline = time.monotonic() + limit_s
        while data or not self.read(LSR) & SENT:
            data = data[self.feed(data):] if data else data
            if time.monotonic() > deadline:
                raise Failure(f"the transmitter does not become empty within {limit_s} s; {len(data)} bytes are left")

    def take(self, most: int = 1 << 30) -> bytes:
        """What is in the receiver, and comes while it is being read."""
        data = bytearray()
        while len(data) < most and (status := self.read(LSR)) & DR:
            if status & OE:
                raise Failure("the receiver was overrun")
            data.append(self.read(RBR))
        return bytes(data)

    def receive(self, count: int, limit_s: float = 20) -> bytes:
        """That many bytes."""
        data = b""
        deadline = time.monotonic() + limit_s
        while len(data) < count:
            data += self.take(count - len(data))
            if time.monotonic() > deadline:
                raise Failure(f"{len(data)} of {count} bytes came within {limit_s} s")
        return data


class Line:
    """The host's end of a port: a pseudo terminal or a socket, whatever its path names."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = None
        if os.path.islink(self.path):
            self.fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self.fd)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(self.path)
            self._socket.setblocking(False)
            self.fd = self._socket.fileno()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self) -> None:
        """Hangs up."""
        if self._socket:
            self._socket.close()
        else:
            os.close(self.fd)

    def offer(self, data: bytes) -> int:
        """Sends what is taken at once: how much."""
        sent = 0
        try:
            while sent < len(data):
                sent += os.write(self.fd, data[sent:sent + 4096])
        except BlockingIOError:
            pass
        return sent

    def take(self) -> bytes:
        """What is there now."""
        try:
            return os.read(self.fd, 65536)
        except BlockingIOError:
            return b""

    def receive(self, count: int, limit_s: float = 20) -> bytes:
        """That many bytes."""
        data = b""
        deadline = time.monotonic() + limit_s
        while len(data) < count:
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Failure(f"{len(data)} of {count} bytes came from {self.path} within {limit_s} s")
            data += os.read(self.fd, count - len(data))
        return data

    def ended(self, limit_s: float = 10) -> bool:
        """Whether the other side hangs up within the time."""
        poll = select.poll()
        poll.register(self.fd, 0)
        return bool(poll.poll(limit_s * 1000))
