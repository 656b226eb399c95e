# SPDX-License-Identifier: BSD-3-Clause
"""A real libvirtd, of which only the node-device driver is loaded, in the view of a scene.

Its files are in scratch mounts of the view. libudev is told that a tree which is no sysfs will do.
"""

import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

from . import Failure, process, wait_for
from .daemon import Result, program
from .tree import Scene

DRIVER = "libvirt_driver_nodedev.so"
SOCKET = "/run/libvirt/libvirt-sock"
# What libvirtd waits before it looks a second time, where it missed an event: nothing may take that long.
SLOW_S = 2.5
READY_LIMIT_S = 20
MOUNTS = """
for directory in /run /var/lib /var/log /var/cache /etc/libvirt; do
    [ ! -d $directory ] || mount -t tmpfs none $directory
done
mkdir -p /run/udev/data /run/libvirt/drivers /run/libvirt/path
touch /run/udev/control
ln -s {driver} /run/libvirt/drivers/
printf '%s\\n' 'listen_tls=0' 'auth_unix_rw="none"' 'unix_sock_dir="/run/libvirt"' >/run/libvirt/libvirtd.conf
"""


def find_driver() -> Path:
    """The node-device driver of the installed libvirtd."""
    found = sorted(Path("/usr/lib").glob(f"*/libvirt/connection-driver/{DRIVER}"))
    if not found or not shutil.which("libvirtd"):
        raise Failure("libvirtd or its node-device driver is missing: install the package libvirt-daemon")
    return found[0]


def node_name(ident: str, parent: str) -> str:
    """What libvirt calls an mdev."""
    return "mdev_" + re.sub(r"[^0-9A-Za-z]", "_", f"{ident}_{parent}")


def device_xml(parent: str, kind: str, ident: str = None, attrs=()) -> str:
    """What is given to nodedev-create and nodedev-define; @parent is libvirt's name."""
    uuid = f"<uuid>{ident}</uuid>" if ident else ""
    set_attrs = "".join(f"<attr name='{name}' value='{value}'/>" for name, value in attrs)
    return (f"<device><name>any</name><parent>{parent}</parent>"
            f"<capability type='mdev'><type id='{kind}'/>{uuid}{set_attrs}</capability></device>")


class Events:
    """`virsh nodedev-event` that runs beside the test."""

    def __init__(self, command: list):
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/")
        self._text = b""

    def wait(self, word: str, name: str, limit_s: float = SLOW_S) -> None:
        """Waits for the next event of a kind about a device, such as Created."""
        pattern = re.compile(rf"for node device {re.escape(name)}: {re.escape(word)}\n".encode())
        deadline = time.monotonic() + limit_s
        while not pattern.search(self._text):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Failure(f"no event {word} of {name} within {limit_s} s; there were: {self._text.decode()}")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise Failure(f"virsh ended: {self._text.decode()}")
            self._text += data
        self._text = self._text[pattern.search(self._text).end():]

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Libvirtd:
    """libvirtd in a scene, which finds @mdevctl ("mdevctl", or "umdevctl" under that name) in its PATH."""

    def __init__(self, scene: Scene, mdevctl: str):
        self._scene = scene
        self.daemon = scene.daemon
        self.took = {}  # command -> the longest time, seconds
        scene.look_inside(MOUNTS.format(driver=find_driver()))
        environment = dict(os.environ, LIBVIRT_DRIVER_DIR="/run/libvirt/drivers", SYSTEMD_DEVICE_VERIFY_SYSFS="0",
                           LC_ALL="C.UTF-8")
        if mdevctl == "umdevctl":
            scene.ok("ln", "-s", program("umdevctl", self.daemon.bindir), "/run/libvirt/path/mdevctl")
            environment.update(PATH="/run/libvirt/path:" + environment["PATH"], UMDEV_ROOT=str(self.daemon.root))
        self.log_path = self.daemon.directory / "libvirtd.log"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                scene.view.command("libvirtd", "-f", "/run/libvirt/libvirtd.conf"), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=environment, cwd="/")
        self._events = []
        try:
            # The driver answers when it has looked at all devices.
            wait_for(lambda: scene.run("test", "-S", SOCKET).rc == 0, "libvirtd's socket", READY_LIMIT_S, 0.02)
            wait_for(lambda: self.run("nodedev-list").out.strip(), "libvirtd's devices", READY_LIMIT_S, 0.05)
        except Failure as error:
            self.close()
            raise Failure(f"{error}; {self.log_tail()}") from None
        self.took.clear()

    def log_tail(self) -> str:
        """The end of what it said, for a failure's text."""
        return "libvirtd's log ends with: " + " | ".join(self.log_path.read_text(errors="replace").splitlines()[-6:])

    def _command(self, *words) -> list:
        return ["virsh", "-c", f"nodedev:///system?socket={SOCKET}", *words]

    def run(self, *words, stdin: str = None) -> Result:
        """Runs virsh, and notes how long it took."""
        start = time.monotonic()
        result = self._scene.run(*self._command(*words), stdin=stdin)
        self.took[words[0]] = max(self.took.get(words[0], 0), time.monotonic() - start)
        return result

    def ok(self, *words, stdin: str = None) -> str:
        """Runs virsh, which must succeed, and not slowly; its output."""
        start = time.monotonic()
        result = self.run(*words, stdin=stdin)
        spent = time.monotonic() - start
        if result.rc or result.err.strip():
            raise Failure(f"virsh {' '.join(words)}: rc {result.rc}: {result.err.strip()}; {self.log_tail()}")
        if spent > SLOW_S:
            raise Failure(f"virsh {' '.join(words)} took {spent:.1f} s: an event did not arrive")
        return result.out

    def names(self, *options) -> list:
        """The names that nodedev-list prints."""
        return self.ok("nodedev-list", *options).split()

    def xml(self, name: str) -> ElementTree.Element:
        """nodedev-dumpxml, parsed."""
        return ElementTree.fromstring(self.ok("nodedev-dumpxml", name))

    def info(self, name: str) -> dict:
        """nodedev-info as a dictionary."""
        lines = self.ok("nodedev-info", name).splitlines()
        return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}

    def available(self, name: str, kind: str) -> int:
        """availableInstances of a type of a parent."""
        for node in self.xml(name).iter("type"):
            if node.get("id") == kind:
                return int(node.findtext("availableInstances"))
        raise Failure(f"{name} has no type {kind}")

    def watch(self) -> Events:
        """Begins to listen for lifecycle events; returns when virsh does."""
        words = ["stdbuf", "-oL", *self._command("nodedev-event", "--event", "lifecycle", "--loop", "--timeout", "60")]
        before = self._clients()
        events = Events(self._scene.view.command(*words))
        self._events.append(events)
        wait_for(lambda: self._clients() > before, "virsh nodedev-event to be connected", READY_LIMIT_S, 0.02)
        return events

    def _clients(self) -> int:
        # Each virsh that is connected is a descriptor of libvirtd's.
        listing = self._scene.ok("cat", "/proc/net/unix")
        return sum(line.endswith(SOCKET) for line in listing.splitlines())

    def close(self) -> None:
        """Ends it, and whoever listens."""
        for events in self._events:
            events.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                process.wait_end(self._process, READY_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
