# SPDX-License-Identifier: BSD-3-Clause
"""One virtual machine: a QEMU process, and the shell in its guest.

The guest runs tests/vm/guest/init, which does what it is told over its second
serial port and answers with output and exit code.  The console, on the first
port, is kept in a file.  Both lines and QMP are socket pairs, and the kernel is
handed over in memory, so a machine leaves no name in the file system, and QEMU
is killed by the kernel if its parent dies.
"""

import base64
import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import VmError, cache
from .lines import LinePeer
from .qmp import Qmp

# A busy host has taken 40 s for what takes 3 s on an idle one.
BOOT_LIMIT_S = 120
COMMAND_LIMIT_S = 120
# A timer of an emulated machine may tick late; the kernel need not conclude that its board is broken.
KERNEL_OPTIONS = "quiet console=ttyS0 cryptomgr.notests rodata=off no_timer_check"
HOTPLUG_PORTS = {"q35": ("port0", "port1", "port2", "port3"), "pc": ("pci.0",)}
# Printed below the level of an error, but no good news all the same.
KERNEL_COMPLAINT = re.compile(r"BUG:|WARNING:|Oops|Call Trace|I/O error|time(d )?out\b|blocked for more than|"
                              r"[Cc]ontroller is down")
KERNEL_ERROR_LEVEL = 3


class MemoryFiles:
    """Kernel and initramfs of an image as anonymous memory, for every machine of this process.

    Where the disk is slow and its cache under pressure, reading the kernel from disk costs more than booting it.
    """

    _made = {}

    @classmethod
    def fd(cls, path: Path) -> int:
        """A file descriptor with the content of `path`."""
        if path not in cls._made:
            fd = os.memfd_create(path.name, os.MFD_CLOEXEC)
            with path.open("rb") as source, os.fdopen(os.dup(fd), "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            cls._made[path] = fd
        return cls._made[path]


class Result(tuple):
    """(exit code, output) of a command in the guest."""

    code = property(lambda self: self[0])
    output = property(lambda self: self[1])


class Job:
    """A command that runs in the guest."""

    def __init__(self, guest: "Commands", ident: str, command: str):
        self._guest = guest
        self._ident = ident
        self.command = command

    def wait(self, timeout_s: float = COMMAND_LIMIT_S) -> Result:
        """Its result, once it has ended."""
        with self._guest.described():
            return self._guest.shell.result(self._ident, self.command, timeout_s)


class Shell(LinePeer):
    """The host's side of the protocol that guest/init speaks."""

    def __init__(self, connection: socket.socket):
        super().__init__(connection)
        self._ids = itertools.count(1)
        self._results = {}
        self._boots = 0
        self._boots_seen = 0
        self._receiving = None
        self._lines = []
        self.listen()

    def receive(self, line: bytes) -> None:
        words = line.decode("ascii", "replace").split()
        if words[:1] == ["READY"]:
            self._receiving, self._boots = None, self._boots + 1
        elif words[:1] == ["BEGIN"] and len(words) == 2:
            self._receiving, self._lines = words[1], []
        elif words[:1] == ["END"] and len(words) == 3 and words[1] == self._receiving:
            output = base64.b64decode("".join(self._lines)).decode("utf-8", "replace")
            self._results[words[1]] = Result((int(words[2]), output))
            self._receiving = None
        elif self._receiving and len(words) == 1:
            self._lines.append(words[0])

    def ready(self, timeout_s: float = BOOT_LIMIT_S) -> None:
        """Waits for the next boot to be complete."""
        self.wait(lambda: True if self._boots > self._boots_seen else None, "the guest was ready", timeout_s)
        self._boots_seen += 1

    def start(self, command: str) -> str:
        """Starts `command`; the id to ask for its result by."""
        ident = str(next(self._ids))
        self.send(f"RUN {ident} {base64.b64encode(command.encode()).decode()}".encode())
        return ident

    def result(self, ident: str, command: str, timeout_s: float) -> Result:
        """The result of what `start` started, once."""
        return self.wait(lambda: self._results.pop(ident, None), f"the guest ended '{command}'", timeout_s)


class Commands:
    """What is asked of a guest, whatever runs it: a class that has name, console_path, shell and described()."""

    def console(self) -> str:
        """What was printed on the console so far."""
        return self.console_path.read_text(encoding="utf-8", errors="replace")

    def spawn(self, command: str) -> Job:
        """Starts shell text in the guest."""
        return Job(self, self.shell.start(command), command)

    def run(self, command: str, timeout_s: float = COMMAND_LIMIT_S) -> Result:
        """Runs shell text in the guest: (exit code, output)."""
        return self.spawn(command).wait(timeout_s)

    def check(self, command: str, timeout_s: float = COMMAND_LIMIT_S) -> str:
        """Runs shell text that has to succeed: its output."""
        code, output = self.run(command, timeout_s)
        if code:
            raise VmError(f"{self.name}: '{command}' failed with {code}: {output.strip()}")
        return output

    def wait_for(self, condition: str, timeout_s: float = 30) -> str:
        """Repeats shell text in the guest until it succeeds: its output."""
        deadline = time.monotonic() + timeout_s
        while True:
            code, output = self.run(condition)
            if code == 0:
                return output
            if time.monotonic() > deadline:
                raise VmError(f"{self.name}: not within {timeout_s} s: {condition}: {output.strip()}")

    def dmesg(self) -> str:
        """The guest's kernel log since it booted."""
        return self.check("dmesg")

    def kernel_errors(self) -> list:
        """Lines of the kernel log that tell of an error."""
        errors = []
        for line in self.check("dmesg -r").splitlines():
            match = re.match(r"<(\d+)>(.*)", line)
            if match and (int(match[1]) & 7 <= KERNEL_ERROR_LEVEL or KERNEL_COMPLAINT.search(match[2])):
                errors.append(match[2])
        return errors


class Guest(Commands):
    """A machine, from power on to power off; a context manager that leaves no process."""

    def __init__(self, log_directory: Path, name: str = "guest", machine: str = "q35", memory_mb: int = 256,
                 cpus: int = 1, arguments=(), own_memory: bool = True, own_kernel: bool = True, image=None,
                 kernel_options: str = ""):
        """Describes the machine; start() makes it.

        `arguments` are added to QEMU's own.  Memory is shared with devices' processes; without `own_memory`
        the arguments have to say so, as those of `umdevctl qemu-args` do.  Without `own_kernel` the firmware
        boots what it finds, and there is no shell.
        """
        self.name = name
        self.machine = machine
        self.image = image or cache.prepare()
        self.console_path = log_directory / f"{name}.console"
        self.stderr_path = log_directory / f"{name}.qemu"
        self._own_kernel = own_kernel
        self._kernel_options = f"{KERNEL_OPTIONS} {kernel_options}".strip()
        self._free_ports = list(HOTPLUG_PORTS[machine])
        self._ports = {}
        self._process = None
        self.qmp = None
        self.shell = None
        memory = ["-object", f"memory-backend-memfd,id=vmlib-ram,size={memory_mb}M,share=on",
                  "-machine", "memory-backend=vmlib-ram"] if own_memory else []
        ports = []
        if machine == "q35":
            for number, port in enumerate(HOTPLUG_PORTS[machine]):
                ports += ["-device", f"pcie-root-port,id={port},chassis={number},mem-reserve=32M"]
        self._arguments = ["-name", name, "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg",
                           "-machine", machine, "-cpu", "max", "-smp", str(cpus), "-m", f"{memory_mb}M",
                           *memory, *ports, *arguments]

    def start(self) -> "Guest":
        """Powers on and waits until the guest takes commands."""
        kernel, initrd = MemoryFiles.fd(self.image.vmlinux), MemoryFiles.fd(self.image.initrd)
        ours, theirs = zip(*(socket.socketpair() for _ in ("qmp", "shell")))
        command = ["setpriv", "--pdeathsig", "KILL", *self.image.qemu_command, *self._arguments,
                   "-chardev", f"file,id=console,path={self.console_path}", "-serial", "chardev:console",
                   "-chardev", f"socket,id=shell,fd={theirs[1].fileno()}", "-serial", "chardev:shell",
                   "-chardev", f"socket,id=qmp,fd={theirs[0].fileno()}", "-qmp", "chardev:qmp"]
        if self._own_kernel:
            command += ["-kernel", f"/proc/self/fd/{kernel}", "-initrd", f"/proc/self/fd/{initrd}",
                        "-append", self._kernel_options]
        with self.stderr_path.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=self.image.qemu_environment,
                pass_fds=(kernel, initrd, *(end.fileno() for end in theirs)))
        for end in theirs:
            end.close()
        self.shell = Shell(ours[1])
        try:
            with self.described():
                self.qmp = Qmp(ours[0])
                if self._own_kernel:
                    self.shell.ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __enter__(self) -> "Guest":
        return self.start() if self._process is None else self

    def __exit__(self, *_) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._process.pid

    @contextlib.contextmanager
    def described(self):
        """Adds to an error of the block what the machine looks like."""
        try:
            yield
        except VmError as error:
            try:
                # QEMU closes its connections a moment before it is gone.
                state = f"ended with {self._process.wait(1)}"
            except subprocess.TimeoutExpired:
                state = "runs"
            console = self.console() if self.console_path.exists() else ""
            last_lines = " | ".join(console.splitlines()[-6:]) or "(nothing)"
            raise VmError(f"{self.name}: {error}; QEMU {state} and said: {self.errors() or '(nothing)'}; "
                          f"the console said: {last_lines}") from None

    def errors(self) -> str:
        """What QEMU wrote to its standard error so far."""
        return self.stderr_path.read_text(encoding="utf-8", errors="replace").strip()

    def require_health(self) -> None:
        """Fails where the guest's kernel or QEMU complained of anything."""
        complaints = self.kernel_errors()
        if complaints:
            raise VmError(f"{self.name}: its kernel says: {' | '.join(complaints)}")
        if self.errors():
            raise VmError(f"{self.name}: QEMU says: {self.errors()}")

    def reboot(self) -> None:
        """Resets a healthy machine from inside, as `reboot` does, and waits until it is up again."""
        self.require_health()
        self.shell.start("sync; reboot -f")
        with self.described():
            self.qmp.event("RESET", BOOT_LIMIT_S)
            self.shell.ready()

    def poweroff(self) -> None:
        """Turns a healthy machine off from inside."""
        self.require_health()
        self.shell.start("sync; poweroff -f")
        with self.described():
            try:
                if self._process.wait(BOOT_LIMIT_S):
                    raise VmError("the machine was powered off, and failed after")
            except subprocess.TimeoutExpired:
                raise VmError("the guest does not power off") from None
        self.kill()

    def plug(self, ident: str, **properties) -> None:
        """Hot-plugs a device; the guest notices when it gets to it."""
        port = self._free_ports[0]
        with self.described():
            self.qmp.command("device_add", id=ident, bus=port, **properties)
        self._ports[ident] = port
        if self.machine == "q35":
            self._free_ports.remove(port)

    def unplug(self, ident: str, timeout_s: float = 60) -> None:
        """Hot-unplugs a device, and returns when guest and QEMU have let go of it."""
        with self.described():
            self.qmp.command("device_del", id=ident)
            self.qmp.event("DEVICE_DELETED", timeout_s, device=ident)
        port = self._ports.pop(ident)
        if self.machine == "q35":
            self._free_ports.append(port)

    def kill(self) -> None:
        """Ends QEMU, whatever state it is in."""
        if self._process and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for line in (self.qmp, self.shell):
            if line:
                line.close()
