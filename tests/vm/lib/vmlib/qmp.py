# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's control socket.

One thread reads; callers wait under one condition.  Answers are matched by id,
events are kept until somebody waits for them.
"""

import itertools
import json
import socket
import threading
import time

from . import VmError


class Qmp:
    """A connection to one QEMU, usable from any thread."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._answers = {}
        self._events = []
        self._closed = False
        threading.Thread(target=self._read, name="qmp", daemon=True).start()
        self.command("qmp_capabilities")

    def _read(self) -> None:
        with self._connection.makefile("rb") as stream:
            for line in stream:
                message = json.loads(line)
                with self._changed:
                    if "event" in message:
                        self._events.append(message)
                    elif "id" in message:
                        self._answers[message["id"]] = message
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, look, what: str, timeout_s: float):
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = look()
                if found is not None:
                    return found
                left_s = deadline - time.monotonic()
                if self._closed:
                    raise VmError(f"QEMU went away while {what} was awaited")
                if left_s <= 0:
                    raise VmError(f"QEMU: no {what} within {timeout_s:.0f} s")
                self._changed.wait(left_s)

    def command(self, name: str, timeout_s: float = 60, **arguments):
        """Executes one command; its result, or VmError with QEMU's words."""
        ident = next(self._ids)
        message = {"execute": name, "id": ident}
        if arguments:
            message["arguments"] = arguments
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise VmError(f"QEMU cannot be asked to {name}: {error.strerror}") from None
        answer = self._wait(lambda: self._answers.pop(ident, None), f"answer to {name}", timeout_s)
        if "error" in answer:
            raise VmError(f"QEMU {name}: {answer['error']['desc']}")
        return answer["return"]

    def event(self, name: str, timeout_s: float = 60, **data):
        """Waits for an event whose data holds all of `data`, and takes it out of those kept."""
        def look():
            for index, event in enumerate(self._events):
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    return self._events.pop(index)
            return None
        return self._wait(look, f"event {name}", timeout_s)

    def close(self) -> None:
        """Ends the connection; the reading thread ends with it."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # QEMU closed it first
        self._connection.close()
