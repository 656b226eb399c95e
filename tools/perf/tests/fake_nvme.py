# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user NVMe controller that is as right, or as wrong, as a test wants it.

It exists to see what umdev-perf says to devices that misbehave, so it is small and slow. Everything
happens on one thread: a request comes, its effects follow, the reply goes out.
"""

import array
import mmap
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

BLOCK = 512
BLOCKS = 16384
HEADER = struct.Struct("<HHIII")
CAP = 1023 | 1 << 16 | 2 << 24 | 1 << 37
INTERRUPTS = {"intx": 0, "msi": 1, "msix": 2, "none": None}
CONFIG = bytes.fromhex("361b1000000010000002080100000000") + bytes(36) + b"\x40" + bytes(11) + \
    b"\x11\x50\x08\x00" + bytes(12) + b"\x05\x00\x06\x00" + bytes(4096 - 84)


@dataclass
class Behaviour:
    """What is special about a device; each fault strikes once, at I/O command number `at`."""
    interrupts: str = "msix"
    shadow: bool = False
    fragments: bool = False  # replies arrive byte by byte
    messages: bool = False  # data moves by DMA_READ and DMA_WRITE
    queues: int = 64
    delay_s: float = 0.0  # what each I/O command takes, one at a time
    at: int = 50
    fault: str = ""  # corrupt, lose, misplace, status, hangup, stall, foreign, fatal, refuse, unwanted
    seen: dict = field(default_factory=dict)


class Hangup(Exception):
    """The connection ends here."""


class FakeNvme:
    """Listens on `path` and serves one client."""

    def __init__(self, path, behaviour):
        self.how = behaviour
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.disk = bytearray(BLOCK * BLOCKS)
        self.memory, self.base = None, 0
        self.registers = bytearray(0x1000)
        struct.pack_into("<QI", self.registers, 0, CAP, 0x10400)
        self.queues, self.eventfds = {}, {}
        self.shadow = None
        self.io_count, self.message_id = 0, 0
        self.error = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        self.peer, _ = self.listener.accept()
        self.listener.close()
        try:
            while True:
                self._request()
        except (Hangup, ConnectionError):
            pass
        except Exception as error:  # shown by the test, which waits for the thread
            self.error = error
        self.peer.close()

    # ---- messages

    def _bytes(self, count, fds):
        data = b""
        while len(data) < count:
            part, ancillary, _, _ = self.peer.recvmsg(count - len(data), socket.CMSG_SPACE(64 * 4))
            for _, _, raw in ancillary:
                fds.frombytes(raw[:len(raw) - len(raw) % 4])
            if not part:
                raise Hangup
            data += part
        return data

    def _message(self):
        fds = array.array("i")
        header = HEADER.unpack(self._bytes(HEADER.size, fds))
        return header, self._bytes(header[2] - HEADER.size, fds), fds

    def _send(self, data):
        for part in ([data[i:i + 1] for i in range(len(data))] if self.how.fragments else [data]):
            self.peer.sendall(part)

    def _request(self):
        (ident, command, _, flags, _), body, fds = self._message()
        self.how.seen[command] = self.how.seen.get(command, 0) + 1
        body, error = self._answer(command, body, fds), 0
        for fd in fds:
            os.close(fd)
        if isinstance(body, int):
            body, error = b"", body
        if not flags & 0x10:
            self._send(HEADER.pack(ident, command, 16 + len(body), 1 | (0x20 if error else 0), error) + body)

    def _answer(self, command, body, fds):
        handler = {1: self._version, 2: self._map, 3: lambda body, fds: body, 4: self._info,
                   5: self._region, 7: self._irq_info, 8: self._set_irqs, 9: self._read, 10: self._write}[command]
        return handler(body, fds)

    def _version(self, body, _fds):
        caps = b'{"capabilities":{"max_msg_fds":3}}\0'
        return body[:4] + caps

    def _map(self, body, fds):
        _, _, offset, self.base, size = struct.unpack("<IIQQQ", body)
        if self.how.fault == "refuse":
            return 12
        self.memory = mmap.mmap(fds[0], size, offset=offset)
        return b""

    def _info(self, _body, _fds):
        return struct.pack("<IIII", 16, 3, 9, 5)

    def _region(self, body, _fds):
        index = struct.unpack_from("<I", body, 8)[0]
        return struct.pack("<IIIIQQ", 32, 3, index, 0, {0: 0x4000, 7: 4096}.get(index, 0), 0)

    def _irq_info(self, body, _fds):
        index = struct.unpack_from("<I", body, 8)[0]
        count = 9 if index == INTERRUPTS[self.how.interrupts] else 0
        return struct.pack("<IIII", 16, 1, index, min(count, 1) if index == 0 else count)

    def _set_irqs(self, body, fds):
        _, flags, _, start, count = struct.unpack("<IIIII", body)
        if flags & 4:
            assert count == len(fds) <= 3
            for i, fd in enumerate(fds):
                self.eventfds[start + i] = os.dup(fd)
        return b""

    def _dma(self, command, iova, payload):
        self.message_id += 1
        count = len(payload) if command == 12 else payload
        body = struct.pack("<QQ", iova, count) + (payload if command == 12 else b"")
        self._send(HEADER.pack(self.message_id, command, 16 + len(body), 0, 0) + body)
        while True:
            (ident, what, _, flags, error), body, fds = self._message()
            if flags & 1:
                assert (ident, what, error) == (self.message_id, command, 0)
                return body[16:]
            # Only doorbells come meanwhile; their commands are taken when the next one is looked at.
            assert what == 10 and flags & 0x10 and not fds
            self._register_write(body)

    # ---- registers

    def _read(self, body, _fds):
        offset, region, count = struct.unpack("<QII", body)
        source = CONFIG if region == 7 else self.registers
        return body[:16] + bytes(source[offset:offset + count])

    def _write(self, body, _fds):
        if struct.unpack_from("<I", body, 8)[0] == 0:
            self._register_write(body)
        self._run()
        return body[:16]

    def _register_write(self, body):
        offset, _, count = struct.unpack("<QII", body[:16])
        if offset >= 0x1000:
            number = (offset - 0x1000) // 4
            queue = self.queues[number // 2]
            queue["head" if number % 2 else "tail"] = struct.unpack_from("<I", body, 16)[0]
            return
        self.registers[offset:offset + count] = body[16:16 + count]
        if offset == 0x14:
            self._control(struct.unpack_from("<I", body, 16)[0])

    def _control(self, control):
        status = (1 if control & 1 else 0) | (8 if control >> 14 & 3 else 0)
        if control & 1 and 0 not in self.queues:
            aqa, asq, acq = struct.unpack_from("<IQQ", self.registers, 0x24)
            self.queues[0] = self._queue(asq, acq, (aqa & 0xfff) + 1, 0)
        if self.how.fault == "fatal" and control & 1:
            status = 2
        struct.pack_into("<I", self.registers, 0x1c, status)

    @staticmethod
    def _queue(sq, cq, entries, vector):
        return {"sq": sq, "cq": cq, "entries": entries, "tail": 0, "head": 0, "at": 0, "done": 0, "phase": 1,
                "vector": vector}

    # ---- commands

    def _get(self, iova, count):
        return self.memory[iova - self.base:iova - self.base + count]

    def _put(self, iova, data):
        self.memory[iova - self.base:iova - self.base + len(data)] = data

    def _run(self):
        for ident in list(self.queues):
            queue = self.queues[ident]
            if ident and self.shadow:
                queue["tail"] = struct.unpack("<I", self._get(self.shadow[0] + 8 * ident, 4))[0]
            while queue["at"] != queue["tail"]:
                command = self._get(queue["sq"] + 64 * queue["at"], 64)
                queue["at"] = (queue["at"] + 1) % queue["entries"]
                self._command(ident, queue, command)
            if ident and self.shadow:
                # Asks for every further step to be told.
                self._put(self.shadow[1] + 8 * ident, struct.pack("<II", queue["tail"], 0xffff))

    def _command(self, ident, queue, command):
        cid = struct.unpack_from("<H", command, 2)[0]
        result, status = (self._io(command) if ident else self._admin(command))
        if status is None:
            return
        if ident and self.how.fault == "foreign" and self.io_count == self.how.at:
            cid = 0x3ff
        self._put(queue["cq"] + 16 * queue["done"],
                  struct.pack("<IIHHHH", result, 0, queue["at"], ident, cid, status << 1 | queue["phase"]))
        queue["done"] = (queue["done"] + 1) % queue["entries"]
        queue["phase"] ^= queue["done"] == 0
        if queue["vector"] in self.eventfds:
            os.eventfd_write(self.eventfds[queue["vector"]], 1)

    def _admin(self, command):
        opcode = command[0]
        prp1, prp2 = struct.unpack_from("<QQ", command, 24)
        cdw10, cdw11 = struct.unpack_from("<II", command, 40)
        if opcode == 6:
            self._put(prp1, self._identify(cdw10 & 0xff))
        elif opcode == 9:
            return (self.how.queues - 1) * 0x10001, 0
        elif opcode == 5:
            self.queues[cdw10 & 0xffff] = self._queue(0, prp1, (cdw10 >> 16) + 1, cdw11 >> 16 if cdw11 & 2 else -1)
        elif opcode == 1:
            self.queues[cdw10 & 0xffff]["sq"] = prp1
        elif opcode == 0x7c:
            self.shadow = (prp1, prp2)
        elif opcode not in (0, 4):
            return 0, 1
        return 0, 0

    def _identify(self, cns):
        page = bytearray(4096)
        if cns == 1:
            page[24:64] = b"fake".ljust(40)
            page[77] = 8
            struct.pack_into("<H", page, 256, 0x100 if self.how.shadow else 0)
            struct.pack_into("<H", page, 520, 0xc)
            struct.pack_into("<I", page, 536, 1)
        else:
            struct.pack_into("<Q", page, 0, BLOCKS)
            page[33] = 1
            struct.pack_into("<I", page, 128, 9 << 16)
        return page

    def _pieces(self, command, count):
        """The (iova, length) pieces that PRP entries or an SGL describe."""
        first, second = struct.unpack_from("<QQ", command, 24)
        if command[1] & 0xc0:
            assert second == count
            return [(first, count)]
        pieces = [(first, min(count, 4096 - first % 4096))]
        left = count - pieces[0][1]
        pages = [second] if left <= 4096 else struct.unpack(f"<{-(-left // 4096)}Q", self._get(second, -(-left // 4096) * 8))
        for page in pages if left else []:
            assert page % 4096 == 0
            pieces.append((page, min(left, 4096)))
            left -= pieces[-1][1]
        return pieces

    def _guest_read(self, command, count):
        return b"".join(self._dma(11, iova, length) if self.how.messages else self._get(iova, length)
                        for iova, length in self._pieces(command, count))

    def _guest_write(self, command, data):
        at = 0
        for iova, length in self._pieces(command, len(data)):
            if self.how.messages:
                self._dma(12, iova, bytes(data[at:at + length]))
            else:
                self._put(iova, data[at:at + length])
            at += length

    def _io(self, command):
        self.io_count += 1
        if self.how.delay_s:
            time.sleep(self.how.delay_s)
        fault = self.how.fault if self.io_count == self.how.at else ""
        opcode = command[0]
        lba, cdw12 = struct.unpack_from("<QI", command, 40)
        count = ((cdw12 & 0xffff) + 1) * BLOCK
        at = lba * BLOCK
        if fault == "hangup":
            raise Hangup
        if fault == "status":
            return 0, 0x281
        if fault == "unwanted":
            self._send(HEADER.pack(7, 9, 16, 1, 0))
        if self.how.fault == "stall" and self.io_count >= self.how.at:
            return 0, None
        wrong = self.io_count >= self.how.at
        if opcode == 1:
            data = self._guest_read(command, count)
            if self.how.fault == "misplace" and wrong:
                self.how.fault, at = "", (at + BLOCK) % (len(self.disk) - count)
            if self.how.fault == "lose" and wrong:
                self.how.fault = ""
            else:
                self.disk[at:at + count] = data
        elif opcode == 2:
            data = self.disk[at:at + count]
            if self.how.fault == "corrupt" and wrong:
                self.how.fault = ""
                data[-9] ^= 1
            self._guest_write(command, data)
        elif opcode == 8:
            self.disk[at:at + count] = bytes(count)
        elif opcode == 9:
            ranges = (struct.unpack_from("<I", command, 40)[0] & 0xff) + 1
            for _, blocks, lba in struct.iter_unpack("<IIQ", self._guest_read(command, ranges * 16)):
                self.disk[lba * BLOCK:(lba + blocks) * BLOCK] = bytes(blocks * BLOCK)
        return 0, 0
