# SPDX-License-Identifier: BSD-3-Clause
"""Drives that QEMU itself emulates, on files.

With UMDEV_VM_DEVICE=qemu the tests run on these, which tells a fault of a test,
or of the guest, from one of umdev.
"""

import itertools
from pathlib import Path

from .guest import Guest


class EmulatedDrive:
    """One file that guests see as an NVMe drive."""

    def __init__(self, ident: str, path: Path):
        self.ident = ident
        self.path = path

    def qemu_arguments(self) -> list:
        """What gives a machine this drive from its start."""
        return ["-drive", f"if=none,id={self.ident}-file,format=raw,file={self.path}",
                "-device", f"nvme,id={self.ident},drive={self.ident}-file,serial={self.ident}"]

    def plug(self, guest: Guest) -> None:
        """Gives the drive to a running machine."""
        guest.qmp.command("blockdev-add", **{"driver": "raw", "node-name": f"{self.ident}-file",
                                             "file": {"driver": "file", "filename": str(self.path)}})
        guest.plug(self.ident, driver="nvme", drive=f"{self.ident}-file", serial=self.ident)

    def unplug(self, guest: Guest) -> None:
        """Takes it away again."""
        guest.unplug(self.ident)
        guest.qmp.command("blockdev-del", **{"node-name": f"{self.ident}-file"})

    def restart(self) -> None:
        """Nothing to do: the drive is there while a machine has it."""


class EmulatedDrives:
    """Makes drives; the counterpart of umdev.UmdevDrives."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._numbers = itertools.count()

    def drive(self, size: str = "1g", attributes=()) -> EmulatedDrive:
        """A new drive; attributes are umdev's, and none applies here."""
        del attributes
        number = next(self._numbers)
        path = self._directory / f"drive{number}.raw"
        with path.open("wb") as file:
            file.truncate(int(size[:-1]) << 30)
        return EmulatedDrive(f"drive{number}", path)

    def check(self) -> None:
        """Nothing runs beside QEMU that could have failed."""

    def stop(self) -> None:
        """Nothing runs beside QEMU that could be left."""
