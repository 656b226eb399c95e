# SPDX-License-Identifier: BSD-3-Clause
"""Clients whose process has ended while the kernel, or somebody else, still has its connection open.

The kernel does that to a QEMU for tens of milliseconds: what a ring of io_uring polls is closed some time after the
process is gone. Here the test holds the connection, for as long as it likes.
"""

import contextlib
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib_system import fails, refused
from test_groups import GROUP, Consumer, active, start
from umdevtest import Failure, process, wait_for
from umdevtest.daemon import RpcError, as_user
from umdevtest.drivers import with_drivers

LIMIT_S = 5  # for which umdevd waits
CODE = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from umdevtest.vfiouser import Client
client = Client(sys.argv[2])
client.like_qemu()
socket.send_fds(socket.socket(fileno=0), [b"!"], [client.sock.fileno()])
"""


class Remains:
    """The connection of a process that has ended; a context manager that closes it."""

    def __init__(self, daemon, ident):
        ours, theirs = socket.socketpair()
        with ours, theirs, subprocess.Popen(
                as_user(daemon.uid) + [sys.executable, "-c", CODE, str(Path(__file__).parent.parent / "lib"),
                                       str(daemon.socket_path(ident))], stdin=theirs, cwd="/") as child:
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            self.pid = child.pid
        self._socket = socket.socket(fileno=fds[0])
        assert process.over(self.pid)
        wait_for(lambda: daemon.mdev(ident)["in_use"], "the client to be known")

    def close(self) -> None:
        """As the kernel does at last."""
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()


@contextlib.contextmanager
def waiting(daemon, method: str, **params):
    """A call on a connection of its own; it must not be answered before the block is entered."""
    with contextlib.closing(daemon.connect()) as rpc, ThreadPoolExecutor() as pool:
        call = pool.submit(rpc.call, method, **params)
        time.sleep(0.3)
        assert not call.done()
        yield call


@pytest.fixture(name="swap")
def fixture_swap(make_daemon, user):
    """A parent with attributes of every kind."""
    daemon = with_drivers(make_daemon, user, "swap")
    daemon.start()
    daemon.ok("parent", "add", "p", "--driver", "swap")
    return daemon


@pytest.mark.parametrize("method, params", [
    ("mdev.stop", {}),
    ("mdev.set", {"name": "swap/size", "value": "8192"}),
    ("mdev.set", {"name": "swap/speed", "value": "fast"}),
    ("mdev.modify", {"live": True, "attrs": [{"swap/speed": "fast"}]}),
    ("mdev.save", {}),
], ids=["stop", "set-create", "set-idle", "modify", "save"])
def test_verb_waits(swap, method, params):
    """What the client is in the way of is done when it is gone, and not refused."""
    ident = swap.ok("start", "-p", "p", "-t", "swap-11").strip()
    with Remains(swap, ident) as remains, waiting(swap, method, uuid=ident, **params) as call:
        assert swap.mdev(ident)["in_use"], "others are served meanwhile"
        remains.close()
        call.result()
    if method.endswith("stop"):
        assert swap.mdev(ident) is None
    else:
        assert not swap.mdev(ident)["in_use"]


def test_connection_that_was_passed_on(swap):
    """Somebody else has it now, for as long as he likes: that is said after a while. Nobody else waits, --force does not."""
    ident, other = (swap.ok("start", "-p", "p", "-t", "swap-11").strip() for _ in range(2))
    with Remains(swap, ident) as remains:
        begin = time.monotonic()
        fails(swap, "stop", "-u", ident, says=[f"in use by process {remains.pid}", "has ended", "--force"])
        assert time.monotonic() - begin >= LIMIT_S
        begin = time.monotonic()
        swap.ok("stop", "-u", other)
        swap.ok("stop", "-u", ident, "--force")
        assert time.monotonic() - begin < LIMIT_S


def test_next_client_waits(swap):
    """Who connects is the next client when the connection is gone, and turned away if it stays."""
    ident = swap.ok("start", "-p", "p", "-t", "swap-11").strip()
    with Consumer(swap) as second, ThreadPoolExecutor() as pool:
        with Remains(swap, ident) as remains:
            begin = time.monotonic()
            assert not second.connects(ident)
            assert time.monotonic() - begin >= LIMIT_S
            assert f"in use by pid {remains.pid}" in swap.mdev(ident)["last_refusal"]
        wait_for(lambda: not swap.mdev(ident)["in_use"], "the mdev to be free")
        with Remains(swap, ident):
            connects = pool.submit(second.connects, ident)
            time.sleep(0.3)
            assert not connects.done()
        assert connects.result()
        wait_for(lambda: swap.mdev(ident).get("client", {}).get("pid") == second.pid, "the second to be known")


def test_client_that_lives_is_no_reason_to_wait(swap):
    """A stop of what is in use is refused at once."""
    ident = swap.ok("start", "-p", "p", "-t", "swap-11").strip()
    with Consumer(swap) as client:
        assert client.connects(ident)
        wait_for(lambda: swap.mdev(ident)["in_use"], "the client to be known")
        begin = time.monotonic()
        refused(swap, "DEVICE_BUSY", "mdev.stop", uuid=ident)
        assert time.monotonic() - begin < LIMIT_S


def test_daemon_ends_meanwhile(swap):
    """A call that waits is answered when the daemon goes, which nothing keeps from it."""
    ident = swap.ok("start", "-p", "p", "-t", "swap-11").strip()
    with Remains(swap, ident), waiting(swap, "mdev.stop", uuid=ident) as call:
        swap.restart()
        with pytest.raises((RpcError, Failure)):
            call.result()


@pytest.fixture(name="crew")
def fixture_crew(make_daemon, user):
    """Two parents whose mdevs may be in groups."""
    daemon = with_drivers(make_daemon, user, "crew")
    daemon.start()
    for name in ("p0", "p1"):
        daemon.ok("parent", "add", name, "--driver", "crew")
    return daemon


def test_group_stop_waits(crew):
    """The same for the client of any member."""
    members = [start(crew, name, "crew-part") for name in ("p0", "p1")]
    with Remains(crew, members[1]) as remains, waiting(crew, "group.stop", group=GROUP) as call:
        remains.close()
        call.result()
    assert not active(crew)


def test_next_consumer_waits(crew):
    """A group is the next one's when the connection of the one before is gone."""
    members = [start(crew, name, "crew-part") for name in ("p0", "p1")]
    with ThreadPoolExecutor() as pool, Consumer(crew) as second:
        with Remains(crew, members[0]):
            connects = pool.submit(second.connects, members[1])
            time.sleep(0.3)
            assert not connects.done()
        assert connects.result()
        assert second.connects(members[0])
