# SPDX-License-Identifier: BSD-3-Clause
"""Clients that hold a device for ever, and the operator's way out: stop --force, whatever they do."""

import os
import signal
import time

import pytest

from umdevtest import wait_for
from umdevtest.load import Load
from umdevtest.mortal import kill_host, wait_back
from umdevtest.nvme import READ, Nvme
from umdevtest.vfiouser import (ACCESS_BODY, CONFIG, DEVICE_RESET, DMA_UNMAP, REGION_READ, REGION_WRITE,
                                UNMAP_BODY, Client, Disconnected, GuestMemory)

STOP_LIMIT_S = 5.0  # printed is what it takes; this is what nobody waits longer for
WAYS = ("waits", "unversioned", "half", "unread", "silent", "silent-reset", "silent-unmap", "stopped", "posting")


class Holder:
    """A client that holds a device in one of the ways."""

    def __init__(self, daemon, ident: str, way: str):
        self._memory = GuestMemory()
        self._client = self._load = None
        if way == "stopped":
            self._load = Load(daemon, ident, 3600, rw="randrw", depth=32, timeout=600)
            wait_for(lambda: daemon.mdev(ident)["in_use"], "the client")
            time.sleep(0.3)
            self._load.signal(signal.SIGSTOP)
            return
        self._client = Client(daemon.socket_path(ident), self._memory, 20)
        if way != "unversioned":
            self._client.like_qemu()
        getattr(self, "_" + way.replace("-", "_"))()

    def _waits(self) -> None:
        pass

    _unversioned = _waits

    def _half(self) -> None:
        self._client.send_raw(self._client.message(REGION_WRITE, bytes(64))[:40])

    def _unread(self) -> None:
        self._client.sock.settimeout(0.3)
        try:
            while True:
                self._client.sock.send(self._client.message(REGION_READ, ACCESS_BODY.pack(0, CONFIG, 256)) * 64)
        except TimeoutError:
            pass

    def _posting(self) -> None:
        """A socket full of writes that want no reply, and more of them as long as it takes any."""
        data = self._client.message(REGION_WRITE, ACCESS_BODY.pack(0x1000, 0, 4) + bytes(4), flags=0x10) * 2000
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._client.sock.settimeout(30)
                while True:
                    self._client.sock.sendall(data)
            finally:
                os._exit(0)

    def _silent(self) -> None:
        """Commands are under way that wait for answers which never come."""
        nvme = Nvme(self._client, self._memory)
        nvme.enable()
        nvme.io_queue(1)
        silent = self._memory.add(0x4000000, 1 << 20)
        self._client.dma_map(silent, with_fd=False)
        self._client.hold_dma = []
        for number in range(16):
            nvme.submit(1, nvme.sqe(READ, nsid=1, prp1=silent.addr + number * 4096, cdw=[number * 8, 0, 7]))
        wait_for(lambda: self._client.pump(0.05) or self._client.hold_dma, "a message of the host")

    def _silent_reset(self) -> None:
        self._silent()
        self._client.send(DEVICE_RESET)

    def _silent_unmap(self) -> None:
        self._silent()
        self._client.send(DMA_UNMAP, UNMAP_BODY.pack(UNMAP_BODY.size, 0, 0x4000000, 1 << 20))

    def close(self) -> None:
        """The end of it."""
        if self._load:
            self._load.signal(signal.SIGCONT)
            self._load.kill()
        if self._client:
            self._client.close()
        if hasattr(self, "_pid"):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._memory.close()


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
@pytest.mark.parametrize("way", WAYS)
def test_stop(daemon, way, killed, record_property):
    """stop without --force says who it is; with it the device is gone at once, also after a death of the host."""
    daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    ident, other = [daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip() for _ in range(2)]
    load = Load(daemon, other, 3600, depth=4, rw="randrw", verify=True, rate=500)
    wait_for(lambda: daemon.mdev(other)["in_use"], "the neighbour")
    holder = Holder(daemon, ident, way)
    try:
        if killed:
            wait_back(daemon, "p", kill_host(daemon, "p"))
        if way != "unversioned":
            refused = daemon.ctl("stop", "-u", ident)
            assert refused.rc == 1 and "in use" in refused.err
        began = time.monotonic()
        daemon.ok("stop", "-u", ident, "--force")
        took = time.monotonic() - began
        record_property("figures", f"{way}: stop --force took {took * 1e3:.0f} ms")
        print(f"{way}: stop --force took {took * 1e3:.0f} ms")
        assert took < STOP_LIMIT_S
        assert not daemon.mdev(ident)
    finally:
        holder.close()
    report = load.stop()
    assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
    ident = daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip()
    Load(daemon, ident, 0.2, rw="randrw", verify=True).result()


@pytest.mark.parametrize("size", [0, 4096, (8 << 20) - 4096, 8 << 20])
def test_memory_shrunk_while_the_host_is_dead(daemon, size):
    """The next host comes up, lets go of that client alone, and of none whose memory is what it was."""
    daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", "ram=32M", "--option", "types=16m")
    ident, other = [daemon.ok("start", "-p", "p", "-t", "nvme-16m").strip() for _ in range(2)]
    load = Load(daemon, other, 3600, depth=4, rw="randrw", verify=True, rate=500)
    memory = GuestMemory()
    with Client(daemon.socket_path(ident), memory, 20) as client:
        client.like_qemu()
        nvme = Nvme(client, memory)
        nvme.enable()
        nvme.io_queue(1)
        nvme.write(0, b"kept" * 1024)
        before = daemon.host_pid("p")
        os.kill(before, signal.SIGSTOP)
        os.ftruncate(nvme.segment.fd, size)
        os.kill(before, signal.SIGKILL)
        wait_back(daemon, "p", before)
        if size == nvme.segment.size:
            assert nvme.read(0, 4096) == b"kept" * 1024
        else:
            with pytest.raises(Disconnected):
                client.recv(20)
            gone = daemon.wait_event("client.disconnected", ident)
            assert "could not be served on" in gone["message"]
            os.ftruncate(nvme.segment.fd, nvme.segment.size)
    memory.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the device to be free")
    report = load.stop()
    assert report["errors"] == report["mismatches"] == 0
    assert [event["event"] for event in daemon.events()].count("host.died") == 1
    Load(daemon, ident, 0.2, rw="randrw", verify=True).result()
