# SPDX-License-Identifier: BSD-3-Clause
"""System calls on files, done by another user: what each of them says, as a value or an errno.

A tree that a user mounted is for that user alone, root included, so whoever tests it must be that
user. The calls are made by a process of the user's, which keeps open files between them.
"""

import errno
import json
import subprocess
import sys

from .daemon import as_user

AGENT = r"""
import json, os, sys

ALL = 65536

def text(data):
    return data.decode("latin-1")

def put(path, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, data.encode("latin-1"))
    finally:
        os.close(fd)

def get(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return text(os.read(fd, ALL))
    finally:
        os.close(fd)

def status(path):
    found = os.lstat(path)
    return {"mode": found.st_mode, "size": found.st_size, "uid": found.st_uid, "links": found.st_nlink}

def walk(path):
    found = []
    for name in sorted(os.listdir(path)):
        below = path + "/" + name
        found.append(below)
        if os.path.isdir(below) and not os.path.islink(below):
            found += walk(below)
    return found

def try_open(path, flags):
    os.close(os.open(path, flags))

CALLS = {
    "open": os.open, "close": os.close, "try_open": try_open, "put": put, "get": get, "status": status, "walk": walk,
    "read": lambda fd, size=ALL: text(os.read(fd, size)), "pread": lambda fd, size, at: text(os.pread(fd, size, at)),
    "seek": lambda fd, at: os.lseek(fd, at, 0), "write": lambda fd, data: os.write(fd, data.encode("latin-1")),
    "pwrite": lambda fd, data, at: os.pwrite(fd, data.encode("latin-1"), at),
    "list": lambda path: sorted(os.listdir(path)), "exists": os.path.lexists, "realpath": os.path.realpath,
    "truncate": os.truncate, "ftruncate": os.ftruncate, "readlink": os.readlink, "mkdir": os.mkdir, "rmdir": os.rmdir,
    "unlink": os.unlink, "rename": os.rename, "symlink": os.symlink, "link": os.link, "chmod": os.chmod,
    "chown": os.chown, "mknod": os.mknod, "access": os.access,
}

for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        reply = {"value": CALLS[name](*arguments)}
    except OSError as error:
        reply = {"errno": error.errno}
    print(json.dumps(reply), flush=True)
"""


class Refused(OSError):
    """A call that failed."""


class Hands:
    """A process of user @uid that makes calls: hands.get(path), hands.mkdir(path), ..."""

    def __init__(self, uid: int):
        self.uid = uid
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            as_user(uid) + [sys.executable, "-c", AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd="/")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.end()

    def call(self, name: str, *arguments):
        """One call; raises Refused with its errno."""
        words = [argument if isinstance(argument, (int, str)) else str(argument) for argument in arguments]
        self._process.stdin.write(json.dumps([name, *words]) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        if "errno" in reply:
            raise Refused(reply["errno"], f"{name} {arguments}: {errno.errorcode[reply['errno']]}")
        return reply["value"]

    def __getattr__(self, name: str):
        return lambda *arguments: self.call(name, *arguments)

    def errno(self, name: str, *arguments) -> str:
        """The name of the errno with which a call fails, or '' when it succeeds."""
        try:
            self.call(name, *arguments)
        except Refused as error:
            return errno.errorcode[error.errno]
        return ""

    def end(self) -> None:
        """Ends the process, and with it its open files."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
