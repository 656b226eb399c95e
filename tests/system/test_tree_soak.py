# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of mdevs made and removed through the tree by four writers at once: none lost, no wrong errno, no leak.

UMDEV_SOAK   how many mdevs are made, 2000 by default
"""

import json
import os
import subprocess
import sys
import time

from umdevtest import process, wait_for
from umdevtest.daemon import SANITIZED, as_user, new_uuid
from umdevtest.tree import CARD, PLAIN, STORE, add_parents, tree_of

COUNT = int(os.environ.get("UMDEV_SOAK") or 2000)
WRITERS = 4
WARM_UP = 2200  # fills the ring of events that the daemon keeps, too
LIMIT_S = 600
PLACES = [(PLAIN, "null-basic"), (STORE, "nvme-16m"), (CARD, "nvme-16m"), (STORE, "nvme-32m")]
CALM = 10  # looks
# Growth that is no leak: a heap that settles (0.8 MiB after 10 000 mdevs, 0.9 after 40 000).
GROWTH_KIB = 1024

WRITER = r"""
import errno, json, os, random, sys
task = json.loads(sys.argv[1])
rng = random.Random(task["seed"])
found = {}
held = []

def note(what, error=None):
    name = what + " " + (errno.errorcode[error] if error else "ok")
    found[name] = found.get(name, 0) + 1

def put(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)

def there(ident):
    return os.path.exists(task["sys"] + "/bus/mdev/devices/" + ident + "/mdev_type/create")

def create(ident, kind):
    parent, name = rng.choice(task["places"])
    try:
        put(task["sys"] + "/class/mdev_bus/" + parent + "/mdev_supported_types/" + name + "/create", ident)
    except OSError as error:
        note(kind + " create", error.errno)
        return False
    note(kind + " create")
    return True

def remove(ident, kind):
    try:
        put(task["sys"] + "/bus/mdev/devices/" + ident + "/remove", rng.choice(["1", "1\n", "0x1"]))
    except OSError as error:
        note(kind + " remove", error.errno)
        return
    note(kind + " remove")
    if kind == "own" and os.path.lexists(task["sys"] + "/bus/mdev/devices/" + ident):
        note("own left")

def drop():
    ident = held.pop(rng.randrange(len(held)))
    if not there(ident):
        note("own lost")
    remove(ident, "own")

left = task["count"]
while left > 0:
    if rng.random() < 0.1:
        left -= create(task["shared"], "shared")
        remove(task["shared"], "shared")
        continue
    ident = "%08x-%04x-%04x-%04x-%012x" % tuple(rng.getrandbits(bits) for bits in (32, 16, 16, 16, 48))
    if create(ident, "own"):
        left -= 1
        held.append(ident)
        if not there(ident):
            note("own lost")
    elif held:
        drop()
    if len(held) > 3:
        drop()
while held:
    drop()
print(json.dumps(found))
"""

# What a writer may find, and how much of it is needed for the test to have tested anything.
LEGAL = {"own create ok", "own create EUSERS", "own remove ok", "shared create ok", "shared create EEXIST",
         "shared create EUSERS", "shared remove ok", "shared remove ENOENT", "shared remove ENODEV"}


def run_writers(daemon, count: int, seed: int) -> dict:
    """Lets the writers make @count mdevs together; what they found, in sum."""
    shared = new_uuid()
    writers = []
    for number in range(WRITERS):
        task = {"seed": seed + number, "sys": str(tree_of(daemon) / "sys"), "places": PLACES, "shared": shared,
                "count": count // WRITERS}
        command = as_user(daemon.uid) + [sys.executable, "-c", WRITER, json.dumps(task)]
        writers.append(subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True))
    found = {}
    deadline = time.monotonic() + LIMIT_S
    try:
        for writer in writers:
            out, errors = writer.communicate(timeout=max(1, deadline - time.monotonic()))
            assert writer.returncode == 0, errors
            for name, times in json.loads(out).items():
                found[name] = found.get(name, 0) + times
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    return found


def holdings(daemon) -> dict:
    """Of each process of the daemon: (descriptors, resident KiB)."""
    pids = {daemon.pid, *process.children(daemon.pid)}
    pids |= {child for pid in list(pids) for child in process.children(pid)}
    return {(pid, command_of(pid)): (len(process.descriptors(pid)), process.resident_kib(pid)) for pid in pids}


def settled_holdings(daemon) -> dict:
    """The same, when watchers of the last changes have been told: descriptors stay what they are for a while."""
    last = []

    def calm():
        found = holdings(daemon)
        last.append({key: descriptors for key, (descriptors, _) in found.items()})
        return found if last[-CALM:] == last[-1:] * CALM else None

    return wait_for(calm, "descriptors that do not come and go", 20, 0.02)


def command_of(pid: int) -> str:
    """The name of a program that runs."""
    with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()


def test_soak(daemon, user):
    add_parents(daemon)
    daemon.rpc("mdev.list")  # a connection that stays
    run_writers(daemon, WARM_UP, 1)
    before = settled_holdings(daemon)
    start = time.monotonic()
    found = run_writers(daemon, COUNT, 1000)
    spent = time.monotonic() - start
    print(f"user {user}: {COUNT} mdevs in {spent:.1f} s: {found}")
    assert set(found) <= LEGAL, found
    assert found["own create ok"] == found["own remove ok"] > COUNT * 0.8
    assert found["own create EUSERS"] and found["shared create ok"], "writers got in each other's way"
    # Nothing is left, and all of every pool is free again.
    assert daemon.rpc("mdev.list")["mdevs"] == []
    free = {(row["parent"], row["id"]): (row["available_instances"], row["max_instances"])
            for row in daemon.rpc("type.list")["types"]}
    assert all(available == most for available, most in free.values()), free
    assert not list((daemon.root / "run/umdev/mdevs").iterdir())
    after = settled_holdings(daemon)
    print({key: (before[key], after.get(key)) for key in before})
    assert set(after) == set(before), "a process died and was replaced"
    grown = {key: tuple(now - then for now, then in zip(after[key], before[key])) for key in before}
    assert all(descriptors == 0 for descriptors, _ in grown.values()), grown
    # A sanitizer keeps what was freed for a while.
    assert SANITIZED or all(kib <= GROWTH_KIB for _, kib in grown.values()), grown
