# SPDX-License-Identifier: BSD-3-Clause
"""The changes that a daemon and its hosts make to files, and the requests that they answer, read from strace.

strace sees every call of every thread, also those that libraries make or that go around libc, which a preloaded library
would not; and it says which file a descriptor is. What goes past system calls (io_uring, mapped files) it does not see:
whoever replays the changes has to compare the outcome with the files that are really there.
"""

import re
from dataclasses import dataclass
from pathlib import Path

CHANGES = ("open openat openat2 creat write pwrite64 writev pwritev pwritev2 truncate ftruncate fallocate copy_file_range "
           "sendfile splice rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir mkdir mkdirat "
           "mknod mknodat bind fsync fdatasync sync syncfs sync_file_range chmod fchmod fchmodat chown fchown lchown "
           "fchownat setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr").split()
TALK = ["recvmsg", "sendmsg"]
TEXT_MAX = 1 << 20  # of one call
PLAIN = {"sync_file_range"}  # promises nothing

LINE = re.compile(r"(\d+) +(\w+)\((.*)\)\s+= (-?\d+|\?)(.*)", re.DOTALL)
UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>")
RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
MESSAGE = re.compile(r'iov_base="([^"]*)"(\.\.\.)?')
BOUND = re.compile(r'sun_path=(@?)"([^"]*)"')
THROUGH_FD = re.compile(rb"/proc/self/fd/(\d+)/(.*)", re.DOTALL)


class Unknown(AssertionError):
    """A call that may change files and that this module does not understand."""


@dataclass(frozen=True)
class Change:
    """One step of what happened: see KINDS."""
    kind: str
    path: str = ""
    at: int = 0
    length: int = 0
    data: bytes = b""
    to: str = ""


# create: an open that may create; write: data at an offset; truncate: to a length; zero: a range reads as zeros;
# rename: path is then called to; exchange: and to is called path; link: path is called to, too; unlink, rmdir, mkdir;
# node: a socket or a symbolic link appears; sync: of a file or a directory; look: mode or owner; request, reply: the
# beginning of a line of JSON that the daemon received or sent.
KINDS = ("create", "write", "truncate", "zero", "rename", "exchange", "link", "unlink", "rmdir", "mkdir", "node", "sync",
         "look", "request", "reply")


def command(log: Path, *options: str) -> list:
    """The command that runs another one and writes its calls to @log. The traced process is our own child: its pid, its
    exit status and the signals for it are as without."""
    return ["strace", "-D", "-f", "-qq", "-y", "-xx", "-s", str(TEXT_MAX), "--seccomp-bpf", "-e", "signal=none",
            "-e", "trace=" + ",".join(CHANGES + TALK), "-o", str(log), *options]


def unhex(text: str) -> bytes:
    r"""What stands as \x41\x42."""
    return bytes.fromhex(text.replace("\\x", ""))


def split(text: str) -> list:
    """The arguments of a call: commas count outside of brackets, braces and texts."""
    parts, depth, begin, quoted = [], 0, 0, False
    for i, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[begin:i].strip())
            begin = i + 1
    parts.append(text[begin:].strip())
    return parts


def file_of(argument: str) -> str:
    """The file that a descriptor is, "" for none."""
    found = re.match(r"-?\w+<([^>]*)>", argument)
    return unhex(found.group(1)).decode("utf-8", "surrogateescape") if found else ""


def text_of(argument: str) -> bytes:
    """A text argument, which must be whole."""
    if not (argument.startswith('"') and argument.endswith('"')):
        raise Unknown(f"a text that is not whole: {argument[:80]}")
    return unhex(argument[1:-1])


def path_of(argument: str, at: str = "") -> str:
    """The path that a call means, relative to the directory @at."""
    path = text_of(argument).decode("utf-8", "surrogateescape")
    if not path.startswith("/"):
        base = file_of(at)
        if not base.startswith("/"):
            raise Unknown(f"{path} is relative to something unknown")
        path = f"{base}/{path}"
    return path.rstrip("/") or "/"


def no_file(path: str) -> bool:
    """Whether it lies on nothing that could keep it."""
    return path.startswith(("/dev/", "/proc/", "/memfd:")) and not path.startswith("/dev/shm/")


class Parser:
    """Turns the lines of one trace into changes."""

    def __init__(self):
        self.changes = []
        self._begun = {}
        self._offsets = {}  # (pid, fd) -> where the next write() goes
        self._opened = {}  # (pid, fd) -> path, of directories and files

    def line(self, line: str) -> None:
        """Takes one line."""
        found = UNFINISHED.fullmatch(line)
        if found:
            self._begun[found.group(1)] = found.group(2)
            return
        found = RESUMED.fullmatch(line)
        if found:
            line = f"{found.group(1)} {self._begun.pop(found.group(1))}{found.group(2)}"
        found = LINE.fullmatch(line)
        if not found:
            if re.match(r"\d+ +(\+\+\+|---|exit)", line) or "= ?" in line or line.endswith("<detached ...>"):
                return  # of a call that a death cut short, strace may not know even its arguments
            raise Unknown(f"a line of strace: {line[:200]}")
        pid, name, arguments, result, rest = found.groups()
        if result == "?" or result.startswith("-"):
            return
        if "(INJECTED)" in rest:  # it did not happen, whatever the caller was told
            return
        handler = getattr(self, f"_{name}", None)
        if handler:
            handler(pid, split(arguments), result + rest)
        elif name not in PLAIN:
            self._other(name, split(arguments))

    def _add(self, kind: str, path: str = "", **more) -> None:
        self.changes.append(Change(kind, path, **more))

    def _other(self, name: str, arguments: list) -> None:
        """A call that may do anything: to what is no file below a directory it does no harm."""
        files = [file_of(argument) for argument in arguments]
        if any(file.startswith("/") and not no_file(file) for file in files) or \
                any(argument.startswith('"') for argument in arguments):
            raise Unknown(f"{name} changes files, and nobody has said how: {files or arguments}")

    # ---- names

    def _opens(self, pid: str, flags: str, result: str) -> None:
        fd, path = result.split("<")[0], file_of(result)
        self._offsets[pid, fd] = 0
        self._opened[pid, fd] = path
        if "O_CREAT" in flags:
            self._add("create", path)
        if "O_TRUNC" in flags:
            self._add("truncate", path)
        if "O_TMPFILE" in flags:
            raise Unknown(f"a file without a name in {path}")
        if "O_APPEND" in flags:
            self._offsets[pid, fd] = None

    def _openat(self, pid: str, a: list, result: str) -> None:
        self._opens(pid, a[2], result)

    _openat2 = _openat

    def _open(self, pid: str, a: list, result: str) -> None:
        self._opens(pid, a[1], result)

    def _creat(self, pid: str, a: list, result: str) -> None:
        del a
        self._opens(pid, "O_CREAT|O_TRUNC", result)

    def _rename(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("rename", path_of(a[0]), to=path_of(a[1]))

    def _renameat(self, pid: str, a: list, result: str) -> None:
        del pid, result
        if len(a) > 4 and a[4] not in ("0", "RENAME_NOREPLACE", "RENAME_EXCHANGE"):
            raise Unknown(f"renameat2 with {a[4]}")
        kind = "exchange" if len(a) > 4 and a[4] == "RENAME_EXCHANGE" else "rename"
        self._add(kind, path_of(a[1], a[0]), to=path_of(a[3], a[2]))

    _renameat2 = _renameat

    def _linkat(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("link", path_of(a[1], a[0]), to=path_of(a[3], a[2]))

    def _link(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("link", path_of(a[0]), to=path_of(a[1]))

    def _symlinkat(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("node", path_of(a[2], a[1]))

    def _unlink(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("unlink", path_of(a[0]))

    def _unlinkat(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("rmdir" if "AT_REMOVEDIR" in a[2] else "unlink", path_of(a[1], a[0]))

    def _rmdir(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("rmdir", path_of(a[0]))

    def _mkdir(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("mkdir", path_of(a[0]))

    def _mkdirat(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("mkdir", path_of(a[1], a[0]))

    def _bind(self, pid: str, a: list, result: str) -> None:
        del result
        found = BOUND.search(a[1])
        if not found or found.group(1):  # of the network, or abstract
            return
        path = unhex(found.group(2))
        through = THROUGH_FD.fullmatch(path)
        if through:
            base = self._opened[pid, through.group(1).decode()]
            path = f"{base}/".encode() + through.group(2)
        self._add("node", path.decode("utf-8", "surrogateescape"))

    # ---- what is in files

    def _write(self, pid: str, a: list, result: str) -> None:
        path = file_of(a[0])
        done = int(result.split()[0])
        if not path.startswith("/"):
            return
        key = pid, a[0].split("<")[0]
        if self._offsets.get(key) is None:
            # Where it went is unknown; it only matters for a file that somebody wants to replay.
            self._add("write", path, at=-1, data=text_of(a[1])[:done])
            return
        self._add("write", path, at=self._offsets[key], data=text_of(a[1])[:done])
        self._offsets[key] += done

    def _pwrite64(self, pid: str, a: list, result: str) -> None:
        del pid
        if file_of(a[0]).startswith("/"):
            self._add("write", file_of(a[0]), at=int(a[3]), data=text_of(a[1])[:int(result.split()[0])])

    def _ftruncate(self, pid: str, a: list, result: str) -> None:
        del pid, result
        if file_of(a[0]).startswith("/"):
            self._add("truncate", file_of(a[0]), length=int(a[1]))

    def _truncate(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._add("truncate", path_of(a[0]), length=int(a[1]))

    def _fallocate(self, pid: str, a: list, result: str) -> None:
        del pid, result
        if not {"FALLOC_FL_PUNCH_HOLE", "FALLOC_FL_ZERO_RANGE"} & set(a[1].split("|")):
            raise Unknown(f"fallocate with {a[1]}")
        self._add("zero", file_of(a[0]), at=int(a[2]), length=int(a[3]))

    def _fsync(self, pid: str, a: list, result: str) -> None:
        del pid, result
        if file_of(a[0]).startswith("/"):
            self._add("sync", file_of(a[0]))

    _fdatasync = _fsync

    def _looks(self, pid: str, a: list, result: str) -> None:
        del pid, result
        if a[0].startswith('"'):
            self._add("look", path_of(a[0]))
        elif len(a) > 1 and a[1].startswith('"') and text_of(a[1]):
            self._add("look", path_of(a[1], a[0]))
        elif file_of(a[0]).startswith("/"):
            self._add("look", file_of(a[0]))

    _chmod = _fchmod = _fchmodat = _chown = _lchown = _fchown = _fchownat = _looks

    # ---- talk

    def _talk(self, kind: str, a: list) -> None:
        found = MESSAGE.search(a[1])
        for line in unhex(found.group(1)).split(b"\n") if found else ():
            if line.startswith(b'{"jsonrpc"'):
                self._add(kind, data=line)

    def _recvmsg(self, pid: str, a: list, result: str) -> None:
        del pid
        if int(result.split()[0]) > 0:
            self._talk("request", a)

    def _sendmsg(self, pid: str, a: list, result: str) -> None:
        del pid, result
        self._talk("reply", a)


def read(log: Path) -> list:
    """The changes in one trace, in their order."""
    parser = Parser()
    with log.open(encoding="ascii") as lines:
        for line in lines:
            parser.line(line.rstrip("\n"))
    return parser.changes
