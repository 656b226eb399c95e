# SPDX-License-Identifier: BSD-3-Clause
"""The disk of the power-cut tests keeps what it must and loses all that it may: shown on the well-known mistakes."""

import pytest

from powercut import calls, files
from powercut.calls import Change
from powercut.disk import SECTOR, SUBSETS_OF, Disk, disk_of

OLD, NEW = b"old\n", b"n" * (2 * SECTOR + 100)


def replace(*without: str) -> list:
    """A file is replaced as it should be, but for what is left out."""
    steps = [("create", Change("create", "d/f~")), ("write", Change("write", "d/f~", data=NEW)),
             ("fsync", Change("sync", "d/f~")), ("rename", Change("rename", "d/f~", to="d/f")),
             ("fsync of the directory", Change("sync", "d"))]
    return [change for name, change in steps if name not in without]


def after(changes: list, disk: Disk = None) -> list:
    """What cuts may leave after all of @changes: trees."""
    disk = disk or disk_of({"d": None, "d/f": OLD})
    for change in changes:
        disk.apply(change)
    assert disk.all_tried
    return list(disk.cut())


def contents(trees: list, path: str = "d/f") -> set:
    """What may be in a file, None for no file."""
    return {tree.get(path) for tree in trees}


def test_replaced_as_it_should_be():
    """At every moment the old one or the new one, at the end the new one."""
    changes = replace()
    for count in range(len(changes)):
        found = contents(after(changes[:count]))
        assert found <= {OLD, NEW} and OLD in found, count
    assert contents(after(changes)) == {NEW}


def test_renamed_before_its_data():
    """Without fsync() of the file the name may be there before the data: empty, of zeros, torn at each sector."""
    found = contents(after(replace("fsync")))
    assert {b"", bytes(len(NEW)), NEW[:SECTOR], NEW[:2 * SECTOR], NEW[:1], NEW[:-1], NEW} <= found
    assert NEW[:SECTOR] + bytes(SECTOR) + NEW[2 * SECTOR:] in found
    assert OLD not in found


def test_renamed_and_nothing_more():
    """Without fsync() of the directory the old one may come back, however long ago that was."""
    changes = replace("fsync of the directory")
    assert contents(after(changes)) == {OLD, NEW}
    assert contents(after(changes + [Change("mkdir", "e"), Change("sync", "e")])) == {OLD, NEW}


def test_written_in_place():
    """Half of it is what one gets."""
    found = contents(after([Change("truncate", "d/f"), Change("write", "d/f", data=NEW)]))
    assert {OLD, b"", NEW[:SECTOR]} <= found


def test_new_directory():
    """fsync() of a file in it says nothing of the directory itself."""
    changes = [Change("mkdir", "d/new"), Change("create", "d/new/f"), Change("write", "d/new/f", data=NEW),
               Change("sync", "d/new/f"), Change("sync", "d/new")]
    assert contents(after(changes), "d/new/f") == {None, NEW}
    assert contents(after(changes + [Change("sync", "d")]), "d/new/f") == {NEW}


def test_removed():
    """It may come back until its directory is synced; a directory, too, with nothing in it."""
    assert contents(after([Change("unlink", "d/f")])) == {OLD, None}
    assert contents(after([Change("unlink", "d/f"), Change("sync", "d")])) == {None}
    found = after([Change("unlink", "d/f"), Change("sync", "d"), Change("rmdir", "d")])
    assert {tuple(tree.items()) for tree in found} == {(), (("d", None),)}


def test_each_change_by_itself():
    """Of two changes to one directory the second may arrive alone."""
    found = after([Change("create", "d/a"), Change("create", "d/b")])
    assert {(("d/a" in tree), ("d/b" in tree)) for tree in found} == {(False, False), (False, True), (True, False), (True, True)}


def test_wiped():
    """A hole that was not synced gives back what was there, or half of it."""
    disk = disk_of({"image": b"x" * 4096})
    found = contents(after([Change("zero", "image", at=1024, length=2048)], disk), "image")
    half = b"x" * 1024 + bytes(1024) + b"x" * 2048
    assert {b"x" * 4096, half, b"x" * 1024 + bytes(2048) + b"x" * 1024} <= found
    assert contents(after([Change("sync", "image")], disk), "image") == {b"x" * 1024 + bytes(2048) + b"x" * 1024}


def test_too_much_is_said():
    """Where not all outcomes are tried, that is known."""
    disk = disk_of({})
    for i in range(SUBSETS_OF + 1):
        disk.apply(Change("mkdir", f"d{i}"))
    list(disk.cut())
    assert not disk.all_tried


def test_moved_between_directories():
    """That is two changes that may part; nobody does it, and nobody has to say what then."""
    disk = disk_of({"a": None, "a/f": OLD, "b": None})
    with pytest.raises(AssertionError):
        disk.apply(Change("rename", "a/f", to="b/f"))


def hexed(text: str) -> str:
    """As strace prints it with -xx."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def test_lines_of_strace():
    """Calls of two threads, one within the other; failures and calls that were taken away change nothing."""
    parser = calls.Parser()
    path, there = hexed("/r/f"), hexed("/r")
    for line in (f'7 openat(3<{there}>, "{hexed("f")}", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 4<{path}>',
                 f'7 write(4<{path}>, "{hexed("ab,(")}", 4 <unfinished ...>',
                 f'81234 mkdirat(3<{there}>, "{hexed("e")}", 0755) = -1 EEXIST (File exists)',
                 "7 <... write resumed>) = 4",
                 f'7 write(4<{path}>, "{hexed("cd")}", 2) = 2',
                 f"7 fsync(4<{path}>) = 0 (INJECTED)",
                 f'7 renameat(3<{there}>, "{hexed("f")}", 3<{there}>, "{hexed("g")}") = 0',
                 f"7 fsync(3<{there}>)    = 0",
                 f'81234 write(4<{path}>,  <detached ...>',  # killed while strace looked
                 f'7 write(4<{path}>, "{hexed("e")}", 1) = ?',
                 "7 +++ killed by SIGKILL +++"):
        parser.line(line)
    assert parser.changes == [
        Change("create", "/r/f"), Change("truncate", "/r/f"), Change("write", "/r/f", at=0, data=b"ab,("),
        Change("write", "/r/f", at=4, data=b"cd"), Change("rename", "/r/f", to="/r/g"), Change("sync", "/r")]


@pytest.mark.parametrize("line", [
    f'7 copy_file_range(3<{hexed("/r/a")}>, NULL, 4<{hexed("/r/b")}>, NULL, 9, 0) = 9',
    f'7 setxattr("{hexed("/r/a")}", "{hexed("user.a")}", "{hexed("x")}", 1, 0) = 0',
    f'7 fallocate(4<{hexed("/r/b")}>, 0, 0, 9) = 0',
    f'7 write(4<{hexed("/r/b")}>, "{hexed("x")}"..., 9) = 9',
    "no line of strace"])
def test_what_is_not_understood(line):
    """A way to change files that the model does not have is a failure, not a gap."""
    with pytest.raises(calls.Unknown):
        calls.Parser().line(line)


def test_kinds_of_files():
    """A file is of one kind."""
    uuid = "11111111-0000-4000-8000-111111111111"
    for path, kind in (("root", "directory"), ("root/etc/umdev/mdevs.d/p", "directory"),
                       ("root/etc/umdev/parents.d/p.json", "parent"), ("root/etc/umdev/parents.d/p.map", "map"),
                       ("root/etc/umdev/parents.d/p.map.new~", "temporary"), (f"root/etc/umdev/mdevs.d/p/{uuid}", "definition"),
                       (f"root/etc/umdev/groups.d/{uuid}.new~", "temporary"), ("root/run/umdev/umdevd.lock", "run"),
                       ("store.img", "backing")):
        assert [one.name for one in files.KINDS if one.matches(path)] == [kind], path
    for path in ("root/etc/umdev/parents.d/p", "root/etc/umdev/groups.d/g.json", "root/etc/umdev/umdev.conf", "root/var/f", "f"):
        assert files.kind_of(path) is None, path


def test_exchanged():
    """Two names change places at once: before the directory is synced both ways are possible, afterwards one."""
    disk = disk_of({"d": None, "d/f": OLD, "d/g": b"other\n"})
    trees = after([Change("exchange", "d/f", to="d/g")], disk)
    assert {(tree["d/f"], tree["d/g"]) for tree in trees} == {(OLD, b"other\n"), (b"other\n", OLD)}
    assert {(tree["d/f"], tree["d/g"]) for tree in after([Change("sync", "d")], disk)} == {(b"other\n", OLD)}
