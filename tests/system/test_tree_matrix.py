# SPDX-License-Identifier: BSD-3-Clause
"""Every file of the tree by every way to open it, as its owner and as others, root included; and who may change what.

The rules are those of the kernel's sysfs, where a mode holds for root too.
"""

import os
import stat
from collections import namedtuple

import pytest

from umdevtest.daemon import NOBODY, new_uuid
from umdevtest.hands import Hands
from umdevtest.tree import CARD, PLAIN, PLAIN_TYPE, STORE, STORE_TYPE, add_parents, tree_of

WRITE_ONLY = {"create", "remove"}
BOTH = {"uevent", "mdev/cap", "mdev/weight", "mdev/priority", "mdev/socket_user", "mdev/socket_group",
        "mdev/socket_mode", "mdev/group", "mdev/min_share",
        "nvme/doorbells", "nvme/interrupts", "nvme/queues", "nvme/serial", "nvme/model"}
# Who runs the daemon and who looks at its tree.
PAIRS = ["root by root", "nobody by nobody", "root by nobody"] if os.geteuid() == 0 else ["own by own"]

GROUP = "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0fa"  # of two mdevs

Stage = namedtuple("Stage", "daemon hands sys owner files directories links")


@pytest.fixture(params=PAIRS, name="stage")
def fixture_stage(request, make_daemon):
    """A daemon with three parents and an mdev on each, whose tree is walked by the one who tests."""
    runs, looks = (NOBODY if word == "nobody" else os.geteuid() for word in request.param.split(" by "))
    daemon = make_daemon(runs)
    daemon.directory.chmod(0o755)
    daemon.start()
    add_parents(daemon)
    for parent, kind in ((STORE, STORE_TYPE), (CARD, "nvme-rest")):
        daemon.rpc("mdev.start", uuid=new_uuid(), parent=parent, type=kind, group=GROUP)
    daemon.rpc("mdev.start", uuid=new_uuid(), parent=PLAIN, type=PLAIN_TYPE)
    with Hands(looks) as hands:
        top = str(tree_of(daemon) / "sys")
        kinds = {stat.S_IFREG: [], stat.S_IFDIR: [top], stat.S_IFLNK: []}
        for path in hands.walk(top):
            kinds[stat.S_IFMT(hands.status(path)["mode"])].append(path)
        assert len(kinds[stat.S_IFREG]) > 160
        yield Stage(daemon, hands, top, looks in (0, runs), *kinds.values())


def expected_mode(path: str) -> int:
    """What the documentation says of a file."""
    short = "/".join(path.split("/")[-2:])
    if path.rpartition("/")[2] in WRITE_ONLY:
        return 0o200
    if short in (f"{GROUP}/cap", f"{GROUP}/weight"):
        return 0o644
    return 0o644 if short in BOTH or path.endswith("/uevent") else 0o444


def rights(stage: Stage, path: str) -> tuple:
    """(may read, may write)."""
    mode = expected_mode(path)
    return (bool(mode & (0o400 if stage.owner else 0o004)), bool(mode & (0o200 if stage.owner else 0o002)))


def picture(daemon) -> tuple:
    """Active mdevs with their attributes, free instances, and sockets."""
    mdevs = daemon.rpc("mdev.list", statistics=False)["mdevs"]
    types = [(row["parent"], row["id"], row["available_instances"]) for row in daemon.rpc("type.list")["types"]]
    return mdevs, types, sorted(path.name for path in (daemon.root / "run/umdev/mdevs").iterdir())


def check(found: dict) -> None:
    """Fails with all differences of {what: (is, should be)}."""
    wrong = [f"{what}: {value!r}, not {wanted!r}" for what, (value, wanted) in found.items() if value != wanted]
    assert not wrong, "\n".join(wrong)


def test_status(stage):
    """Modes, sizes and owners."""
    found = {}
    for path in stage.files:
        status = stage.hands.status(path)
        size = 256 if path.endswith("/config") else 4096
        found[path] = ((oct(stat.S_IMODE(status["mode"])), status["size"], status["uid"], status["links"]),
                       (oct(expected_mode(path)), size, stage.daemon.uid, 1))
    for path in stage.directories:
        status = stage.hands.status(path)
        found[path] = (oct(stat.S_IMODE(status["mode"])), oct(0o755))
    check(found)


def test_links(stage):
    """Every link is relative and leads to something in the tree."""
    assert len(stage.links) > 25
    for path in stage.links:
        assert stage.hands.readlink(path).startswith("../"), path
        target = stage.hands.realpath(path)
        assert target.startswith(stage.sys + "/") and stage.hands.exists(target), f"{path} leads to {target}"


def test_open(stage):
    """Ways to open by file: a mode that does not allow it is EACCES, for root too."""
    before = picture(stage.daemon)
    found = {}
    for path in stage.files:
        reads, writes = rights(stage, path)
        for name, flags, allowed in (
                ("O_RDONLY", os.O_RDONLY, reads), ("O_WRONLY", os.O_WRONLY, writes),
                ("O_RDWR", os.O_RDWR, reads and writes), ("O_WRONLY|O_TRUNC", os.O_WRONLY | os.O_TRUNC, writes),
                ("O_RDWR|O_TRUNC", os.O_RDWR | os.O_TRUNC, reads and writes),
                ("O_WRONLY|O_APPEND", os.O_WRONLY | os.O_APPEND, writes),
                ("O_WRONLY|O_CREAT", os.O_WRONLY | os.O_CREAT, writes),
                ("O_WRONLY|O_CREAT|O_TRUNC", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, writes),
                ("O_RDONLY|O_CREAT", os.O_RDONLY | os.O_CREAT, reads)):
            found[f"{path} {name}"] = (stage.hands.errno("try_open", path, flags), "" if allowed else "EACCES")
        found[f"{path} O_EXCL"] = (stage.hands.errno("try_open", path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "EEXIST")
        found[f"{path} O_DIRECTORY"] = (stage.hands.errno("try_open", path, os.O_RDONLY | os.O_DIRECTORY), "ENOTDIR")
        found[f"{path} R_OK"] = (stage.hands.access(path, os.R_OK), reads)
        found[f"{path} W_OK"] = (stage.hands.access(path, os.W_OK), writes)
    check(found)
    assert picture(stage.daemon) == before


def test_size_is_not_changed(stage):
    """truncate() of what may be written succeeds and changes nothing."""
    before = picture(stage.daemon)
    found = {}
    for path in stage.files:
        allowed = rights(stage, path)[1]
        for size in (0, 1, 1 << 20):
            found[f"{path} to {size}"] = (stage.hands.errno("truncate", path, size), "" if allowed else "EACCES")
        found[f"{path} size"] = (stage.hands.status(path)["size"], 256 if path.endswith("/config") else 4096)
        if allowed:
            fd = stage.hands.open(path, os.O_WRONLY)
            found[f"{path} ftruncate"] = (stage.hands.errno("ftruncate", fd, 0), "")
            found[f"{path} nothing written"] = (stage.hands.write(fd, ""), 0)
            stage.hands.close(fd)
    check(found)
    assert picture(stage.daemon) == before


def test_content(stage):
    """What can be read is one text that ends with its line, whole and in pieces."""
    for path in stage.files:
        if not rights(stage, path)[0]:
            continue
        whole = stage.hands.get(path)
        if path.endswith("/config"):
            assert len(whole) == 256
        elif whole:
            assert whole.endswith("\n") and "\0" not in whole, path
        else:
            assert path.endswith("/uevent")
        fd = stage.hands.open(path, os.O_RDONLY)
        pieces = ""
        while piece := stage.hands.read(fd, 7):
            pieces += piece
        assert stage.hands.pread(fd, 4096, 3) == pieces[3:] and stage.hands.pread(fd, 10, 5000) == "", path
        stage.hands.close(fd)
        if not path.endswith("_ns"):
            assert pieces == whole, path


def test_nothing_else_can_be_changed(stage):
    """No name can be made, moved or removed, no mode or owner changed: EPERM for the owner, EACCES for others."""
    no = "EPERM" if stage.owner else "EACCES"
    hands = stage.hands
    before = hands.walk(stage.sys)
    found = {}
    for path in stage.directories:
        new = f"{path}/new"
        found[f"{path} open"] = (hands.errno("try_open", new, os.O_WRONLY | os.O_CREAT), "EACCES")
        found[f"{path} open exclusively"] = (hands.errno("try_open", new, os.O_RDWR | os.O_CREAT | os.O_EXCL), "EACCES")
        found[f"{path} mkdir"] = (hands.errno("mkdir", new), no)
        found[f"{path} symlink"] = (hands.errno("symlink", "target", new), no)
        found[f"{path} mkfifo"] = (hands.errno("mknod", new, stat.S_IFIFO | 0o600), no)
        found[f"{path} missing"] = (hands.errno("try_open", new, os.O_RDONLY), "ENOENT")
        found[f"{path} write"] = (hands.errno("try_open", path, os.O_WRONLY), "EISDIR")
        if path != stage.sys:
            found[f"{path} rmdir"] = (hands.errno("rmdir", path), no)
            found[f"{path} rename"] = (hands.errno("rename", path, f"{path}-new"), no)
    for path in stage.files + stage.links:
        found[f"{path} unlink"] = (hands.errno("unlink", path), no)
        found[f"{path} rename"] = (hands.errno("rename", path, f"{path}-new"), no)
    for path in stage.files:
        found[f"{path} link"] = (hands.errno("link", path, f"{path}-new"), no)
        found[f"{path} chmod"] = (hands.errno("chmod", path, 0o666), "EPERM")
        found[f"{path} chown"] = (hands.errno("chown", path, 1, 1), "EPERM")
    check(found)
    assert hands.walk(stage.sys) == before
