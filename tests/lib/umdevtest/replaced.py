# SPDX-License-Identifier: BSD-3-Clause
"""The driver nvme, and one with a fault that is put in its place on disk (tests/drivers/wrapped.c)."""

import shutil

from .daemon import Daemon, build_directory, driver_directory


class Replaced:
    """A daemon whose driver nvme can be replaced on disk by one with a fault."""

    def __init__(self, directory, fault: str):
        self._drivers = driver_directory(directory / "drivers")
        self._place = self._drivers / "umdev-driver-nvme.so"
        self._real = directory / "real.so"
        shutil.copy2(self._place, self._real)
        self.daemon = Daemon(arguments=["--driver-dir", self._drivers],
                             environment={"UMDEV_TEST_REAL": str(self._real), "UMDEV_TEST_FAULT": fault})

    def replace(self) -> None:
        """Puts the other driver where the daemon finds it."""
        new = self._drivers / "new"
        shutil.copy2(build_directory() / "tests/drivers/wrapped.so", new)
        new.rename(self._place)

    def put_back(self) -> None:
        """Puts the real one there again."""
        new = self._drivers / "new"
        shutil.copy2(self._real, new)
        new.rename(self._place)
