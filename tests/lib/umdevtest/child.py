# SPDX-License-Identifier: BSD-3-Clause
"""Functions that run in a process of their own, as the daemon's user: a tree mounted by an ordinary user is for that
user alone, even root cannot look into it."""

import os
import pickle
import select
import signal
import traceback

from . import Failure

LIMIT_S = 120


class Child:
    """Runs function(*arguments) as user @uid at once; result() waits for what it returns, which is pickled."""

    def __init__(self, uid: int, function, *arguments):
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            self._run(uid, function, arguments, writer)
        os.close(writer)
        self._reader = reader

    @staticmethod
    def _run(uid, function, arguments, writer) -> None:
        """In the child; does not return."""
        code = 1
        try:
            if uid != os.geteuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            os.chdir("/")
            answer = (True, function(*arguments))
            code = 0
        except BaseException:  # pylint: disable=broad-except
            answer = (False, traceback.format_exc())
        finally:
            try:
                with os.fdopen(writer, "wb") as stream:
                    pickle.dump(answer, stream)
            finally:
                os._exit(code)

    def result(self, limit_s: float = LIMIT_S):
        """What it returned; a Failure with what it raised."""
        data = b""
        while True:
            readable, _, _ = select.select([self._reader], [], [], limit_s)
            chunk = os.read(self._reader, 65536) if readable else b""
            data += chunk
            if not chunk:
                break
        if not readable:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._reader)
        os.waitpid(self.pid, 0)
        if not readable or not data:
            raise Failure(f"a process of the test did not end within {limit_s} s" if not readable else "it was killed")
        good, answer = pickle.loads(data)
        if not good:
            raise Failure(answer)
        return answer


def within(daemon, function, *arguments):
    """What function(*arguments) returns in a process of the daemon's user."""
    return Child(daemon.uid, function, *arguments).result()
