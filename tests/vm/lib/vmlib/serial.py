# SPDX-License-Identifier: BSD-3-Clause
"""Serial mdevs, and the programs on the host that sit at the other ends of their lines."""

import json
import os
import select
import socket
import time
import tty
import uuid

from . import VmError
from .umdev import Daemon, UmdevDrive


class Line:
    """The host's end of a port: a pseudo terminal or a socket, whatever its path names."""

    def __init__(self, path: str):
        self.path = path
        if os.path.islink(path):
            self._socket = None
            self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self.fd)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(path)
            self._socket.setblocking(False)
            self.fd = self._socket.fileno()
        self._received = b""

    def close(self) -> None:
        """Hangs up."""
        if self._socket:
            self._socket.close()
        else:
            os.close(self.fd)

    def send(self, data: bytes, timeout_s: float = 60) -> None:
        """Sends all of it."""
        deadline = time.monotonic() + timeout_s
        while data:
            if not select.select([], [self.fd], [], max(0, deadline - time.monotonic()))[1]:
                raise VmError(f"{self.path} did not take {len(data)} bytes within {timeout_s:.0f} s")
            data = data[os.write(self.fd, data[:4096]):]

    def receive(self, timeout_s: float, most: int = 65536) -> bytes:
        """What comes next, at least a byte."""
        if not select.select([self.fd], [], [], max(0, timeout_s))[0]:
            raise VmError(f"nothing came from {self.path} within {timeout_s:.0f} s; before: {self._received[-200:]!r}")
        return os.read(self.fd, most)

    def take(self) -> bytes:
        """What came with the last expected text, and after it."""
        data, self._received = self._received, b""
        return data

    def expect(self, text: bytes, timeout_s: float = 60) -> bytes:
        """All that comes up to and with `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self._received:
            self._received += self.receive(deadline - time.monotonic())
        head, _, self._received = self._received.partition(text)
        return head + text


class SerialPorts(Daemon):
    """A daemon with parents of the serial driver."""

    def parent(self, name: str, *options: str) -> None:
        """Adds a parent."""
        self.ctl("parent", "add", name, "--driver", "serial",
                 *(word for option in options for word in ("--option", option)))

    def host(self, parent: str) -> int:
        """The process that serves a parent; 0 while there is none."""
        (found,) = [row for row in json.loads(self.ctl("parent", "list", "--json")) if row["name"] == parent]
        return found["host"]["pid"] if found["host"] and found["state"] == "ready" else 0

    def device(self, kind: str, parent: str, attributes=()) -> UmdevDrive:
        """Defines and starts an mdev of the type serial-`kind`."""
        ident = str(uuid.uuid4())
        options = [word for attribute in attributes for word in ("--attr", attribute)]
        self.ctl("define", "-u", ident, "-p", parent, "-t", f"serial-{kind}", *options)
        self.ctl("start", "-u", ident)
        return UmdevDrive(self, ident)
