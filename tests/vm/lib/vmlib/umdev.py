# SPDX-License-Identifier: BSD-3-Clause
"""umdev as its users run it: a daemon on a directory of its own, and umdevctl."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

from . import VmError
from .guest import Guest

TOP = Path(__file__).resolve().parents[4]
READY_LIMIT_S = 30
STOP_LIMIT_S = 30
COMMAND_LIMIT_S = 30
SANITIZER = re.compile(r"(AddressSanitizer|UndefinedBehaviorSanitizer|runtime error|LeakSanitizer).*")


def program(name: str) -> Path:
    """One of umdev's programs in the build directory, UMDEV_BUILD or build."""
    build = Path(os.environ.get("UMDEV_BUILD") or TOP / "build").absolute()
    path = build / "bin" / name
    if not path.exists():
        raise VmError(f"{path} does not exist: build umdev first, or set UMDEV_BUILD to the build directory")
    return path


def _stat_fields(pid: str) -> list:
    """The fields of /proc/PID/stat from the state on; none where the process is gone."""
    try:
        return Path("/proc", pid, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _gone(pid: str, started: str, timeout_s: float) -> bool:
    """Whether the process that started then ends within the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        fields = _stat_fields(pid)
        if not fields or fields[0] == "Z" or fields[19] != started:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)


class UmdevDrive:
    """A started mdev."""

    def __init__(self, daemon: "Daemon", ident: str):
        self._daemon = daemon
        self.ident = ident

    @property
    def socket(self) -> Path:
        """Where its vfio-user server listens."""
        return self._daemon.root / "run/umdev/mdevs" / self.ident / "vfio-user.sock"

    @property
    def control_socket(self) -> Path:
        """Where its daemon takes calls."""
        return self._daemon.root / "run/umdev/control.sock"

    def qemu_arguments(self) -> list:
        """What gives a machine this drive from its start, whose memory is shared already."""
        return shlex.split(self._daemon.ctl("qemu-args", "--no-memory", "--shell", self.ident))

    def plug(self, guest: Guest) -> None:
        """Gives the drive to a running machine."""
        guest.plug(f"umdev-{self.ident}", driver="vfio-user-pci", socket={"type": "unix", "path": str(self.socket)})

    def unplug(self, guest: Guest) -> None:
        """Takes it away again."""
        guest.unplug(f"umdev-{self.ident}")

    def stop(self, *options: str) -> None:
        """Stops the mdev; its definition and its data stay."""
        self._daemon.ctl("stop", "-u", self.ident, *options)

    def start(self) -> None:
        """Starts it again."""
        self._daemon.ctl("start", "-u", self.ident)

    def restart(self) -> None:
        """Stops it and starts it again."""
        self.stop()
        self.start()

    def describe(self) -> dict:
        """What umdev says of it."""
        (mdev,) = json.loads(self._daemon.ctl("--json", "list", "-u", self.ident))
        return mdev

    def wait_until_stopped(self, timeout_s: float = 60) -> None:
        """Waits until the mdev is not active, whoever stops it."""
        deadline = time.monotonic() + timeout_s
        while json.loads(self._daemon.ctl("--json", "list", "-u", self.ident)):
            if time.monotonic() > deadline:
                raise VmError(f"{self.ident} is not stopped within {timeout_s:.0f} s")
            time.sleep(0.05)

    def wait_until(self, condition, what: str, timeout_s: float = 60) -> dict:
        """Asks until what umdev says meets the condition."""
        deadline = time.monotonic() + timeout_s
        while True:
            mdev = self.describe()
            if condition(mdev):
                return mdev
            if time.monotonic() > deadline:
                raise VmError(f"not within {timeout_s:.0f} s: {what}; it says {json.dumps(mdev)}")
            time.sleep(0.05)


class Daemon:
    """umdevd below a root directory."""

    def __init__(self, directory: Path):
        self.root = directory / "root"
        self.log_path = directory / "umdevd.log"
        self.root.mkdir()
        self._log = self.log_path.open("wb")
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", program("umdevd"), "--root", self.root, "--foreground"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _await_ready(self) -> None:
        timer = threading.Timer(READY_LIMIT_S, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if line.strip() != b"ready":
            raise VmError(f"umdevd did not become ready within {READY_LIMIT_S} s: it said {line!r}; {self._log_tail()}")
        # Whatever it prints later must not block it.
        threading.Thread(target=shutil.copyfileobj, args=(self._process.stdout, self._log), daemon=True).start()

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "its log ends with: " + (" | ".join(lines[-5:]) or "(empty)")

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._process.pid

    def ctl(self, *arguments) -> str:
        """Runs umdevctl, which has to succeed: its output."""
        command = [str(program("umdevctl")), "--root", str(self.root), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                                timeout=COMMAND_LIMIT_S)
        if result.returncode:
            raise VmError(f"umdevctl {shlex.join(command[3:])} failed with {result.returncode}: "
                          f"{result.stderr.strip()}; {self._log_tail()}")
        return result.stdout

    def check(self) -> None:
        """Fails where the daemon ended, or where a sanitizer found something."""
        if self._process.poll() is not None:
            raise VmError(f"umdevd ended with {self._process.returncode}: {self._log_tail()}")
        found = SANITIZER.search(self.log_path.read_text(encoding="utf-8", errors="replace"))
        if found:
            raise VmError(f"umdevd: {found[0]}: see {self.log_path}")

    def _children(self) -> list:
        """(pid, start time) of each process that the daemon started."""
        children = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            fields = _stat_fields(stat.parent.name)
            if fields and int(fields[1]) == self._process.pid:
                children.append((stat.parent.name, fields[19]))
        return children

    def stop(self) -> None:
        """Ends the daemon as a service manager does; nothing it started may stay."""
        if self._process.poll() is not None:
            return
        children = self._children()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise VmError(f"umdevd does not end on SIGTERM within {STOP_LIMIT_S} s: {self._log_tail()}") from None
        finally:
            stayed = [pid for pid, started in children if not _gone(pid, started, STOP_LIMIT_S)]
            for pid in stayed:
                os.kill(int(pid), signal.SIGKILL)
        if stayed:
            raise VmError(f"umdevd ended and left processes {', '.join(stayed)} running")


class UmdevDrives(Daemon):
    """A daemon whose drives are slices of one parent, or of another where a test adds one."""

    def __init__(self, directory: Path):
        super().__init__(directory)
        self._directory = directory
        try:
            self.add_parent("pool", "size=8G")
        except BaseException:
            self.stop()
            raise

    def add_parent(self, name: str, *options: str) -> None:
        """Adds a parent, on a file of its own unless the options say otherwise."""
        if not any(option.startswith(("path=", "ram=")) for option in options):
            options = (f"path={self._directory / name}.raw", *options)
        self.ctl("parent", "add", name, "--driver", "nvme",
                 *(word for option in options for word in ("--option", option)))

    def drive(self, size: str = "1g", attributes=(), parent: str = "pool") -> UmdevDrive:
        """Defines and starts an mdev of the type nvme-`size`."""
        ident = str(uuid.uuid4())
        options = [word for attribute in attributes for word in ("--attr", attribute)]
        self.ctl("define", "-u", ident, "-p", parent, "-t", f"nvme-{size}", *options)
        self.ctl("start", "-u", ident)
        return UmdevDrive(self, ident)
