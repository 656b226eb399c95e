# SPDX-License-Identifier: BSD-3-Clause
"""A device that is being moved by its client, and the death of its host in the middle of that."""

import os
import struct

import pytest

from umdevtest.migrate import (ERROR, RESUMING, RUNNING, STOP, STOP_COPY, read_stream, set_state, state, state_error,
                               take, write_stream)
from umdevtest.nvme import CSTS, ready_drive
from umdevtest.vfiouser import MIG_DATA_READ, GuestMemory


@pytest.mark.parametrize("at", [STOP, STOP_COPY, RESUMING, ERROR])
def test_host_killed(daemon, at):
    """The host dies while the device is being moved: the next one goes on with that, byte for byte."""
    daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", f"path={daemon.directory}/p.img",
              "--option", "size=64M", "--option", "types=16m")
    ident = daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip()
    nvme = ready_drive(daemon.socket_path(ident), GuestMemory())
    client = nvme.client
    nvme.write(9, b"k" * 512)
    good = take(client)
    if at == ERROR:
        set_state(client, RESUMING)
        assert state_error(client, STOP)
    else:
        set_state(client, at)
    first = b""
    if at == STOP_COPY:
        first = client.ok(MIG_DATA_READ, struct.pack("=II", 1008, 1000)).body[8:]
    if at == RESUMING:
        write_stream(client, good[:3000])
    host = daemon.host_pid("p")
    os.kill(host, 9)
    assert state(client) == at
    if at == STOP_COPY:
        assert first + read_stream(client) == good
    if at == RESUMING:
        write_stream(client, good[3000:])
    if at == ERROR:
        client.reset()
        assert nvme.reg(CSTS) == 0
    else:
        set_state(client, RUNNING)
        assert nvme.read(9, 512) == b"k" * 512
    assert daemon.host_pid("p") != host
    client.close()
