# SPDX-License-Identifier: BSD-3-Clause
"""inotify, for which Python has nothing."""

import ctypes
import os
import select
import struct
import time

from . import Failure

MODIFY, CREATE, DELETE = 0x2, 0x100, 0x200
_EVENT = struct.Struct("iIII")


class Watches:
    """Files and directories that are watched, as a context manager; next() gives (path, kind, name)."""

    def __init__(self):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self._fd >= 0
        self._paths = {}
        self._events = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        os.close(self._fd)

    def add(self, path, mask: int) -> None:
        """Watches one more."""
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(str(path)), mask)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))
        self._paths[watch] = str(path)

    def _read(self) -> None:
        data = os.read(self._fd, 65536)
        while data:
            watch, mask, _, length = _EVENT.unpack_from(data)
            name = data[_EVENT.size:_EVENT.size + length].rstrip(b"\0").decode()
            self._events.append((self._paths[watch], mask & (MODIFY | CREATE | DELETE), name))
            data = data[_EVENT.size + length:]

    def expect(self, wanted, limit_s: float = 10) -> list:
        """Waits until every event of @wanted has come, in any order; all that have come since the last time."""
        missing = [(str(path), kind, name) for path, kind, name in wanted]
        deadline = time.monotonic() + limit_s
        seen = []
        while missing:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                raise Failure(f"nobody told of {missing}, but of {seen}")
            self._read()
            for event in self._events:
                seen.append(event)
                if event in missing:
                    missing.remove(event)
            self._events.clear()
        return seen
