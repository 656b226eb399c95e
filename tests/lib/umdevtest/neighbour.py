# SPDX-License-Identifier: BSD-3-Clause
"""A well-behaved client that works beside the hostile ones, and notices every disturbance."""

import random
import threading
import time

from . import Failure, wait_for
from .nvme import Nvme
from .vfiouser import Client, GuestMemory

BLOCK = 512
FIXED_BLOCKS = 256  # written once, never again
CHUNK = 16


class Neighbour:
    """A thread with its own device on the same parent: writes, reads back and compares without end."""

    def __init__(self, path, seed: int = 1):
        self._random = random.Random(seed)
        self._memory = GuestMemory()
        segment = self._memory.add(0x100000, 4 << 20, name="neighbour")
        self._client = Client(path, self._memory)
        self._client.like_qemu()
        self._nvme = Nvme(self._client, self._memory, segment=segment)
        self._nvme.enable()
        self._nvme.io_queue(1)
        self.blocks = self._nvme.namespace()[0]
        self._fixed = self._random.randbytes(FIXED_BLOCKS * BLOCK)
        for at in range(0, FIXED_BLOCKS, CHUNK):
            self._nvme.write(at, self._fixed[at * BLOCK:(at + CHUNK) * BLOCK])
        self._written = {}
        self.rounds = 0
        self.slowest_s = 0.0
        self.error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _round(self) -> None:
        at = FIXED_BLOCKS + self._random.randrange(64) * CHUNK
        data = self._random.randbytes(CHUNK * BLOCK)
        self._nvme.write(at, data)
        self._written[at] = data
        other = self._random.choice(list(self._written))
        if self._nvme.read(other, CHUNK * BLOCK) != self._written[other]:
            raise Failure(f"the neighbour's data changed at block {other}")
        fixed = self._random.randrange(FIXED_BLOCKS // CHUNK) * CHUNK
        if self._nvme.read(fixed, CHUNK * BLOCK) != self._fixed[fixed * BLOCK:(fixed + CHUNK) * BLOCK]:
            raise Failure(f"the neighbour's data changed at block {fixed}")

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                begin = time.monotonic()
                self._round()
                self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
                self.rounds += 1
                self._stop.wait(0.02)
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def check(self) -> None:
        """It works on, now, and all it ever read was right."""
        before = self.rounds
        wait_for(lambda: self.error or self.rounds > before, "the neighbour's next round")
        if self.error:
            raise Failure(f"the neighbour was disturbed: {self.error}")

    def close(self) -> None:
        """Compares everything once more and leaves."""
        self._stop.set()
        self._thread.join(30)
        try:
            if self._thread.is_alive():
                raise Failure("the neighbour's thread hangs")
            if self.error:
                raise Failure(f"the neighbour was disturbed: {self.error}")
            for at, data in self._written.items():
                if self._nvme.read(at, len(data)) != data:
                    raise Failure(f"the neighbour's data changed at block {at}")
            for at in range(0, FIXED_BLOCKS, CHUNK):
                if self._nvme.read(at, CHUNK * BLOCK) != self._fixed[at * BLOCK:(at + CHUNK) * BLOCK]:
                    raise Failure(f"the neighbour's data changed at block {at}")
        finally:
            self._client.close()
            self._memory.close()
