# SPDX-License-Identifier: BSD-3-Clause
"""umdevctl called as mdevctl and as lsmdev, as libvirt and scripts call those."""

import json
import os
import subprocess
import uuid

import pytest

from umdevtest import wait_for
from umdevtest.daemon import COMMAND_LIMIT_S, Result, as_user, new_uuid, program
from umdevtest.mdevctl import HostMdevctl, NewMdevctl

U = "976d8cc2-4bfc-43b9-b9f9-f4af2de91ab9"

# Command lines whose words alone decide whether they are accepted, in 1.2.0 as in 1.4.
FORMS = [line.format(u=U) for line in """
list
list --dumpjson --defined
list -dv
list -d -u {u}
list -du{u}
list -u={u}
list --uuid={u} --parent=x
list --uuid bad
list --uuid
list --uu {u}
list extra
list -- x
list --frob
list --dumpjson=1
list -u {u} -u {u}
list -V
list --version
list --help
-V
--version
--help
-h
help
help list
help frob
frob
types
types --dumpjson -p x
types --parent=x
types -p
types -d
define
define -p x
define -u {u}
define --jsonfile /dev/null
define --jsonfile /dev/null -p x
define --jsonfile /dev/null -p x -t y
define --jsonfile /dev/null -p x -a
define --jsonfile=/dev/stdin --parent=x
start
start -p x
start -u {u}
start -p x -t y
start --parent=x --jsonfile=/dev/stdin --uuid={u}
start --jsonfile /nonexistent -p x
start --jsonfile /dev/stdin -t y -p x
start --jsonfile /dev/stdin
start -a -p x
stop
stop --uuid={u}
stop -p x -u {u}
undefine
undefine --uuid={u} --parent=x
modify
modify --auto
modify --uuid {u} --auto
modify --uuid {u} --manual
modify --uuid {u} --auto --manual
modify --uuid {u} --type t --auto
modify --uuid {u} --addattr a
modify --uuid {u} --addattr a --value v
modify --uuid {u} --addattr a --value v --delattr
modify --uuid {u} --delattr
modify --uuid {u} --delattr -i 0
modify --uuid {u} --delattr -i x
start-parent-mdevs
start-parent-mdevs x
start-parent-mdevs x extra
start-parent-mdevs --help
""".split("\n") if line]

# What 1.2.0 does not know. Of what 1.4 refuses, we take --auto and --manual together with a change of
# the attributes, as 1.2.0 does.
NEW_FORMS = [line.format(u=U) for line in """
modify --uuid {u}
modify --uuid {u} --type t
modify --uuid {u} -i 0
modify --uuid {u} --value v
modify --uuid {u} --value v --delattr
modify --uuid {u} --jsonfile /nonexistent
modify --uuid {u} --jsonfile /nonexistent -p x
modify --uuid {u} --jsonfile /nonexistent --auto
modify --uuid {u} --jsonfile /nonexistent --type t
modify --uuid {u} --jsonfile /nonexistent -i 0
modify --uuid {u} --jsonfile /nonexistent --live
modify --uuid {u} --jsonfile /nonexistent -p x --live --defined
modify --uuid {u} --live
modify --uuid {u} --defined --auto
modify --uuid {u} --defined
modify --uuid {u} --auto --force
modify --defined --live --jsonfile b --help
start --parent=x -t y -f
define --parent=x -t y -f --jsonfile /dev/null
stop --uuid={u} --force
undefine --uuid={u} -f
""".split("\n") if line]


class Called:
    """The program in a directory of its own under other names."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.bin = daemon.directory / "names"
        self.bin.mkdir()
        for name in ("mdevctl", "lsmdev"):
            (self.bin / name).symlink_to(program("umdevctl", daemon.bindir))

    def run(self, *words, stdin: str = None) -> Result:
        """Runs a command line that is found in PATH."""
        environment = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}", UMDEV_ROOT=str(self.daemon.root))
        done = subprocess.run(as_user(self.daemon.uid) + ["env", *map(str, words)], input=stdin, capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL if stdin is None else None,
                              timeout=COMMAND_LIMIT_S, env=environment, cwd="/")
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *words, **keywords) -> str:
        """Runs one that must succeed."""
        result = self.run(*words, **keywords)
        assert result.rc == 0 and result.err == "", result
        return result.out


@pytest.fixture
def called(store):
    """The names, and a daemon with a parent."""
    return Called(store)


def test_as_libvirt_calls_it(called, store):
    """The command lines of libvirt's node-device driver, from its first to its last."""
    described = json.dumps({"mdev_type": "nvme-16m", "start": "manual", "attrs": [{"mdev/weight": "200"}]},
                           separators=(",", ":"))
    assert called.ok("mdevctl", "list", "--dumpjson", "--defined") == "[]"
    defined = called.ok("mdevctl", "define", "--parent=store", "--jsonfile=/dev/stdin", stdin=described)
    assert defined == f"{uuid.UUID(defined.strip())}\n"
    defined = defined.strip()
    listed = json.loads(called.ok("mdevctl", "list", "--dumpjson", "--defined"))
    assert listed == [{"store": [{defined: json.loads(described)}]}]
    assert called.ok("mdevctl", "modify", "--uuid", defined, "--auto") == ""
    assert store.mdev(defined, defined=True)["start"] == "auto"
    assert called.ok("mdevctl", "modify", "--uuid", defined, "--manual") == ""
    assert called.ok("mdevctl", "start", f"--uuid={defined}") == ""
    assert json.loads(called.ok("mdevctl", "list", "--dumpjson")) == listed
    assert called.run("mdevctl", "modify", "--defined", "--live", "--jsonfile", "b", "--help").rc == 0
    heavy = described.replace("200", "300")
    assert called.ok("mdevctl", "modify", "--parent=store", "--jsonfile=/dev/stdin", f"--uuid={defined}", "--defined",
                     "--live", stdin=heavy) == ""
    assert store.mdev(defined)["attrs"] == store.mdev(defined, defined=True)["attrs"] == [{"mdev/weight": "300"}]
    assert called.ok("mdevctl", "stop", f"--uuid={defined}") == ""
    assert called.ok("mdevctl", "undefine", f"--uuid={defined}") == ""

    made = called.ok("mdevctl", "start", "--parent=store", "--jsonfile=/dev/stdin", stdin=described).strip()
    assert store.mdev(made)["attrs"] == [{"mdev/weight": "200"}]
    mine = new_uuid()
    assert called.ok("mdevctl", "start", "--parent=store", "--jsonfile=/dev/stdin", f"--uuid={mine}",
                     stdin=described) == ""
    assert called.ok("mdevctl", "define", "--parent=store", "--jsonfile=/dev/stdin", f"--uuid={mine}",
                     stdin=described) == ""
    for ident in (made, mine):
        called.ok("mdevctl", "stop", f"--uuid={ident}")


def test_errors(called):
    """On standard error, under the name it was called by; 1 for what fails, 2 for what is said wrongly."""
    result = called.run("mdevctl", "start", f"--uuid={U}")
    assert result.rc == 1 and result.out == "" and result.err.startswith("mdevctl: ") and U in result.err
    result = called.run("mdevctl", "start", "--parent=nobody", "--jsonfile=/dev/stdin",
                        stdin='{"mdev_type":"x","start":"manual"}')
    assert result.rc == 1 and "Unable to find parent device 'nobody'" in result.err
    result = called.run("mdevctl", "stop")
    assert result.rc == 2 and result.out == "" and "'mdevctl help stop'" in result.err
    result = called.run("lsmdev", "x")
    assert result.rc == 2 and result.err.startswith("lsmdev: ")


def test_names(called, store):
    """Versions and help say who is called; lsmdev is list."""
    version = store.ok("--version").split()
    assert version[0] == "umdevctl"
    assert called.ok("mdevctl", "--version") == f"mdevctl 1.4.0 (umdevctl {version[1]})\n"
    assert called.ok("mdevctl", "list", "-V") == called.ok("mdevctl", "-V")
    assert called.ok("lsmdev", "--version").startswith("lsmdev 1.4.0 ")
    assert store.ctl("list", "-V").rc == 2
    assert "usage: mdevctl list " in called.ok("mdevctl", "help", "list")
    assert "usage: lsmdev [OPTION]" in called.ok("lsmdev", "--help")
    ident = called.ok("mdevctl", "define", "-p", "store", "-t", "nvme-16m", "-a").strip()
    called.ok("mdevctl", "start", "-u", ident)
    assert called.ok("lsmdev") == store.ok("list") == f"{ident} store nvme-16m auto (defined)\n"
    for options in (["-d"], ["-dv"], ["--defined", "--dumpjson"], ["-u", ident, "--dumpjson"], ["--parent=other"]):
        assert called.ok("lsmdev", *options) == store.ok("list", *options)
    # What mdevctl does not know stands under umdevctl's own name only.
    said = store.ok("list", "-pstore", "-v")
    assert "  Socket: " in said and called.ok("lsmdev", "-pstore", "-v") == said[:said.index("  Socket: ")]
    # Not by a name that only begins or ends so.
    (called.bin / "xmdevctl").symlink_to(called.bin / "mdevctl")
    assert called.ok("xmdevctl", "--version").startswith("umdevctl ")
    assert called.ok(called.bin / "mdevctl", "--version").startswith("mdevctl ")


def test_udev_rule(called, store):
    """The hidden verb of mdevctl's rule."""
    ident = called.ok("mdevctl", "define", "-p", "store", "-t", "nvme-16m", "-a").strip()
    assert called.ok("mdevctl", "start-parent-mdevs", "store") == ""
    assert store.mdev(ident)["state"] == "active"
    assert called.ok("mdevctl", "start-parent-mdevs", "store") == ""
    store.ok("start", "-p", "store", "-t", "nvme-rest")
    late = called.ok("mdevctl", "define", "-p", "store", "-t", "nvme-16m", "-a").strip()
    result = called.run("mdevctl", "start-parent-mdevs", "store")
    assert result.rc == 0 and result.out == ""
    assert late in result.err and ident not in result.err and "No available instances" in result.err


def test_callouts_under_that_name(called, store):
    """As under its own."""
    path = store.root / "etc/mdevctl.d/scripts.d/callouts/refuse.sh"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    path.chmod(0o755)
    result = called.run("mdevctl", "start", "-p", "store", "-t", "nvme-16m")
    assert result.rc == 1 and "refuse.sh" in result.err
    wait_for(lambda: not store.rpc("mdev.list")["mdevs"], "nothing to be active")


@pytest.mark.parametrize("version", ["host", "new"])
def test_the_same_is_refused(user, make_scene, make_daemon, new_mdevctl_base, version):
    """The real program and ours agree about what is a wrong command line."""
    if version == "host":
        real = HostMdevctl(make_scene(user))
    else:
        daemon = make_daemon(user)
        daemon.start()
        real = NewMdevctl(new_mdevctl_base, daemon)
    called = Called(real.daemon)
    forms = FORMS + (NEW_FORMS if version == "new" else [])
    wrong, refused = [], 0
    for form in forms:
        theirs, ours = real.run(*form.split()), called.run("mdevctl", *form.split())
        refused += ours.rc == 2
        if (theirs.rc == 2) != (ours.rc == 2):
            wrong.append((form, theirs.rc, ours.rc))
    assert not wrong, "command line, what mdevctl says, what we say"
    assert 20 < refused < len(forms) - 20
