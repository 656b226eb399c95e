# SPDX-License-Identifier: BSD-3-Clause
"""The client these tests are made with: it must notice a server that is wrong."""

import os
import socket
import threading

import pytest

from umdevtest import Failure
from umdevtest.vfiouser import (DMA_READ, ERROR, GET_INFO, GET_REGION_INFO, HEADER, NO_REPLY, REPLY, Client,
                                Disconnected, GuestMemory, NoReply)

INFO = bytes(16)


@pytest.fixture
def served(tmp_path_factory):
    """(client, the server's end) of a connection."""
    del tmp_path_factory
    path = f"\0umdev-test-{os.getpid()}-{threading.get_ident()}-{os.urandom(4).hex()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        client = Client(path, limit_s=0.3)
        server, _ = listener.accept()
        server.settimeout(2)
        with client, server:
            yield client, server


def reply(body=b"", ident=1, command=GET_INFO, flags=REPLY, size=None, error=0):
    """A message of the server."""
    return HEADER.pack(ident, command, HEADER.size + len(body) if size is None else size, flags, error) + body


def test_good_reply(served):
    client, server = served
    ident = client.send(GET_INFO, INFO)
    assert server.recv(4096) == HEADER.pack(1, GET_INFO, 32, 0, 0) + INFO
    server.sendall(reply(INFO))
    message = client.reply(ident, GET_INFO)
    assert message.body == INFO and not message.failed


@pytest.mark.parametrize("data, says", [
    (reply(INFO)[:7], "in pieces"),
    (reply(INFO, ident=2), "reply to id 2"),
    (reply(INFO, command=GET_REGION_INFO), "command 5"),
    (reply(INFO, flags=REPLY | ERROR, error=22), "header only"),
    (reply(INFO, flags=REPLY | NO_REPLY), "flags 0x11"),
    (reply(INFO, size=15), "message of 15 bytes"),
    (reply(INFO, size=1 << 30), "message of 1073741824 bytes"),
    (reply(b"", command=99, flags=0), "sent command 99"),
    (reply(INFO, command=DMA_READ, flags=0), "no guest memory"),
])
def test_bad_reply(served, data, says):
    client, server = served
    ident = client.send(GET_INFO, INFO)
    server.sendall(data)
    with pytest.raises(Failure, match=says):
        client.reply(ident, GET_INFO)


def test_stray_descriptor(served):
    client, server = served
    ident = client.send(GET_INFO, INFO)
    with open("/dev/null", "rb") as null:
        socket.send_fds(server, [reply(INFO)], [null.fileno()])
    with pytest.raises(Failure, match="descriptors in the reply"):
        client.reply(ident, GET_INFO)


def test_silence_and_end(served):
    client, server = served
    ident = client.send(GET_INFO, INFO)
    with pytest.raises(NoReply):
        client.reply(ident, GET_INFO)
    assert not client.closed_by_server(0.05)
    server.close()
    assert client.closed_by_server(1)
    with pytest.raises(Disconnected):
        client.recv()


def test_serves_memory_while_it_waits(served):
    client, server = served
    client.memory = GuestMemory()
    client.memory.add(0x1000, 0x1000).view[16:20] = b"abcd"
    ident = client.send(GET_INFO, INFO)
    request = (0x1010).to_bytes(8, "little") + (4).to_bytes(8, "little")
    beyond = (0x2000).to_bytes(8, "little") + (4).to_bytes(8, "little")
    server.sendall(reply(request, 7, DMA_READ, 0) + reply(beyond, 8, DMA_READ, 0) + reply(INFO))
    assert client.reply(ident, GET_INFO).body == INFO
    got = server.recv(4096)[32:]
    assert got == reply(request + b"abcd", 7, DMA_READ) + reply(b"", 8, DMA_READ, REPLY | ERROR, error=19)
    client.memory.close()


def test_private_memory_differs_from_its_file():
    memory = GuestMemory()
    segment = memory.add(0, 4096, shared=False)
    memory.write(0, b"guest")
    assert os.pread(segment.fd, 5, 0) == bytes(5)
    assert memory.read(0, 5) == b"guest"
    memory.close()
