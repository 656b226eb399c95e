# SPDX-License-Identifier: BSD-3-Clause
"""The two things we ask of an ELF file: a section, and the libraries it needs.

Reads little-endian 64-bit files only, which is what the guest is made of, so
that no binutils are needed on the host.
"""

import struct
from pathlib import Path

from . import VmError

DT_NULL = 0
DT_NEEDED = 1


class Elf:
    """The sections of one file, by name."""

    def __init__(self, path: Path):
        self.path = path
        self.data = path.read_bytes()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise VmError(f"{path}: not a 64-bit little-endian ELF file")
        (table,) = struct.unpack_from("<Q", self.data, 0x28)
        entry_size, count, names_index = struct.unpack_from("<HHH", self.data, 0x3A)
        headers = []
        for index in range(count):
            fields = struct.unpack_from("<IIQQQQ", self.data, table + index * entry_size)
            headers.append((fields[0], fields[4], fields[5]))
        self._sections = {}
        names = self._slice(headers[names_index]) if headers else b""
        for header in headers:
            name = names[header[0]:names.index(b"\0", header[0])].decode()
            self._sections.setdefault(name, header)

    def _slice(self, header) -> bytes:
        _, offset, size = header
        return self.data[offset:offset + size]

    def section(self, name: str) -> bytes:
        """The bytes of section `name`, or nothing where there is none."""
        header = self._sections.get(name)
        return self._slice(header) if header else b""

    def needed(self) -> list:
        """The DT_NEEDED library names."""
        strings = self.section(".dynstr")
        names = []
        for tag, value in struct.iter_unpack("<qQ", self.section(".dynamic")):
            if tag == DT_NULL:
                break
            if tag == DT_NEEDED:
                names.append(strings[value:strings.index(b"\0", value)].decode())
        return names


def modinfo(path: Path) -> dict:
    """The key=value pairs of a kernel module, each key with a list of values."""
    info = {}
    for pair in Elf(path).section(".modinfo").split(b"\0"):
        key, equals, value = pair.decode("utf-8", "replace").partition("=")
        if equals:
            info.setdefault(key, []).append(value)
    return info


def library_closure(programs, directories) -> list:
    """Every shared library that `programs` need, found in `directories`, in full."""
    found = {}
    queue = list(programs)
    while queue:
        path = queue.pop()
        for name in Elf(path).needed():
            if name in found:
                continue
            for directory in directories:
                candidate = directory / name
                if candidate.exists():
                    found[name] = candidate
                    queue.append(candidate)
                    break
            else:
                raise VmError(f"{path.name} needs {name}, which no fetched package has")
    return [found[name] for name in sorted(found)]
