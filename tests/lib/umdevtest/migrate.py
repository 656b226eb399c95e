# SPDX-License-Identifier: BSD-3-Clause
"""The migration commands of a vfio-user client: states, the stream, and dirty pages."""

import struct

from .vfiouser import DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE

GET, SET = 1 << 16, 1 << 17
MIGRATION, STATE, LOG_START, LOG_STOP, LOG_REPORT = 1, 2, 6, 7, 8
PAGE = 4096
ERROR, STOP, RUNNING, STOP_COPY, RESUMING = range(5)


def state(client) -> int:
    """The migration state."""
    body = client.ok(DEVICE_FEATURE, struct.pack("=II", 16, GET | STATE)).body
    assert len(body) == 16
    return struct.unpack_from("=I", body, 8)[0]


def state_error(client, to: int) -> int:
    """The errno of a change of state."""
    return client.call(DEVICE_FEATURE, struct.pack("=IIIi", 16, SET | STATE, to, -1)).failed


def set_state(client, to: int) -> None:
    """A change of state that must succeed."""
    assert state_error(client, to) == 0
    assert state(client) == to


def read_stream(client, piece: int = 5000) -> bytes:
    """All of it."""
    data = b""
    while True:
        body = client.ok(MIG_DATA_READ, struct.pack("=II", 8 + piece, piece)).body
        argsz, size = struct.unpack_from("=II", body)
        assert argsz == len(body) == 8 + size and size <= piece
        data += body[8:]
        if size < piece:
            return data


def write_error(client, part: bytes) -> int:
    """The errno of a write of a piece."""
    return client.call(MIG_DATA_WRITE, struct.pack("=II", 8 + len(part), len(part)) + part).failed


def write_stream(client, data: bytes, piece: int = 7000) -> None:
    """All of it."""
    for at in range(0, len(data), piece):
        part = data[at:at + piece]
        client.ok(MIG_DATA_WRITE, struct.pack("=II", 8 + len(part), len(part)) + part)


def take(client) -> bytes:
    """The state of a device, which stays stopped."""
    set_state(client, STOP_COPY)
    data = read_stream(client)
    set_state(client, STOP)
    return data


def give(client, data: bytes, to: int = RUNNING) -> None:
    """Brings a state in."""
    set_state(client, RESUMING)
    write_stream(client, data)
    set_state(client, to)


# ---- pages that the device writes


def log_start(client, ranges=(), page_size: int = PAGE) -> int:
    """Has writes of the device noted; the errno."""
    body = struct.pack("=QII", page_size, len(ranges), 0) + b"".join(struct.pack("=QQ", *pair) for pair in ranges)
    return client.call(DEVICE_FEATURE, struct.pack("=II", 8 + len(body), SET | LOG_START) + body).failed


def log_stop(client) -> int:
    """Ends that; the errno."""
    return client.call(DEVICE_FEATURE, struct.pack("=II", 8, SET | LOG_STOP)).failed


def dirty(client, addr: int, size: int) -> set:
    """The addresses of the pages that were written since they were last asked for."""
    pages = size // PAGE
    argsz = 32 + -(-pages // 64) * 8
    body = client.ok(DEVICE_FEATURE, struct.pack("=IIQQQ", argsz, GET | LOG_REPORT, addr, size, PAGE)).body
    assert struct.unpack_from("=IIQQQ", body) == (argsz, GET | LOG_REPORT, addr, size, PAGE)
    assert len(body) == argsz
    bits = int.from_bytes(body[32:], "little")
    assert bits >> pages == 0
    return {addr + n * PAGE for n in range(pages) if bits >> n & 1}
