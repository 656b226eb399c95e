# SPDX-License-Identifier: BSD-3-Clause
"""mdevctl of the next Debian release, for tests that compare with it.

It needs a newer C library than the host's, so it comes with its own and is run by its own loader.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import VmError, archive

SUITE = "trixie"
PACKAGES = ("mdevctl", "libc6", "libgcc-s1")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
PROGRAM = "usr/bin/mdevctl"
VERSION = "1.4.0"


def command(base: Path, name: str = "mdevctl") -> list:
    """The start of a command line that runs it, under its own name or the alias lsmdev."""
    root = base / "mdevctl"
    return [str(root / LOADER), "--library-path", str(root / LIBRARIES), "--argv0", name, str(root / PROGRAM)]


def environment(root: Path) -> dict:
    """The environment in which it finds sys, etc and usr below `root`."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("RUST_", "MDEVCTL_"))}
    return dict(found, MDEVCTL_ENV_ROOT=str(root), LC_ALL="C.UTF-8")


def make(work: Path) -> None:
    """Fills the empty directory `work` with mdevctl."""
    archive.check_tools()
    uri = next(uri for uri, codename in archive.host_mirrors() if codename == archive.HOST_RELEASE)
    source = archive.Archive(work / "apt", [(uri, SUITE)])
    versions = source.closure(["mdevctl"])
    for package in source.download({name: versions[name] for name in PACKAGES}, work / "debs"):
        archive.unpack(package, work / "mdevctl")
    done = subprocess.run([*command(work), "--version"], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, env=environment(work / "mdevctl"))
    if done.stdout.strip() != f"mdevctl {VERSION}":
        raise VmError(f"{SUITE} of the archive has mdevctl {VERSION} no more, or it does not run here: "
                      f"{(done.stdout + done.stderr).strip()}")
    for name in ("apt", "debs"):
        shutil.rmtree(work / name)
