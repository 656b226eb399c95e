# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's control socket.

Answers are matched by id; events are kept until somebody waits for them.
"""

import itertools
import json
import socket

from . import VmError
from .lines import LinePeer


class Qmp(LinePeer):
    """A connection to one QEMU, usable from any thread."""

    def __init__(self, connection: socket.socket):
        super().__init__(connection)
        self._ids = itertools.count(1)
        self._answers = {}
        self._events = []
        self.listen()
        self.command("qmp_capabilities")

    def receive(self, line: bytes) -> None:
        message = json.loads(line)
        if "event" in message:
            self._events.append(message)
        elif "id" in message:
            self._answers[message["id"]] = message

    def command(self, name: str, timeout_s: float = 60, **arguments):
        """Executes one command; its result, or VmError with QEMU's words."""
        ident = next(self._ids)
        message = {"execute": name, "id": ident}
        if arguments:
            message["arguments"] = arguments
        self.send(json.dumps(message).encode())
        answer = self.wait(lambda: self._answers.pop(ident, None), f"QEMU answered {name}", timeout_s)
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
        return self.wait(look, f"QEMU sent {name}", timeout_s)
