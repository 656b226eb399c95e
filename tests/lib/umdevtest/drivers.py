# SPDX-License-Identifier: BSD-3-Clause
"""A driver directory of a daemon's own: what the build installs, and drivers that only tests load."""

import os
import shutil
from pathlib import Path

from .daemon import Daemon, build_directory


def collect(directory: Path, uid: int, *names: str) -> Path:
    """Makes it below @directory for user @uid, with the test drivers @names."""
    made = directory / "drivers"
    made.mkdir()
    made.chmod(0o755)
    sources = list((build_directory() / "bin").glob("umdev-driver-*.so"))
    sources += [build_directory() / "tests/drivers" / f"umdev-driver-{name}.so" for name in names]
    for source in sources:
        shutil.copy2(source, made)
    os.chown(made, uid, -1)
    return made


def with_drivers(make_daemon, uid: int, *names: str, **keywords) -> Daemon:
    """A daemon, not started, that loads drivers of the tests, too."""
    daemon = make_daemon(uid, **keywords)
    place = collect(daemon.directory, daemon.uid, *names)
    daemon.add_arguments("--driver-dir", str(place))
    return daemon
