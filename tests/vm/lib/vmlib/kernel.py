# SPDX-License-Identifier: BSD-3-Clause
"""A Debian kernel as the guest uses it: the plain vmlinux, and modules in load order.

QEMU starts an ELF kernel through its PVH note.  The guest then has nothing to
decompress, which under emulation saves more than half of the boot.
"""

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess
from pathlib import Path

from . import VmError, elf

SETUP_MAGIC = b"HdrS"
SETUP_VERSION_WITH_PAYLOAD = 0x0208


def _with_tool(tool: str):
    def decompress(data: bytes) -> bytes:
        if not shutil.which(tool):
            raise VmError(f"{tool} is missing on this host: install the package {tool}")
        # The payload is followed by its length, which the tools call trailing garbage and fail on; what
        # they wrote is checked instead.
        return subprocess.run([tool, "-dc"], input=data, capture_output=True, check=False).stdout
    return decompress


DECOMPRESSORS = (
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x1f\x8b", lambda data: gzip.decompress(data[:-4])),
    (b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data)),
    (b"\x28\xb5\x2f\xfd", _with_tool("zstd")),
    (b"\x02\x21\x4c\x18", _with_tool("lz4")),
)


def extract_vmlinux(image: Path) -> bytes:
    """The ELF kernel inside a bzImage."""
    data = image.read_bytes()
    (version,) = struct.unpack_from("<H", data, 0x206)
    if data[0x202:0x206] != SETUP_MAGIC or version < SETUP_VERSION_WITH_PAYLOAD:
        raise VmError(f"{image.name}: not a bzImage that says where its payload is")
    setup_sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = data[start:start + length]
    for magic, decompress in DECOMPRESSORS:
        if payload.startswith(magic):
            kernel = decompress(payload)
            (expected,) = struct.unpack("<I", payload[-4:])
            if not kernel.startswith(b"\x7fELF") or len(kernel) != expected:
                raise VmError(f"{image.name}: its payload is not a whole ELF kernel")
            return kernel
    raise VmError(f"{image.name}: payload compressed in an unknown way")


class Modules:
    """The modules below a directory, and what each needs loaded before it."""

    def __init__(self, directory: Path):
        self._paths = {path.stem.replace("-", "_"): path for path in sorted(directory.rglob("*.ko"))}
        self._info = {name: elf.modinfo(path) for name, path in self._paths.items()}
        self._aliases = {}
        for name, info in self._info.items():
            for alias in info.get("alias", ()):
                if "*" not in alias:
                    self._aliases.setdefault(alias, []).append(name)

    def _find(self, name: str) -> list:
        name_as_file = name.replace("-", "_")
        if name_as_file in self._paths:
            return [name_as_file]
        # An algorithm has several providers; the portable one works on every emulated CPU.
        providers = self._aliases.get(name, [])
        return [provider for provider in providers if provider.endswith("_generic")] or providers[:1]

    def load_order(self, wanted) -> list:
        """The files of `wanted` and all they depend on, each after what it needs."""
        order, visiting = [], set()

        def visit(name: str) -> None:
            if name in visiting:
                return
            visiting.add(name)
            info = self._info[name]
            for dependency in ",".join(info.get("depends", ())).split(","):
                if dependency and not self._find(dependency):
                    raise VmError(f"module {name} needs {dependency}, which was not unpacked")
                for found in self._find(dependency) if dependency else ():
                    visit(found)
            for softdep in info.get("softdep", ()):
                before = softdep.partition("post:")[0].replace("pre:", "").split()
                for soft in before:
                    for found in self._find(soft):
                        visit(found)
            order.append(self._paths[name])

        for name in wanted:
            if not self._find(name):
                raise VmError(f"the kernel package has no module {name} where it was looked for")
            visit(self._find(name)[0])
        return order
