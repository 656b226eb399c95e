# SPDX-License-Identifier: BSD-3-Clause
"""QEMU, the guest's parts and a newer mdevctl, made once and kept.

Everything that has to be fetched lies in one directory of the cache, named
after the recipe that made it: another recipe is another directory, so checkouts
of different age share a cache.  The directory is built under another name and
renamed when whole; whatever interrupts that leaves nothing that looks finished.
The initramfs holds files of the checkout too, so it is made from that directory
when they change, which takes a second.

One lock covers all building.  Finished directories are never written again,
except for further initramfs files, so users need no lock.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from . import VmError, initramfs, mdevctl, recipe

HERE = Path(__file__).resolve().parent
GUEST_INIT = HERE.parents[1] / "guest/init"
BASE_MADE_BY = ("recipe.py", "archive.py", "kernel.py")
MDEVCTL_MADE_BY = ("mdevctl.py", "archive.py")
INITRD_MADE_BY = ("initramfs.py", "elf.py")
UNFINISHED = "building-"


class Image:
    """Where the finished parts lie."""

    def __init__(self, base: Path, initrd: Path):
        self.base = base
        self.vmlinux = base / "vmlinux"
        self.initrd = initrd
        self.qemu_command = recipe.qemu_command(base / "qemu")
        self.qemu_environment = recipe.qemu_environment(base / "qemu")


def directory() -> Path:
    """The cache's place: UMDEV_VM_CACHE, or umdev/vm in the user's cache."""
    if os.environ.get("UMDEV_VM_CACHE"):
        return Path(os.environ["UMDEV_VM_CACHE"]).absolute()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home).absolute() / "umdev/vm"


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(b"%s %d\n" % (path.name.encode(), len(content)) + content)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _lock(cache: Path):
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = open(cache / "lock", "w", encoding="utf-8")
    except OSError as error:
        raise VmError(f"cannot use the cache {cache}: {error.strerror}; set UMDEV_VM_CACHE to another place") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            recipe.say(f"another process is preparing {cache}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_unfinished(parent: Path) -> None:
    for leftover in parent.glob(f"{UNFINISHED}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink()


def _make_base(base: Path, make) -> None:
    _remove_unfinished(base.parent)
    work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=base.parent))
    try:
        make(work)
        os.chmod(work, 0o755)
        work.rename(base)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make_initrd(base: Path, initrd: Path) -> None:
    _remove_unfinished(base)
    content = initramfs.build(base / "packages", base / "modules", recipe.GUEST_MODULES, GUEST_INIT)
    work = base / f"{UNFINISHED}{initrd.name}"
    try:
        work.write_bytes(content)
        work.rename(initrd)
    finally:
        work.unlink(missing_ok=True)


def prepare() -> Image:
    """The image of this checkout's recipe, made first where the cache lacks it."""
    cache = directory()
    base = cache / _digest(*(HERE / name for name in BASE_MADE_BY))
    initrd = base / f"initrd-{_digest(GUEST_INIT, *(HERE / name for name in INITRD_MADE_BY))}.cpio"
    if not initrd.exists():
        with _lock(cache):
            if not base.exists():
                _make_base(base, recipe.make)
            if not initrd.exists():
                _make_initrd(base, initrd)
    return Image(base, initrd)


def _mdevctl_base() -> Path:
    return directory() / f"mdevctl-{_digest(*(HERE / name for name in MDEVCTL_MADE_BY))}"


def prepare_mdevctl() -> Path:
    """The directory of mdevctl, made first where the cache lacks it."""
    base = _mdevctl_base()
    if not base.exists():
        with _lock(directory()):
            if not base.exists():
                _make_base(base, mdevctl.make)
    return base


def clean() -> list:
    """Removes what other recipes than the current ones left in the cache; returns what was removed."""
    current = prepare()
    removed = []
    with _lock(directory()):
        for path in sorted(directory().iterdir()):
            if path.is_dir() and path not in (current.base, _mdevctl_base()):
                shutil.rmtree(path)
                removed.append(path)
        for path in sorted(current.base.glob("initrd-*.cpio")):
            if path != current.initrd:
                path.unlink()
                removed.append(path)
    return removed
