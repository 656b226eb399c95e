# SPDX-License-Identifier: BSD-3-Clause
"""What is fetched, and what is made of it.

The cache names a directory after this file, among others: whoever changes it
has everything fetched again.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import VmError, archive, kernel

QEMU_SUITES = ("trixie", "trixie-backports")
QEMU_RELEASE = "trixie-backports"
QEMU_PACKAGE = "qemu-system-x86"
QEMU_OLDEST = (10, 1)
# Of what QEMU's package pulls in, the rest serves installing (debconf, pam, ...) or devices that no test has.
QEMU_KEEP = ("lib", "zlib1g", "qemu-system-", "seabios")
QEMU_LIBRARIES = "usr/lib/x86_64-linux-gnu"
QEMU_LOADER = "usr/lib64/ld-linux-x86-64.so.2"
QEMU_PROGRAM = "usr/bin/qemu-system-x86_64"
QEMU_FIRMWARE = ("usr/share/qemu", "usr/share/seabios")

KERNEL_META = "linux-image-amd64"
# Where the modules lie that GUEST_MODULES need.
KERNEL_MODULE_TREES = ("block", "crypto", "drivers/nvme/host", "fs/ext4", "fs/jbd2", "fs/mbcache.ko", "lib")
GUEST_PACKAGES = ("busybox-static", "e2fsprogs", "nvme-cli")
GUEST_KEEP = ("lib", "zlib1g", *GUEST_PACKAGES)
GUEST_MODULES = ("nvme", "ext4")


def say(text: str) -> None:
    """Tells a person what takes so long."""
    print(f"vm: {text}", file=sys.stderr, flush=True)


def qemu_command(root: Path) -> list:
    """The start of a command line that runs the QEMU unpacked at `root`."""
    command = [str(root / QEMU_LOADER), "--library-path", str(root / QEMU_LIBRARIES),
               "--argv0", "qemu-system-x86_64", str(root / QEMU_PROGRAM)]
    for directory in QEMU_FIRMWARE:
        command += ["-L", str(root / directory)]
    return command


def qemu_environment(root: Path) -> dict:
    """The environment that the command needs."""
    return dict(os.environ, QEMU_MODULE_DIR=str(root / QEMU_LIBRARIES / "qemu"))


def _fetch_qemu(work: Path, uri: str) -> dict:
    say("fetching QEMU (40 MB)")
    source = archive.Archive(work / "apt-qemu", [(uri, suite) for suite in QEMU_SUITES])
    versions = source.closure([QEMU_PACKAGE], QEMU_RELEASE)
    versions = {name: version for name, version in versions.items() if name.startswith(QEMU_KEEP)}
    for package in source.download(versions, work / "debs-qemu"):
        archive.unpack(package, work / "qemu")
    return versions


def _fetch_guest(work: Path, mirrors) -> dict:
    say("fetching the guest's kernel and programs (80 MB)")
    source = archive.Archive(work / "apt-guest", mirrors)
    versions = source.closure(GUEST_PACKAGES)
    versions = {name: version for name, version in versions.items()
                if name.startswith(GUEST_KEEP) and "perl" not in name}
    for package in source.download(versions, work / "debs-guest"):
        archive.unpack(package, work / "packages")

    image = source.dependency(KERNEL_META, "linux-image-")
    kernel_version = {image: source.candidate(image)}
    (package,) = source.download(kernel_version, work / "debs-kernel")
    release = image[len("linux-image-"):]
    modules = f"./lib/modules/{release}/kernel"
    vmlinuz = f"./boot/vmlinuz-{release}"
    archive.unpack(package, work / "kernel", [vmlinuz, *(f"{modules}/{tree}" for tree in KERNEL_MODULE_TREES)])
    (work / "vmlinux").write_bytes(kernel.extract_vmlinux(work / "kernel" / vmlinuz))
    (work / "kernel" / modules).rename(work / "modules")
    kernel.Modules(work / "modules").load_order(GUEST_MODULES)
    return {**versions, **kernel_version}


def _check_qemu(root: Path) -> str:
    def ask(*arguments) -> str:
        result = subprocess.run([*qemu_command(root), *arguments], env=qemu_environment(root), check=False,
                                capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if result.returncode:
            lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
            raise VmError(f"the fetched QEMU does not run: {lines[-1]}")
        return result.stdout

    version = ask("--version").splitlines()[0].split()[3]
    if tuple(int(part) for part in version.split(".")[:2]) < QEMU_OLDEST:
        raise VmError(f"the archive offers QEMU {version}, and the first with a vfio-user client is "
                      f"{'.'.join(map(str, QEMU_OLDEST))}")
    if '"vfio-user-pci"' not in ask("-device", "help"):
        raise VmError(f"QEMU {version} of the archive was built without vfio-user-pci")
    return version


def _write_wrapper(work: Path) -> None:
    firmware = " ".join(f'-L "$root/{path}"' for path in QEMU_FIRMWARE)
    wrapper = work / "qemu-system-x86_64"
    wrapper.write_text(f"""#!/bin/sh
# Runs this QEMU with its own libraries; takes QEMU's arguments.
root=$(dirname "$(readlink -f "$0")")/qemu
export QEMU_MODULE_DIR="$root/{QEMU_LIBRARIES}/qemu"
exec "$root/{QEMU_LOADER}" --library-path "$root/{QEMU_LIBRARIES}" --argv0 qemu-system-x86_64 \\
\t"$root/{QEMU_PROGRAM}" {firmware} "$@"
""", encoding="utf-8")
    wrapper.chmod(0o755)


def make(work: Path) -> None:
    """Fills the empty directory `work` with qemu, packages, vmlinux, modules and manifest.json."""
    archive.check_tools()
    mirrors = archive.host_mirrors()
    main_uri = next(uri for uri, codename in mirrors if codename == archive.HOST_RELEASE)
    manifest = {"guest": _fetch_guest(work, mirrors), "qemu": _fetch_qemu(work, main_uri)}
    manifest["qemu_version"] = _check_qemu(work / "qemu")
    _write_wrapper(work)
    (work / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name in ("apt-qemu", "apt-guest", "debs-qemu", "debs-guest", "debs-kernel", "kernel"):
        shutil.rmtree(work / name)
    say(f"QEMU {manifest['qemu_version']} and a guest are prepared")
