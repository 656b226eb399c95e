# SPDX-License-Identifier: BSD-3-Clause
"""Machines that libvirt runs: a libvirtd apart from the host's, and a domain with the test guest.

libvirtd is the host's program, unmodified, in system mode: the mode that has a
user of its own for QEMU, and that runs hooks.  private-libvirtd gives it other
directories than the host's, in namespaces that need no privilege.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from . import VmError
from .guest import BOOT_LIMIT_S, KERNEL_OPTIONS, Commands, Shell
from .umdev import program

PROGRAMS = {"libvirtd": "libvirt-daemon", "virsh": "libvirt-clients", "unshare": "util-linux"}
DRIVER = "libvirt_driver_qemu.so"
DRIVER_PLACES = ("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver", "/usr/lib64/libvirt/connection-driver",
                 "/usr/lib/libvirt/connection-driver")
INSIDE = Path(__file__).resolve().parents[1] / "private-libvirtd"
# In system mode QEMU runs as another user than libvirtd.
QEMU_USER, QEMU_GROUP = "nobody", "nogroup"
READY_LIMIT_S = 60
STOP_LIMIT_S = 60
# libvirtd asks a QEMU that it does not know what it can do before it starts the first domain.
COMMAND_LIMIT_S = 120

QEMU_CONF = """
dynamic_ownership = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
"""

DAEMON_CONF = """
unix_sock_dir = "{directory}"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "3:file:{directory}/libvirtd.log"
"""

DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine={machine}>hvm</type>
    <kernel>/run/vm/vmlinux</kernel>
    <initrd>/run/vm/{initrd}</initrd>
    <cmdline>{options}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>/run/vm/qemu-system-x86_64</emulator>
    <serial type='file'><source path={console}/><target type='isa-serial' port='0'/></serial>
    <serial type='unix'><source mode='connect' path={shell}/><target type='isa-serial' port='1'/></serial>
    {devices}
  </devices>
  {fragment}
</domain>
"""


def what_is_missing() -> str:
    """Why no libvirtd can run here; empty where one can."""
    for name, package in PROGRAMS.items():
        if not shutil.which(name):
            return f"{name} is missing on this host: install the package {package}"
    if not _driver():
        return f"{DRIVER} is missing on this host: install the package libvirt-daemon-driver-qemu"
    probe = subprocess.run([*_namespaces(), "true"], capture_output=True, text=True, check=False)
    return f"this host grants no namespaces: {probe.stderr.strip()}" if probe.returncode else ""


def _driver() -> Path:
    return next((path for path in (Path(place, DRIVER) for place in DRIVER_PLACES) if path.exists()), None)


def _namespaces() -> list:
    user = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--ipc", "--mount-proc", "--fork", "--kill-child=KILL"]


class Libvirtd:
    """libvirtd with the QEMU driver; sees only what it is given of the host's."""

    def __init__(self, directory: Path, image, root: Path, hook: Path = None):
        """`root` is umdevd's; `hook` is installed as the QEMU driver's."""
        self.image = image
        self._directory = directory / "libvirt"
        self._socket = self._directory / "libvirt-sock"
        self._mode = "system" if os.geteuid() == 0 else "session"
        self.qemu_logs = self._directory / ("log/qemu" if self._mode == "system" else "cache/libvirt/qemu/log")
        self._configure(hook)
        if self._mode == "system":
            directory.chmod(0o755)  # for QEMU's user
        # Where a failed test's logs are looked for.
        (directory / "libvirtd.log").symlink_to(self._directory / "libvirtd.log")

        command = ["setpriv", "--pdeathsig", "KILL", *_namespaces(), INSIDE, self._directory, image.base,
                   root / "run/umdev"]
        with (self._directory / "outside.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log,
                                             env=self._environment())
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _configure(self, hook: Path) -> None:
        for name in ("etc/hooks", "drivers", "log", "config"):
            (self._directory / name).mkdir(parents=True)
        (self._directory / "config/libvirt").symlink_to(self._directory / "etc")
        (self._directory / "drivers" / DRIVER).symlink_to(_driver())
        (self._directory / "libvirtd.conf").write_text(DAEMON_CONF.format(directory=self._directory))
        user = f'user = "{QEMU_USER}"\ngroup = "{QEMU_GROUP}"\n' if self._mode == "system" else ""
        (self._directory / "etc/qemu.conf").write_text(QEMU_CONF + user)
        if hook:
            shutil.copy(hook, self._directory / "etc/hooks/qemu")

    def _environment(self) -> dict:
        environment = dict(os.environ, LC_ALL="C.UTF-8", XDG_RUNTIME_DIR=str(self._directory),
                           PATH=f"/run/vm:{program('umdevctl').parent}:/usr/sbin:/usr/bin:/sbin:/bin")
        environment.update((f"XDG_{name.upper()}_HOME", str(self._directory / name))
                           for name in ("config", "cache", "data"))
        environment.pop("UMDEV_ROOT", None)
        return environment

    def _await_ready(self) -> None:
        """Waits until somebody answers at its socket."""
        deadline = time.monotonic() + READY_LIMIT_S
        while True:
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(str(self._socket))
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise VmError(f"libvirtd did not start within {READY_LIMIT_S} s: {self._last_words()}")
            time.sleep(0.02)

    def _last_words(self) -> str:
        files = (self._directory / name for name in ("outside.log", "libvirtd.out", "libvirtd.log"))
        lines = [line for path in files if path.exists()
                 for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]]
        return " | ".join(lines) or "it said nothing"

    def try_virsh(self, *arguments) -> subprocess.CompletedProcess:
        """Runs virsh on this libvirtd."""
        command = ["virsh", "--quiet", "--connect", f"qemu+unix:///{self._mode}?socket={self._socket}",
                   *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, LC_ALL="C.UTF-8"), timeout=COMMAND_LIMIT_S)

    def virsh(self, *arguments) -> str:
        """Runs virsh, which has to succeed: its output."""
        result = self.try_virsh(*arguments)
        if result.returncode:
            raise VmError(f"virsh {' '.join(map(str, arguments))} failed: {result.stderr.strip()}")
        return result.stdout.strip()

    def stop(self) -> None:
        """Ends libvirtd and every machine of it."""
        self._process.stdin.close()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise VmError(f"libvirtd does not end within {STOP_LIMIT_S} s: {self._last_words()}") from None


class Domain(Commands):
    """A domain of libvirt that boots the test guest, from its definition on."""

    def __init__(self, libvirtd: Libvirtd, directory: Path, name: str = "domain", machine: str = "q35",
                 devices: str = "", fragment: str = ""):
        """`devices` is XML of libvirt's own devices, `fragment` what umdevctl prints for a domain."""
        self.name = name
        self.console_path = directory / f"{name}.console"
        self.shell = None
        self._libvirtd = libvirtd
        self._line_path = directory / f"{name}.shell"
        xml = directory / f"{name}.xml"
        xml.write_text(DOMAIN.format(
            name=escape(name), machine=quoteattr(machine), devices=devices,
            fragment=fragment, initrd=libvirtd.image.initrd.name, options=escape(KERNEL_OPTIONS),
            console=quoteattr(str(self.console_path)), shell=quoteattr(str(self._line_path))))
        libvirtd.virsh("define", "--validate", xml)

    def start(self) -> "Domain":
        """Starts the domain and waits until its guest takes commands."""
        with self._line() as line:
            self._libvirtd.virsh("start", self.name)
            with self.described():
                self.shell = Shell(line.accept()[0])
                self.shell.ready()
        return self

    def refused(self) -> str:
        """Tries to start the domain, which has to fail: what virsh says."""
        with self._line():
            result = self._libvirtd.try_virsh("start", self.name)
        if result.returncode == 0:
            raise VmError(f"{self.name} started where it should have been refused")
        return result.stderr

    @contextlib.contextmanager
    def _line(self):
        """Listens for the serial port that carries commands."""
        # Made anew each time: a QEMU that failed to start may have left a dead connection in the old one.
        self._line_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(BOOT_LIMIT_S)
            line.bind(str(self._line_path))
            self._line_path.chmod(0o666)
            line.listen(1)
            yield line

    @contextlib.contextmanager
    def described(self):
        """Adds to an error of the block what the machine looks like."""
        try:
            yield
        except (VmError, TimeoutError) as error:
            raise VmError(f"{self.name}: {error}; libvirt says it is {self.state()}; QEMU said: "
                          f"{self.qemu_log()[-600:]}; the console said: {self.console()[-600:]}") from None

    def qemu_log(self) -> str:
        """What libvirt and QEMU wrote into the domain's log."""
        path = self._libvirtd.qemu_logs / f"{self.name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def state(self) -> str:
        """What libvirt says of the domain."""
        return self._libvirtd.virsh("domstate", self.name)

    def wait_until_off(self, timeout_s: float = BOOT_LIMIT_S) -> None:
        """Waits until libvirt says that the domain does not run any more."""
        deadline = time.monotonic() + timeout_s
        with self.described():
            while self.state() != "shut off":
                if time.monotonic() > deadline:
                    raise VmError(f"not off within {timeout_s} s")
                time.sleep(0.05)
        self.shell.close()

    def poweroff(self) -> None:
        """Turns the machine off from inside."""
        self.shell.start("sync; poweroff -f")
        self.wait_until_off()

    def destroy(self) -> None:
        """Turns the machine off as pulling its plug does."""
        self._libvirtd.virsh("destroy", self.name)
        self.wait_until_off()

    def close(self) -> None:
        """Ends what the test holds of it; the domain itself ends with its libvirtd."""
        if self.shell:
            self.shell.close()
