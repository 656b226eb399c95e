# SPDX-License-Identifier: BSD-3-Clause
"""A peer that sends lines when it likes, and callers that wait for what the lines add up to."""

import socket
import threading
import time

from . import VmError


class LinePeer:
    """One thread hands each line to `receive`, under the condition that callers wait under."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._changed = threading.Condition()
        self._closed = False

    def listen(self) -> None:
        """Starts the thread, once the object is whole."""
        threading.Thread(target=self._read, name=type(self).__name__, daemon=True).start()

    def receive(self, line: bytes) -> None:
        """Takes one line; for the subclass."""
        raise NotImplementedError

    def _read(self) -> None:
        try:
            with self._connection.makefile("rb") as stream:
                for line in stream:
                    with self._changed:
                        self.receive(line)
                        self._changed.notify_all()
        except OSError:
            pass  # an end like any other: the peer died with unread lines
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()

    def send(self, line: bytes) -> None:
        """Sends one line; that the peer is gone is noticed by who waits for its answer."""
        try:
            self._connection.sendall(line + b"\n")
        except OSError:
            pass

    def wait(self, look, what: str, timeout_s: float):
        """What `look` returns once that is not None; VmError where it cannot come, or not in time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = look()
                if found is not None:
                    return found
                if self._closed:
                    raise VmError(f"the machine went away before {what}")
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise VmError(f"not within {timeout_s:.0f} s: {what}")
                self._changed.wait(left_s)

    def close(self) -> None:
        """Ends the connection; the thread ends with it."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer closed it first
        self._connection.close()
