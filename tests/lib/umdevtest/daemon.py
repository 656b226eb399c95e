# SPDX-License-Identifier: BSD-3-Clause
"""umdevd on a root directory of its own, umdevctl, and the control socket.

UMDEV_BUILD names the build directory, `build` beside the sources by default. A daemon is started
with sanitizer logs in files; stop() fails when a process is left or a sanitizer had something to
say.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections import namedtuple
from pathlib import Path

from . import Failure, process, wait_for

TOP = Path(__file__).resolve().parents[3]
READY_LIMIT_S = 30
STOP_LIMIT_S = 30
COMMAND_LIMIT_S = 30
NOBODY = 65534
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:")
SANITIZED = bool(os.environ.get("UMDEV_SANITIZED"))

Result = namedtuple("Result", "rc out err")


class RpcError(Exception):
    """An error reply of the daemon."""

    def __init__(self, error: dict):
        data = error.get("data") or {}
        self.code = error.get("code")
        self.message = error.get("message", "")
        self.word = data.get("word")
        self.errno = data.get("errno")
        self.key = data.get("key")
        super().__init__(f"{self.word}: {self.message}")


def build_directory() -> Path:
    """Where the programs under test are."""
    return Path(os.environ.get("UMDEV_BUILD") or TOP / "build").absolute()


def driver_directory(to: Path, bindir: Path = None) -> Path:
    """A directory, readable by everybody, with all drivers and those that are for tests alone."""
    to.mkdir(mode=0o755)
    to.chmod(0o755)
    places = [bindir or build_directory() / "bin", build_directory() / "tests/drivers"]
    for path in (path for place in places for path in place.glob("umdev-driver-*.so")):
        shutil.copy2(path, to)
    return to


def scratch() -> Path:
    """Where daemons have their roots."""
    return Path(os.environ.get("UMDEV_TEST_TMP", "/tmp"))


def program(name: str, bindir: Path = None) -> Path:
    """A program of the build under test."""
    path = (bindir or build_directory() / "bin") / name
    if not path.exists():
        raise Failure(f"{path} does not exist: build umdev first, or set UMDEV_BUILD to the build directory")
    return path


def new_uuid() -> str:
    """A random UUID in lower case."""
    return str(uuid.uuid4())


def as_user(uid) -> list:
    """The command prefix that drops to a user; it also dies with this process."""
    prefix = ["setpriv", "--pdeathsig", "TERM"]
    if uid is not None and uid != os.geteuid():
        prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig", "TERM"]
    return prefix


def feed(command: list, stdin) -> list:
    """A command that may also open its standard input as /dev/stdin: a pipe of ours belongs to another user."""
    return command if stdin is None else ["sh", "-c", 'cat | "$@"', "sh", *command]


class Rpc:
    """One connection to the control socket."""

    def __init__(self, path: Path, limit_s: float = COMMAND_LIMIT_S):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(limit_s)
        self._socket.connect(str(path))
        self._buffer = b""
        self._next = 0
        self.events = []

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(data)

    def read(self) -> dict:
        """The next object, or None at the end."""
        while b"\n" not in self._buffer:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def call(self, method: str, **params):
        """Calls a method and returns its result; raises RpcError."""
        self._next += 1
        request = {"jsonrpc": "2.0", "id": self._next, "method": method}
        if params:
            request["params"] = params
        self.send(json.dumps(request).encode() + b"\n")
        while True:
            reply = self.read()
            if reply is None:
                raise Failure(f"{method}: the daemon closed the connection")
            if reply.get("method") == "event":
                self.events.append(reply["params"])
                continue
            if reply.get("id") != self._next:
                raise Failure(f"{method}: reply to another request: {reply}")
            if "error" in reply:
                raise RpcError(reply["error"])
            return reply["result"]


class Daemon:
    """umdevd below a root directory. Use it as a context manager, or call stop()."""

    def __init__(self, directory: Path = None, uid: int = None, bindir: Path = None, environment=None, prefix=(),
                 arguments=()):
        # Short: the path of a socket has 107 bytes at most.
        self._own = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="umdev-", dir=scratch()))
        self.root = self.directory / "root"
        self.root.mkdir(exist_ok=True)
        self.log_path = self.directory / "umdevd.log"
        self.uid = os.geteuid() if uid is None else uid
        self.bindir = bindir or build_directory() / "bin"
        self._extra = dict(environment or {})
        self._prefix = list(prefix)  # a command that runs the daemon
        self._arguments = list(arguments)  # more of the daemon's own
        self._marker = f"UMDEV_TEST_MARKER={secrets.token_hex(16)}"
        self._process = None
        self._seen = {}
        self._rpc = None
        if self.uid != os.geteuid():
            for path in (self.directory, self.root):
                os.chown(path, self.uid, self.uid)

    def add_arguments(self, *arguments: str) -> None:
        """More words for the daemon's command line, from its next start on."""
        self._arguments += arguments

    # ---- its life

    def __enter__(self):
        if self._process is None:
            self.start()
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.stop()
        finally:
            self.remove()

    def _environment(self) -> dict:
        environment = {key: value for key, value in os.environ.items() if key != "UMDEV_ROOT"}
        name, _, value = self._marker.partition("=")
        environment[name] = value
        for variable, default, log in (("ASAN_OPTIONS", "detect_leaks=1", "asan"),
                                       ("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1", "ubsan")):
            options = environment.get(variable) or default
            environment[variable] = f"{options}:log_path={self.directory}/{log}"
        environment.update(self._extra)
        return environment

    def launch(self) -> None:
        """Starts the daemon and waits for nothing."""
        assert self._process is None
        command = as_user(self.uid) + self._prefix
        command += [program("umdevd", self.bindir), "--root", self.root, "--foreground", *self._arguments]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=self._environment(), cwd="/")

    def start(self) -> None:
        """Starts the daemon and waits until it says that it is ready."""
        self.launch()
        timer = threading.Timer(READY_LIMIT_S, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if line != b"ready\n":
            self._process.kill()
            code = self._process.wait()
            self._process.stdout.close()
            self._process = None
            raise Failure(f"umdevd did not become ready: it said {line!r} and ended with {code}; {self.log_tail()}")
        # Whatever it prints later must not block it.
        threading.Thread(target=self._drain, args=(self._process.stdout,), daemon=True).start()

    @staticmethod
    def _drain(stream) -> None:
        with stream:
            while stream.read(4096):
                pass

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def crashed(self) -> bool:
        """Whether it ended by a signal that nobody sends."""
        ended = None if self._process is None else self._process.poll()
        return ended in [-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL,
                                                signal.SIGFPE)]

    def look(self) -> dict:
        """Notes which processes the daemon has started by now: pid -> start time."""
        found = process.children(self.pid) if self._process else {}
        self._seen.update(found)
        return found

    def _left(self) -> set:
        alive = {pid for pid, started in self._seen.items() if process.start_time(pid) == started}
        return alive | process.marked(self._marker.encode())

    def stop(self) -> None:
        """Ends it as a service manager does. Nothing may be left, no sanitizer may have spoken."""
        if self._process is None:
            self._end_hosts()
            return
        self.look()
        if self._rpc:
            self._rpc.close()
            self._rpc = None
        running, self._process = self._process, None
        problem = None
        if running.poll() is not None:
            problem = f"umdevd had ended with {running.returncode}"
        else:
            running.send_signal(signal.SIGTERM)
            try:
                if process.wait_end(running, STOP_LIMIT_S):
                    problem = f"umdevd ended with {running.returncode}"
            except subprocess.TimeoutExpired:
                problem = f"umdevd does not end on SIGTERM within {STOP_LIMIT_S} s"
                running.kill()
                running.wait()
        try:
            wait_for(lambda: not self._left(), "end of the daemon's processes", STOP_LIMIT_S)
        except Failure:
            left = self._left()
            problem = problem or f"umdevd left processes {sorted(left)} running"
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        self._seen.clear()
        problem = problem or self.sanitizer_report()
        if problem:
            raise Failure(f"{problem}; {self.log_tail()}")

    def forget(self) -> None:
        """Closes the connection that rpc() keeps."""
        if self._rpc:
            self._rpc.close()
            self._rpc = None

    def crash(self) -> None:
        """Ends the daemon alone with SIGKILL. Its hosts serve on; start() has another daemon take them over."""
        self.look()
        self.forget()
        running, self._process = self._process, None
        running.kill()
        running.wait()

    def _end_hosts(self) -> None:
        """Kills the hosts of a daemon that is gone, and waits for the end of all that it had started."""
        for pid in self._left():
            if process.name(pid) == "umdev-host":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self._left(), "end of what a killed daemon had started", STOP_LIMIT_S)
        self._seen.clear()

    def kill(self) -> None:
        """Ends the daemon and its hosts with SIGKILL, and waits until all is over."""
        self.crash()
        self._end_hosts()

    def restart(self) -> None:
        """Stops and starts it again on the same root."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Removes the directory, when it is the daemon's own."""
        if self._own:
            shutil.rmtree(self.directory, ignore_errors=True)

    # ---- what it said

    def log(self) -> str:
        """All it has written to its standard error."""
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def log_tail(self) -> str:
        """The end of its log, for a failure's text."""
        return "its log ends with: " + (" | ".join(self.log().splitlines()[-8:]) or "(nothing)")

    def sanitizer_report(self) -> str:
        """What a sanitizer found, in any process of the daemon; '' for nothing."""
        for path in sorted(self.directory.glob("*san.*")):
            text = path.read_text(encoding="utf-8", errors="replace")
            if text.strip():
                return f"{path.name}: {text[:3000]}"
        found = SANITIZER.search(self.log())
        return self.log()[found.start():found.start() + 3000] if found else ""

    # ---- talking to it

    def ctl(self, *arguments, stdin: str = None, uid: int = None) -> Result:
        """Runs umdevctl on this root."""
        uid = self.uid if uid is None else uid
        command = [] if uid == os.geteuid() else as_user(uid)
        command += [program("umdevctl", self.bindir), "--root", self.root, *arguments]
        done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL if stdin is None else None, timeout=COMMAND_LIMIT_S,
                              env=self._environment(), cwd="/")
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments, **keywords) -> str:
        """Runs umdevctl, which must succeed without a word on standard error; its output."""
        result = self.ctl(*arguments, **keywords)
        if result.rc or result.err:
            raise Failure(f"umdevctl {' '.join(map(str, arguments))}: rc {result.rc}: {result.err.strip()}; "
                          f"{self.log_tail()}")
        return result.out

    @property
    def control_socket(self) -> Path:
        """Where it listens."""
        return self.root / "run/umdev/control.sock"

    def connect(self, uid: int = None) -> Rpc:
        """A new connection to the control socket, of a user: the daemon's by default."""
        own, uid = os.geteuid(), self.uid if uid is None else uid
        if uid == own:
            return Rpc(self.control_socket)
        os.seteuid(uid)
        try:
            return Rpc(self.control_socket)
        finally:
            os.seteuid(own)

    def rpc(self, method: str, **params):
        """Calls a method on a connection that is kept."""
        if self._rpc is None:
            self._rpc = self.connect()
        return self._rpc.call(method, **params)

    def parent(self, name: str) -> dict:
        """What parent.list says about one parent."""
        return self.rpc("parent.list", name=name)["parents"][0]

    def host_pid(self, parent: str) -> int:
        """The process of a parent, once it is ready."""
        def ready():
            found = self.parent(parent)
            return found["host"]["pid"] if found["state"] == "ready" else 0

        pid = wait_for(ready, f"parent {parent} ready", READY_LIMIT_S)
        self.look()
        return pid

    def mdev(self, ident: str, defined: bool = False) -> dict:
        """What mdev.list says about one mdev, or None."""
        found = self.rpc("mdev.list", uuid=ident, defined=defined)["mdevs"]
        return found[0] if found else None

    def socket_path(self, ident: str) -> Path:
        """The vfio-user socket of an mdev."""
        return self.root / "run/umdev/mdevs" / ident / "vfio-user.sock"

    def events(self, ident: str = None, since: int = 0) -> list:
        """The events of an mdev, or all, from a number on."""
        params = {"since": since}
        if ident:
            params["uuid"] = ident
        return self.rpc("event.list", **params)["events"]

    def next_event(self) -> int:
        """The number of the event to come."""
        return self.rpc("event.list")["next"]

    def wait_event(self, kind: str, ident: str = None, since: int = 0, limit_s: float = 10) -> dict:
        """The first event of a kind from a number on."""
        def found():
            return [event for event in self.events(ident, since) if event["event"] == kind]

        return wait_for(found, f"event {kind}", limit_s)[0]

    # ---- its files

    def files(self) -> dict:
        """path -> content of all configuration and definitions."""
        base = self.root / "etc/umdev"
        return {str(path.relative_to(base)): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}

    def definition(self, parent: str, ident: str) -> Path:
        """The definition file of an mdev."""
        return self.root / "etc/umdev/mdevs.d" / parent / ident

    def parent_file(self, name: str) -> Path:
        """The configuration file of a parent."""
        return self.root / f"etc/umdev/parents.d/{name}.json"
