# SPDX-License-Identifier: BSD-3-Clause
"""Kills a process when it is about to make its n-th system call: every step of what it does, without help of its own.

A Killer is a process that traces another one, by ptrace, from the moment it says so.
"""

import contextlib
import ctypes
import errno
import os
import signal

from .child import Child

SEIZE, INTERRUPT, SYSCALL, DETACH = 0x4206, 0x4207, 24, 17
TRACE_SYSGOOD, EXIT_KILL = 1, 0x100000
SYSCALL_STOP = signal.SIGTRAP | 0x80

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def _trace(pid: int, step: int, ready: int, stop: int) -> int:
    """Counts the calls that @pid begins until there is something to read from @stop, or kills it before the @step-th
    (0: never). Returns how many it began, or -1 when it was killed."""
    _ptrace(SEIZE, pid, TRACE_SYSGOOD)
    _ptrace(INTERRUPT, pid)
    os.waitpid(pid, 0)
    os.write(ready, b"r")
    begun = 0
    entering = True
    deliver = 0
    while True:
        if _readable(stop):
            _ptrace(DETACH, pid, deliver)
            return begun
        _ptrace(SYSCALL, pid, deliver)
        status = _wait(pid, stop)
        deliver = 0
        if status is None:
            return begun
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return -1
        if os.WSTOPSIG(status) == SYSCALL_STOP:
            begun += entering
            if entering and begun == step:
                os.kill(pid, signal.SIGKILL)
                while not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
                    pass
                return -1
            entering = not entering
        elif status >> 16 == 0:
            deliver = os.WSTOPSIG(status)


def _readable(stop: int) -> bool:
    try:
        os.read(stop, 1)
        return True
    except BlockingIOError:
        return False


def _wait(pid: int, stop: int):
    """The next stop of @pid; None, with @pid let go, when there is to be no more of it."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        if _readable(stop):
            _ptrace(INTERRUPT, pid)
            os.waitpid(pid, 0)
            _ptrace(DETACH, pid)
            return None
        os.sched_yield()


class Killer:
    """Traces @pid from now on, and kills it before its @step-th system call; 0 only counts."""

    def __init__(self, pid: int, step: int = 0):
        ready, told = os.pipe()
        stop, self._stop = os.pipe()
        os.set_blocking(stop, False)
        self._child = Child(os.geteuid(), _trace, pid, step, told, stop)
        os.close(told)
        os.close(stop)
        started = os.read(ready, 1)
        os.close(ready)
        if not started:
            self._child.result()

    def end(self) -> int:
        """Lets it go, unless it was killed (-1); the number of calls it began."""
        with contextlib.suppress(BrokenPipeError):  # it has ended with what it killed
            os.write(self._stop, b"x")
        os.close(self._stop)
        return self._child.result()


def possible() -> str:
    """"" when a process of ours may be traced, else why not."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        Killer(pid).end()
        return ""
    except Exception as error:  # pylint: disable=broad-except
        text = str(error)
        return "ptrace is not permitted here" if str(errno.EPERM) in text or "Operation not permitted" in text else text
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

