# SPDX-License-Identifier: BSD-3-Clause
"""A service manager: the notification socket and the file descriptor store of systemd, and a daemon that it starts.

What matters of systemd is done as systemd does it: only the main process is listened to, an open file that is there
already is not taken again, beyond the maximum nothing is taken, a stored descriptor that hangs up is dropped unless it
came with FDPOLL=0, FDSTOREREMOVE takes out all of one name, and what is stored is handed to the next process and stays
stored.
"""

import array
import ctypes
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import threading

from . import Failure, process, wait_for
from .daemon import Daemon, as_user, program

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_KCMP = {"x86_64": 312, "aarch64": 272}[os.uname().machine]
KCMP_FILE = 0
FDS_MAX = 253
SO_PASSCRED_SIZE = struct.calcsize("3i")

# Puts the descriptors named in the environment where a service expects them, and becomes the service.
LAUNCHER = """
import fcntl, os, sys
fds = [int(text) for text in os.environ.pop("UMDEV_TEST_FDS").split(",") if text]
top = 3 + len(fds)
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, max(top, 64)) for fd in fds]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
os.closerange(top, 65536)
if fds:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[1], sys.argv[1:])
"""


def same_file(one: int, other: int) -> bool:
    """Whether two descriptors of this process are the same open file."""
    me = os.getpid()
    return LIBC.syscall(SYS_KCMP, me, me, KCMP_FILE, one, other) == 0


class Manager:
    """The manager's side: start() it before the daemon."""

    def __init__(self, path, maximum: int = 512):
        self.path = path
        self.maximum = maximum
        self.main_pid = None
        self.states = []  # READY=1 and the like, in order
        self.refused = 0  # descriptors beyond the maximum
        self.hung_up = 0
        self.messages = 0
        self._stored = []  # (name, fd)
        self._lock = threading.RLock()
        self._go = threading.Event()
        self._go.set()
        self._poll = select.epoll()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        os.chmod(path, 0o777)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._poll.register(self._socket, select.EPOLLIN)
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it and drops what is stored."""
        self._ending = True
        self._go.set()
        poke = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        poke.setblocking(False)
        try:
            poke.sendto(b"", str(self.path))
        except BlockingIOError:
            pass
        poke.close()
        self._thread.join()
        self._socket.close()
        self._poll.close()
        for _, fd in self._stored:
            os.close(fd)
        self._stored.clear()

    # ---- what it does by itself

    def _run(self) -> None:
        while not self._ending:
            for fd, events in self._poll.poll():
                self._go.wait()
                if fd == self._socket.fileno():
                    self._take()
                elif events & (select.EPOLLHUP | select.EPOLLERR):
                    self._hang_up(fd)

    def _hang_up(self, fd: int) -> None:
        with self._lock:
            kept = [(name, held) for name, held in self._stored if held != fd]
            if len(kept) != len(self._stored):
                self.hung_up += 1
                self._poll.unregister(fd)
                os.close(fd)
            self._stored = kept

    def _take(self) -> None:
        room = socket.CMSG_SPACE(FDS_MAX * 4) + socket.CMSG_SPACE(SO_PASSCRED_SIZE)
        with self._lock:  # for settle(): what was read has been obeyed
            data, ancillary, _, _ = self._socket.recvmsg(65536, room, socket.MSG_CMSG_CLOEXEC)
            fds = array.array("i")
            pid = None
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(value[:len(value) - len(value) % fds.itemsize])
                elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    pid = struct.unpack("3i", value)[0]
            lines = dict(line.partition("=")[::2] for line in data.decode().splitlines())
            self.messages += bool(data)
            if data and pid == self.main_pid:
                self._obey(lines, fds)
            for fd in fds:
                os.close(fd)

    def _obey(self, lines: dict, fds) -> None:
        name = lines.get("FDNAME", "stored")
        if lines.get("FDSTOREREMOVE") == "1":
            self.remove(name)
        elif lines.get("FDSTORE") == "1":
            for fd in list(fds):
                if self._store(name, fd, lines.get("FDPOLL") != "0"):
                    fds.remove(fd)
        for key in ("READY", "RELOADING", "STOPPING"):
            if lines.get(key) == "1":
                self.states.append(key)

    def _store(self, name: str, fd: int, poll: bool) -> bool:
        if any(same_file(fd, held) for _, held in self._stored):
            return False
        if len(self._stored) >= self.maximum:
            self.refused += 1
            return False
        if poll:
            try:
                self._poll.register(fd, 0)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise
        self._stored.append((name, fd))
        return True

    # ---- what a test asks and does

    @property
    def stored(self) -> list:
        """The names of what is stored."""
        with self._lock:
            return [name for name, _ in self._stored]

    def fds(self) -> list:
        """What is stored: names and descriptors of this process."""
        with self._lock:
            return list(self._stored)

    def put(self, name: str, fd: int) -> None:
        """Stores a descriptor (taken) as if the daemon had."""
        with self._lock:
            self._stored.append((name, fd))

    def remove(self, name: str) -> None:
        """Drops what is stored under a name."""
        with self._lock:
            for stored, fd in self._stored:
                if stored == name:
                    os.close(fd)
            self._stored = [(stored, fd) for stored, fd in self._stored if stored != name]

    def clear(self) -> None:
        """Drops all, as when the service has ended."""
        for name in set(self.stored):
            self.remove(name)

    def pause(self) -> None:
        """Reads nothing until resume()."""
        self._go.clear()

    def resume(self) -> None:
        """Goes on."""
        self._go.set()

    def settle(self) -> None:
        """Waits until all that was sent so far has been read."""
        def read():
            with self._lock:
                return not select.select([self._socket], [], [], 0)[0]

        wait_for(read, "the manager to have read everything", 10)


class ManagedDaemon(Daemon):
    """umdevd as a service of a manager; start() hands it what is stored."""

    def __init__(self, *, maximum: int = 512, said: bool = True, **keywords):
        super().__init__(**keywords)
        self.said = said  # whether the manager says how much it stores, as systemd does from 254 on
        self.manager = Manager(self.directory / "notify", maximum)

    def launch(self) -> None:
        """Starts the daemon as a service manager does."""
        assert self._process is None
        self.manager.settle()
        stored = self.manager.fds()
        environment = self._environment()
        environment["NOTIFY_SOCKET"] = str(self.manager.path)
        environment["UMDEV_TEST_FDS"] = ",".join(str(fd) for _, fd in stored)
        if self.said:
            environment["FDSTORE"] = str(self.manager.maximum)
        if stored:
            environment["LISTEN_FDS"] = str(len(stored))
            environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in stored)
        command = [sys.executable, "-c", LAUNCHER, *as_user(self.uid), *self._prefix,
                   program("umdevd", self.bindir), "--root", self.root, "--foreground", *self._arguments]
        with self.manager._lock, self.log_path.open("ab") as log:  # pylint: disable=protected-access
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=environment, cwd="/", pass_fds=[fd for _, fd in stored])
            self.manager.main_pid = self._process.pid

    def kill_all(self, *parents: str) -> None:
        """Kills the daemon and the hosts of some parents at the same moment."""
        hosts = [self.host_pid(parent) for parent in parents]
        self.look()
        self.forget()
        running, self._process = self._process, None
        for pid in [running.pid, *hosts]:
            os.kill(pid, 9)
        running.wait()
        for pid in hosts:
            wait_for(lambda pid=pid: process.over(pid), "the end of a host", 10)

    def stop(self) -> None:
        """Ends it in order: the manager forgets what it stored."""
        super().stop()
        self.manager.settle()

    def remove(self) -> None:
        """Ends the manager, too."""
        self.manager.close()
        super().remove()


def check_empty(manager: Manager) -> None:
    """Fails unless nothing is stored."""
    manager.settle()
    if manager.stored:
        raise Failure(f"the manager still stores {manager.stored}")
