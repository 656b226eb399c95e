# SPDX-License-Identifier: BSD-3-Clause
"""The tree as a shell script uses it: the example of the documentation, and what a shell sees of an error."""

import os
import re
import subprocess

import pytest

from umdevtest.daemon import NOBODY, TOP, as_user, new_uuid, program
from umdevtest.tree import CARD, PLAIN, PLAIN_TYPE, STORE, STORE_TYPE, add_parents, tree_of

SEQUENCE = TOP / "docs/examples/2016-sequence.sh"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def dash(daemon, text: str, *arguments, uid=None):
    """Runs a text in dash, in the daemon's directory."""
    command = as_user(daemon.uid if uid is None else uid) + ["dash", "-c", text, "dash", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/",
                          stdin=subprocess.DEVNULL)


@pytest.fixture(name="parents")
def fixture_parents(daemon):
    """A daemon with three parents, whose tree is where it mounts it."""
    add_parents(daemon)
    return daemon


@pytest.mark.parametrize("parent", [STORE, CARD])
def test_sequence(parents, parent):
    """Everything a guest's owner did by hand in 2016, with a client that uses the drive in between."""
    perf = program("umdev-perf", parents.bindir)
    done = dash(parents, SEQUENCE.read_text(), tree_of(parents) / "sys", parent, STORE_TYPE, perf, "--json", "--count",
                "500", "--rw", "randrw", "--verify", "--socket")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line and line[0].isalpha()]
    assert lines[0] == "umdev NVMe 16 MiB: class storage, vfio-pci, 4 of 4 available"
    assert re.fullmatch(f"created {UUID}, 3 available", lines[1])
    assert lines[2:6] == ["cap 50", "weight 200", "priority 0", "serial SEQUENCE-2016"]
    assert int(re.fullmatch("jobs ([0-9]+)", lines[6])[1]) >= 500
    assert lines[7:] == ["removed, 4 available"]
    assert parents.rpc("mdev.list")["mdevs"] == []


def test_sequence_without_use(parents):
    """A type without knobs and attributes of a driver; no client."""
    done = dash(parents, SEQUENCE.read_text(), tree_of(parents) / "sys", PLAIN, PLAIN_TYPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "removed, 16 available"


def test_sequence_cleans_up(parents):
    """Where the use fails, the device goes all the same."""
    done = dash(parents, SEQUENCE.read_text(), tree_of(parents) / "sys", STORE, STORE_TYPE, "false")
    assert done.returncode == 1
    assert parents.rpc("mdev.list")["mdevs"] == []


def test_sequence_at_sys(scene):
    """The same where the tree stands at /sys."""
    done = scene.run("dash", "-c", SEQUENCE.read_text(), "dash", "/sys", STORE, STORE_TYPE)
    assert (done.rc, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "removed, 4 available"


def test_errors_reach_the_shell(parents):
    """A write that fails makes the command fail, and tee says why."""
    types = tree_of(parents) / f"sys/class/mdev_bus/{STORE}/mdev_supported_types/{STORE_TYPE}"
    ident = new_uuid()
    done = dash(parents, 'echo "$1" >"$2/create" && echo "$1" | tee "$2/create"', ident, types)
    assert done.returncode == 1 and "File exists" in done.stderr
    done = dash(parents, 'echo none | tee "$1/create"', types)
    assert done.returncode == 1 and "Invalid argument" in done.stderr
    done = dash(parents, 'echo 1 >"$1/available_instances"', types)
    assert done.returncode != 0 and "Permission denied" in done.stderr
    done = dash(parents, 'cat "$1/create"', types)
    assert done.returncode == 1 and "Permission denied" in done.stderr
    done = dash(parents, 'printf %s "$1" >"$2/devices/$1/remove" && cat "$2/devices/$1/uevent"', ident, types)
    assert done.returncode == 1 and "Invalid argument" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_others_read_roots_tree(make_daemon):
    """Everybody sees root's tree, as everybody sees sysfs, and changes nothing in it."""
    daemon = make_daemon()
    daemon.directory.chmod(0o755)
    daemon.start()
    add_parents(daemon)
    types = tree_of(daemon) / f"sys/class/mdev_bus/{STORE}/mdev_supported_types/{STORE_TYPE}"
    done = dash(daemon, 'cat "$1/available_instances"; ls "$1"', types, uid=NOBODY)
    assert done.returncode == 0 and done.stdout.startswith("4\n") and "create" in done.stdout
    done = dash(daemon, 'echo "$1" | tee "$2/create"', new_uuid(), types, uid=NOBODY)
    assert done.returncode == 1 and "Permission denied" in done.stderr
    assert daemon.rpc("mdev.list")["mdevs"] == []
