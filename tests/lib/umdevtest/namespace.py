# SPDX-License-Identifier: BSD-3-Clause
"""Namespaces in which a tree stands at /sys, without a trace on the host.

A Namespace is kept by a process that waits for its standard input to end; commands enter it with
nsenter. Root makes mount and network namespaces as it is; an ordinary user makes a user namespace
first and is root in there, so that mount(2) and udev's netlink group work without a privilege.
"""

import os
import select
import subprocess

from . import Failure, process
from .daemon import COMMAND_LIMIT_S, Result, as_user, feed

READY_LIMIT_S = 20
KINDS = {"U": "--user", "m": "--mount", "n": "--net"}


def possible(uid: int) -> str:
    """'' where user @uid can make namespaces, else why not."""
    kinds = "mn" if uid == 0 else "Umn"
    try:
        Namespace(kinds, uid).close()
    except (Failure, OSError) as error:
        return str(error)
    return ""


class Namespace:
    """Namespaces of some kinds ("U" user, "m" mount, "n" network), made by user @uid, inside others or not.

    @script is run by sh in them first; it makes mounts.
    """

    def __init__(self, kinds: str, uid: int, within: "Namespace" = None, script: str = ""):
        self.uid = uid
        self._kinds = "".join(sorted(set(kinds) | set(within.kinds if within else ""), key="Umn".index))
        command = as_user(uid) + (within.enter if within else [])
        command += ["unshare", "--propagation", "private", *(KINDS[kind] for kind in kinds)]
        command += ["--map-root-user"] if "U" in kinds else []
        # The anchor ends with us: its input is closed then.
        command += ["sh", "-c", f"set -eu\n{script}\necho ready\nexec cat >/dev/null"]
        self._anchor = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/")
        if self._read_line() != b"ready\n":
            self._anchor.kill()
            _, complaint = self._anchor.communicate()
            raise Failure(f"cannot make namespaces {kinds} as user {uid}: {complaint.decode(errors='replace').strip()}")

    def _read_line(self) -> bytes:
        # Its only line, written at once.
        readable, _, _ = select.select([self._anchor.stdout], [], [], READY_LIMIT_S)
        return self._anchor.stdout.readline() if readable else b""

    @property
    def kinds(self) -> str:
        """What differs from the host's."""
        return self._kinds

    @property
    def enter(self) -> list:
        """The command prefix that enters, for a process that is user uid already."""
        prefix = ["nsenter", "--target", str(self._anchor.pid), *(KINDS[kind] for kind in self._kinds)]
        return prefix + (["--preserve-credentials"] if "U" in self._kinds else [])

    def command(self, *words) -> list:
        """A command that runs in here."""
        return [str(word) for word in as_user(self.uid) + self.enter + ["--", *words]]

    def run(self, *words, stdin: str = None, environment: dict = None, limit_s: float = COMMAND_LIMIT_S) -> Result:
        """Runs a command in here."""
        done = subprocess.run(self.command(*feed(list(words), stdin)), input=stdin, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL if stdin is None else None, timeout=limit_s, check=False, cwd="/",
                              env=dict(os.environ, **(environment or {})))
        return Result(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        """Lets go of them; what still runs inside keeps them alive."""
        if self._anchor.poll() is None:
            self._anchor.stdin.close()
            try:
                process.wait_end(self._anchor, READY_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._anchor.kill()
                self._anchor.wait()
        for stream in (self._anchor.stdin, self._anchor.stdout, self._anchor.stderr):
            stream.close()
