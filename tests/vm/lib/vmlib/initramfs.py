# SPDX-License-Identifier: BSD-3-Clause
"""The guest's whole userland as one cpio archive.

Written here, byte by byte, rather than by the cpio program: device nodes then
need no root, and the same inputs give the same archive.
"""

import stat
import subprocess
from pathlib import Path

from . import VmError, elf, kernel

LIBRARY_DIRECTORY = "lib/x86_64-linux-gnu"
LOADER = "lib64/ld-linux-x86-64.so.2"
PROGRAMS = {
    # in the guest: in the packages
    "sbin/nvme": "usr/sbin/nvme",
    "sbin/mke2fs": "sbin/mke2fs",
    "sbin/e2fsck": "sbin/e2fsck",
}
LINKS = {"sbin/mkfs.ext4": "mke2fs", "sbin/fsck.ext4": "e2fsck"}
FILES = {"etc/mke2fs.conf": "etc/mke2fs.conf"}
DIRECTORIES = ("bin", "dev", "etc", "lib", "lib64", "lib/modules", LIBRARY_DIRECTORY, "mnt", "proc", "root", "run",
               "sbin", "sys", "tmp", "usr", "usr/bin", "usr/sbin")


class Cpio:
    """An archive in the kernel's newc format."""

    def __init__(self):
        self._parts = []
        self._inode = 0

    def _add(self, name: str, mode: int, data: bytes = b"", device=(0, 0)) -> None:
        self._inode += 1
        name_bytes = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name_bytes), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name_bytes
        self._parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def directory(self, name: str) -> None:
        """Adds an empty directory."""
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Adds a regular file."""
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        """Adds a symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int) -> None:
        """Adds a device node."""
        self._add(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def finish(self) -> bytes:
        """The archive; nothing can be added after."""
        self._add("TRAILER!!!", 0)
        return b"".join(self._parts)


def _applets(busybox: Path) -> list:
    listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=False)
    if listing.returncode:
        raise VmError(f"{busybox}: does not run on this host")
    return listing.stdout.split()


def build(packages: Path, modules: Path, wanted_modules, init: Path) -> bytes:
    """An initramfs of the unpacked `packages`, the `wanted_modules`, and the program `init`."""
    archive = Cpio()
    for name in DIRECTORIES:
        archive.directory(name)
    archive.character_device("dev/console", 5, 1)
    archive.file("init", init.read_bytes(), 0o755)

    busybox = packages / "bin/busybox"
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    own = {Path(name).name for name in (*PROGRAMS, *LINKS)}
    for applet in _applets(busybox):
        if applet not in own and applet not in ("busybox", "init"):
            archive.link(f"bin/{applet}", "busybox")

    programs = [packages / path for path in PROGRAMS.values()]
    directories = [packages / LIBRARY_DIRECTORY, packages / "usr" / LIBRARY_DIRECTORY]
    for name, source in PROGRAMS.items():
        archive.file(name, (packages / source).read_bytes(), 0o755)
    for name, target in LINKS.items():
        archive.link(name, target)
    for name, source in FILES.items():
        archive.file(name, (packages / source).read_bytes())
    archive.file(LOADER, (packages / LOADER).read_bytes(), 0o755)
    for library in elf.library_closure(programs, directories):
        if library.name != Path(LOADER).name:
            archive.file(f"{LIBRARY_DIRECTORY}/{library.name}", library.read_bytes(), 0o755)

    order = kernel.Modules(modules).load_order(wanted_modules)
    for path in order:
        archive.file(f"lib/modules/{path.name}", path.read_bytes())
    archive.file("lib/modules/order", "".join(f"{path.name}\n" for path in order).encode())
    return archive.finish()
