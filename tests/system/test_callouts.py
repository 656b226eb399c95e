# SPDX-License-Identifier: BSD-3-Clause
"""mdevctl's callouts and notifiers around the commands of umdevctl."""

import json
import os
import signal
import subprocess

import pytest

from conftest import add_store
from umdevtest import process, wait_for
from umdevtest.daemon import as_user, new_uuid, program

USR, ETC = "usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d"
RECORD = """#!/bin/sh
input=$(cat)
echo "$(basename "$0") $*|$input" >> "{log}"
"""


class Scripts:
    """Scripts below a daemon's root, and what they noted about their calls."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.log = daemon.directory / "calls"

    def add(self, name: str, body: str = "", kind: str = "callouts", base: str = ETC, mode: int = 0o755) -> None:
        """A script that notes how it was called, then does @body."""
        path = self.daemon.root / base / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORD.format(log=self.log) + body + "\n", encoding="utf-8")
        path.chmod(mode)

    def versioned(self, name: str, actions: str, events: str, body: str = "", **keywords) -> None:
        """A script that says what it can do."""
        supports = json.dumps({"supports": {"version": 2, "actions": actions.split(), "events": events.split()}})
        self.add(name, f"""case $* in *"-e get -a capabilities"*) echo '{supports}'; exit 0;; esac\n{body}""", **keywords)

    def calls(self) -> list:
        """(script, event, action, state, uuid, parent, type, input) of every call but the questions; forgets them."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []:
            words, _, given = line.partition("|")
            name, t, kind, e, event, a, action, s, state, u, ident, p, parent = words.split(" ")
            assert (t, e, a, s, u, p) == ("-t", "-e", "-a", "-s", "-u", "-p"), line
            if (event, action) == ("get", "capabilities"):
                provides = json.loads(given)["provides"]
                assert provides["version"] == 2 and {"start", "capabilities"} <= set(provides["actions"])
                continue
            found.append((name, event, action, state, ident, parent, kind, given))
        self.log.unlink(missing_ok=True)
        return found

    def flow(self) -> list:
        """The same in short: "script event action state"."""
        return [" ".join(call[:4]) for call in self.calls()]


@pytest.fixture
def scripts(store):
    """No scripts yet."""
    return Scripts(store)


def definition(start="manual", kind="nvme-16m", attrs=()) -> dict:
    """What a callout gets to read."""
    return {"mdev_type": kind, "start": start, "attrs": [{name: value} for name, value in attrs]}


def test_every_command(store, scripts):
    """Arguments, order, states and definitions; the UUID is there before the mdev is."""
    scripts.add("vendor.sh")
    scripts.add("tell.sh", kind="notifiers", base=USR)

    def expect(action, *changes, ident, state="success", given=None, kind="nvme-16m"):
        calls = scripts.calls()
        assert [call[:4] for call in calls] == [
            ("vendor.sh", "pre", action, "none"), ("vendor.sh", "post", action, state),
            ("tell.sh", "notify", action, state)], calls
        assert {call[4:7] for call in calls} == {(ident, "store", kind)}
        assert calls[0][7] == calls[1][7] and ": " not in calls[0][7], "the definition is not compact"
        assert json.loads(calls[0][7]) == given
        assert calls[2][7] == ""
        assert not changes

    ident = store.ok("define", "-p", "store", "-t", "nvme-16m", "--attr", "mdev/weight=200").strip()
    expect("define", ident=ident, given=definition(attrs=[("mdev/weight", "200")]))
    store.ok("modify", "-u", ident, "--addattr", "nvme/serial", "--value", "S1", "-i", "0")
    attrs = [("nvme/serial", "S1"), ("mdev/weight", "200")]
    expect("modify", ident=ident, given=definition(attrs=attrs))
    store.ok("modify", "-u", ident, "--delattr", "-i", "0")
    expect("modify", ident=ident, given=definition(attrs=attrs[1:]))
    store.ok("modify", "-u", ident, "--auto", "-t", "nvme-32m")
    expect("modify", ident=ident, kind="nvme-32m",
           given=definition("auto", kind="nvme-32m", attrs=attrs[1:]))
    store.ok("modify", "-u", ident, "-p", "store", "--jsonfile", "/dev/stdin", stdin=json.dumps(definition()))
    expect("modify", ident=ident, given=definition())
    store.ok("start", "-u", ident)
    expect("start", ident=ident, given=definition())
    store.ok("stop", "-u", ident)
    expect("stop", ident=ident, given=definition())
    store.ok("undefine", "-u", ident)
    expect("undefine", ident=ident, given=definition())

    for verb in ("start", "define"):
        result = store.ctl(verb, "-t", "nvme-16m", "--attr", "mdev/weight=200", "--place", "pack", "--min-share", "12.5")
        assert result.rc == 0 and result.err == "umdevctl: placed on store, of 1 parent by pack: 200 / 200 = 100 %\n"
        ident = result.out.strip()
        expect(verb, ident=ident, given=definition(attrs=[("mdev/weight", "200"), ("mdev/min_share", "12.5")]))
        assert store.mdev(ident, defined=verb == "define")["attrs"][1] == {"mdev/min_share": "12.5"}
        store.ok("stop" if verb == "start" else "undefine", "-u", ident)
        scripts.calls()

    ident = store.ok("define", "-p", "store", "-t", "nvme-16m", "--min-share", "5").strip()
    expect("define", ident=ident, given=definition(attrs=[("mdev/min_share", "5")]))
    store.ok("undefine", "-u", ident)
    scripts.calls()

    ident = store.ok("start", "-p", "store", "--type-name", "umdev NVMe 16 MiB").strip()
    expect("start", ident=ident, given=definition())
    store.ok("define", "-u", ident, "-a")
    expect("define", ident=ident, given=definition("auto"))
    store.ok("stop", "-u", ident)
    scripts.calls()
    ident = store.ok("start", "--parent=store", "--jsonfile=/dev/stdin", stdin=json.dumps(definition())).strip()
    expect("start", ident=ident, given=definition())


def test_first_that_knows_the_type(scripts, store):
    """usr before etc, by name; status 2 means the next one; notifiers all, by name."""
    scripts.add("20-mine", base=USR)
    scripts.add("10-other", "exit 2", base=USR)
    scripts.add("00-late")
    scripts.add("z", kind="notifiers", base=USR)
    scripts.add("b", "exit 1", kind="notifiers")
    scripts.add("a", "exit 2", kind="notifiers")
    ident = store.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    assert scripts.flow() == ["10-other pre define none", "20-mine pre define none", "20-mine post define success",
                              "z notify define success", "a notify define success", "b notify define success"]
    (store.root / USR / "callouts/20-mine").unlink()
    store.ok("undefine", "-u", ident)
    assert scripts.flow()[:3] == ["10-other pre undefine none", "00-late pre undefine none",
                                  "00-late post undefine success"]
    scripts.add("00-late", "exit 2")
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    assert scripts.flow()[:4] == ["10-other pre define none", "00-late pre define none",
                                  "10-other post define success", "00-late post define success"]


def test_a_callout_refuses(scripts, store):
    """Nothing is done, the error names the script, --force goes on."""
    scripts.add("vendor.sh", 'echo "no such luck" >&2; exit 3')
    scripts.add("tell", kind="notifiers")
    ident = new_uuid()
    for words in (("define", "-u", ident, "-p", "store", "-t", "nvme-16m"),
                  ("start", "-u", ident, "-p", "store", "-t", "nvme-16m")):
        result = store.ctl(*words)
        assert result.rc == 1 and result.out == ""
        said = result.err.splitlines()
        assert said[0] == "vendor.sh: no such luck" and len(said) == 2
        assert f"{ETC}/callouts/vendor.sh" in said[1] and "status 3" in said[1] and "--force" in said[1]
        assert scripts.flow() == [f"vendor.sh pre {words[0]} none", f"tell notify {words[0]} none"]
    assert not store.rpc("mdev.list", all=True)["mdevs"]
    result = store.ctl("--json", "start", "-u", ident, "-p", "store", "-t", "nvme-16m")
    assert json.loads(result.err.splitlines()[-1])["error"]["word"] == "NOT_PERMITTED"
    scripts.calls()
    for words in (("define", "-p", "store", "-t", "nvme-16m"), ("start",), ("stop",), ("modify", "--auto"),
                  ("undefine",)):
        result = store.ctl(*words, "-u", ident, "--force")
        assert result.rc == 0 and "goes on" in result.err and "vendor.sh" in result.err, result
        assert scripts.flow() == [f"vendor.sh pre {words[0]} none", f"vendor.sh post {words[0]} success",
                                  f"tell notify {words[0]} success"]


def test_after_the_command(scripts, store):
    """What post says changes nothing; a command that failed is told of as such."""
    scripts.add("vendor.sh", 'case $* in *"-e post"*) exit 1;; esac')
    scripts.add("tell", kind="notifiers")
    ident = store.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    scripts.calls()
    result = store.ctl("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    assert result.rc == 1 and "defined already" in result.err
    assert scripts.flow() == ["vendor.sh pre define none", "vendor.sh post define failure",
                              "tell notify define failure"]
    result = store.ctl("start", "-u", new_uuid())
    assert result.rc == 1 and scripts.calls() == [], "nobody knows the type of what is not there"


def test_scripts_that_cannot_be_run(scripts, store):
    """They are skipped with a warning that names them; the others are run."""
    scripts.add("10-plain", mode=0o644)
    scripts.add("20-crash", "kill -9 $$")
    (store.root / ETC / "callouts/30-binary").write_bytes(b"\x7fnothing")
    (store.root / ETC / "callouts/30-binary").chmod(0o755)
    (store.root / ETC / "callouts/40-directory").mkdir()
    scripts.add("50-good")
    scripts.add("plain", kind="notifiers", mode=0o644)
    scripts.add("tell", kind="notifiers")
    result = store.ctl("define", "-p", "store", "-t", "nvme-16m")
    assert result.rc == 0
    said = result.err.splitlines()
    for name in ("10-plain", "20-crash", "30-binary", "40-directory", "notifiers/plain"):
        found = [line for line in said if name in line]
        assert len(found) == 1 and "skipped" in found[0], said
    assert len(said) == 5
    assert [call for call in scripts.flow() if not call.startswith("20-crash")] == [
        "50-good pre define none", "50-good post define success", "tell notify define success"]


def test_a_script_that_says_what_it_can(scripts, store):
    """It alone is asked, and for nothing that it does not list."""
    scripts.add("10-old", "exit 0")
    scripts.versioned("20-new", "define modify", "pre post")
    ident = store.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    assert scripts.flow() == ["20-new pre define none", "20-new post define success"]
    result = store.ctl("start", "-u", ident)
    assert result.rc == 1 and "20-new" in result.err and "does not support pre start" in result.err
    assert store.mdev(ident) is None
    result = store.ctl("start", "-u", ident, "--force")
    assert result.rc == 0 and store.mdev(ident)["state"] == "active"
    assert scripts.calls() == []


def test_live(scripts, store):
    """Only a script that says so takes part in a change of an active mdev."""
    scripts.add("10-old")
    scripts.add("tell", kind="notifiers")
    ident = store.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    store.ok("start", "-u", ident)
    scripts.calls()
    change = ("modify", "-u", ident, "-p", "store", "--jsonfile=/dev/stdin", "--live")
    heavy = definition(attrs=[("mdev/weight", "300")])
    store.ok(*change, stdin=json.dumps(heavy))
    assert scripts.flow() == ["tell notify modify success"]
    assert store.mdev(ident)["attrs"] == heavy["attrs"]

    scripts.versioned("20-new", "define modify start stop", "pre post live")
    heavy = definition(attrs=[("mdev/weight", "400")])
    store.ok(*change, "--defined", stdin=json.dumps(heavy))
    calls = scripts.calls()
    assert [" ".join(call[:4]) for call in calls] == [
        "20-new live modify none", "20-new pre modify none", "20-new post modify success", "tell notify modify success"]
    assert json.loads(calls[0][7]) == heavy
    assert store.mdev(ident)["attrs"] == store.mdev(ident, defined=True)["attrs"] == heavy["attrs"]

    scripts.versioned("20-new", "modify", "live", body="exit 1")
    result = store.ctl(*change, stdin=json.dumps(definition()))
    assert result.rc == 1 and "20-new" in result.err
    assert scripts.flow() == ["20-new live modify none", "tell notify modify none"]
    assert store.mdev(ident)["attrs"] == heavy["attrs"]


def test_undefine_under_several_parents(scripts, store):
    """Each definition has its callouts; one that is refused does not keep the others."""
    add_store(store, name="other")
    ident = new_uuid()
    for parent in ("store", "other"):
        store.ok("define", "-u", ident, "-p", parent, "-t", "nvme-16m")
    scripts.add("vendor.sh", 'case $* in *"-p other"*) exit 1;; esac')
    result = store.ctl("undefine", "-u", ident)
    assert result.rc == 1 and result.err.count("\n") == 1
    calls = scripts.calls()
    assert [(call[1], call[5]) for call in calls] == [("pre", "other"), ("pre", "store"), ("post", "store")]
    assert [mdev["parent"] for mdev in store.rpc("mdev.list", defined=True)["mdevs"]] == ["other"]


def test_much_in_and_out(scripts, store):
    """A script that reads nothing, or says too much, does no harm."""
    attrs = [("mdev/weight", str(100 + n)) for n in range(256)]
    given = json.dumps(definition(attrs=attrs))
    scripts.add("10-deaf", "exit 2")
    path = store.root / ETC / "callouts/10-deaf"
    path.write_text("#!/bin/sh\nexec <&-\nexit 2\n", encoding="utf-8")
    scripts.add("20-loud", "yes line | head -c 3000000; yes oops | head -c 3000000 >&2; exit 0")
    result = store.ctl("define", "-p", "store", "--jsonfile=/dev/stdin", stdin=given)
    assert result.rc == 0
    assert json.loads(scripts.calls()[0][7])["attrs"] == json.loads(given)["attrs"]
    assert len(result.err) < 64 * 1024 and "20-loud: oops" in result.err


def test_interrupted(scripts, store):
    """A signal that ends umdevctl ends the script, too, and nothing is done."""
    started = store.directory / "started"
    scripts.add("vendor.sh", f'case $* in *"-e pre"*) sleep 1000 & echo $$ $! > {started}.new; '
                             f'mv {started}.new {started}; wait;; esac')
    command = as_user(store.uid) + [program("umdevctl", store.bindir), "--root", store.root, "define", "-p", "store",
                                    "-t", "nvme-16m"]
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL) as running:
        wait_for(started.exists, "the script")
        pids = [int(pid) for pid in started.read_text(encoding="utf-8").split()]
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM
    wait_for(lambda: not any(process.start_time(pid) for pid in pids), "end of the script")
    assert not store.rpc("mdev.list", all=True)["mdevs"]


def test_start_parent_mdevs(scripts, store):
    """What mdevctl's udev rule runs: those to start by themselves; what fails is told of and no failure."""
    auto = store.ok("define", "-p", "store", "-t", "nvme-16m", "--auto").strip()
    store.ok("define", "-p", "store", "-t", "nvme-16m")
    bad = store.ok("define", "-p", "store", "-t", "nvme-16m", "--auto", "--attr", "mdev/socket_user=nobody-there").strip()
    running = store.ok("define", "-p", "store", "-t", "nvme-16m", "--auto").strip()
    store.ok("start", "-u", running)
    scripts.add("vendor.sh")
    result = store.ctl("start-parent-mdevs", "store")
    assert result.rc == 0 and result.out == ""
    assert bad in result.err and "nobody-there" in result.err and result.err.count("\n") == 2
    assert {mdev["uuid"] for mdev in store.rpc("mdev.list")["mdevs"]} == {auto, running}
    assert {call[4] for call in scripts.calls()} == {auto, bad}
    assert store.ctl("start-parent-mdevs", "nobody") == (0, "", "")
    assert "start-parent" not in store.ok("help")


def test_run_by_the_caller(scripts, store):
    """Never by the daemon: the script's user is who called."""
    scripts.add("vendor.sh", f"id -u > {store.directory}/who")
    store.directory.chmod(0o777)
    store.control_socket.chmod(0o666)
    for path in (store.root, store.root / "run", store.root / "run/umdev"):
        path.chmod(0o755)
    other = 65533 if os.geteuid() == 0 else os.geteuid()
    result = store.ctl("define", "-p", "store", "-t", "nvme-16m", uid=other)
    assert result.rc == 0, result
    assert (store.directory / "who").read_text(encoding="utf-8").strip() == str(other)
