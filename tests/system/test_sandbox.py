# SPDX-License-Identifier: BSD-3-Clause
"""What a host gave up, what it does under load, and what happens when it does what it may not."""

import errno
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import add_store
from umdevtest import process, wait_for
from umdevtest.daemon import NOBODY, SANITIZED, program
from umdevtest.drivers import with_drivers
from umdevtest.load import Load
from umdevtest.nvme import ready_drive
from umdevtest.serial import Line, Uart
from umdevtest.vfiouser import Client, GuestMemory

pytestmark = pytest.mark.skipif(SANITIZED, reason="hosts that are built with a sanitizer have no sandbox")

NAMES = ("store", "com", "plain")
LOAD_S = 1.5

# As in tests/drivers/trespass.c.
CALLS = ("nothing", "open", "socket", "execve", "ptrace", "fork", "kill", "executable", "chroot", "prctl", "terminal",
         "ring", "thread", "inotify", "file", "stat")
NOTHING_MISSING = {"filesystem": "none", "network": "none", "capabilities": "none", "seccomp": "on", "missing": []}


def add_parents(daemon) -> None:
    """One of each driver that there is."""
    add_store(daemon, size="96M")
    daemon.ok("parent", "add", "com", "--driver", "serial")
    daemon.ok("parent", "add", "plain", "--driver", "null")


def sandbox(daemon, name: str) -> dict:
    """What umdevctl shows of it."""
    (parent,) = json.loads(daemon.ok("parent", "list", name, "--json"))
    return parent["sandbox"]


def shows(report: dict, **wanted) -> None:
    """Whether a report says what is wanted."""
    assert {key: report[key] for key in wanted} == wanted, report


def status(pid: int) -> dict:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def look_into(pid: int) -> Path:
    """The directory of a process, or a skip: only root may look into one that changed its user."""
    if os.geteuid() != 0:
        pytest.skip("only root may look into a host")
    return Path(f"/proc/{pid}")


@pytest.mark.parametrize("name", NAMES)
def test_given_up(daemon, name):
    """No user of its own, no capability, no way to get one, no file, no network, no core: as root, and as nobody."""
    add_parents(daemon)
    place = look_into(daemon.host_pid(name))
    report, seen = sandbox(daemon, name), status(daemon.host_pid(name))
    expected = dict(NOTHING_MISSING, filesystem="/dev/pts" if name == "com" else "none")
    shows(report, **expected, user_namespace=daemon.uid != 0)
    uid = daemon.uid or report["user"]
    assert uid != 0 and seen["Uid"] == [str(uid)] * 4 and seen["Gid"] != ["0"] * 4
    assert daemon.uid != 0 or seen["Groups"] == []
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen[key][0], 16) == 0, key
    assert seen["NoNewPrivs"] == ["1"] and seen["Seccomp"] == ["2"]
    assert {str(path.relative_to(place / "root")) for path in (place / "root").glob("*/*")} <= {"dev/pts"}
    assert os.listdir(place / "root") == (["dev"] if name == "com" else [])
    mounts = [line.split() for line in (place / "mountinfo").read_text(encoding="utf-8").splitlines()]
    assert [mount[4] for mount in mounts] == ["/"] + ["/dev/pts"] * (name == "com")
    assert all(mount[5].split(",")[0] == "ro" for mount in mounts)
    assert re.findall(r"(\w+):", (place / "net/dev").read_text(encoding="utf-8")) == ["lo"]
    for kind in ("net", "mnt", "ipc", "uts"):
        assert os.readlink(place / "ns" / kind) != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert re.search(r"Max core file size +0 +0 ", (place / "limits").read_text(encoding="utf-8"))


def test_descriptors(daemon):
    """What it holds was handed to it, or is nothing that has a name; above all, no directory."""
    add_parents(daemon)
    look_into(daemon.host_pid("store"))
    handed = {"/dev/null", str(daemon.log_path), f"{daemon.directory}/store.img"}
    for name in NAMES:
        named = {text for text in process.descriptors(daemon.host_pid(name)).values() if text.startswith("/")}
        named = {text for text in named if not text.startswith("/memfd:")}
        assert named <= handed, name


def test_needs_are_shown(daemon):
    """Each with its reason, in parent list --json and in the RPC; doctor says what was got."""
    add_parents(daemon)
    needs = {name: {need["name"]: need["reason"] for need in sandbox(daemon, name)["needs"]} for name in NAMES}
    assert set(needs["store"]) == {"files", "disks", "io_uring", "threads"}
    assert set(needs["com"]) == {"streams", "terminals"}
    assert needs["plain"] == {}
    assert all(reason and "\n" not in reason for each in needs.values() for reason in each.values())
    checks = {check["name"]: check for check in daemon.rpc("doctor")["checks"]}
    assert checks["sandbox store"]["status"] == "ok"
    for word in ("filesystem none", "network none", "capabilities none", "seccomp on"):
        assert word in checks["sandbox store"]["detail"]


# ---- under load


def allowed(daemon, name: str) -> set:
    """The system calls that the host of a parent may make."""
    output = subprocess.run([program("umdev-host", daemon.bindir), "--calls"], capture_output=True, text=True,
                            check=True).stdout
    groups = {"every"} | {need["name"] for need in sandbox(daemon, name)["needs"]}
    return {words[1] for words in map(str.split, output.splitlines()) if words[0] in groups}


@contextmanager
def traced(pids: dict, directory: Path):
    """Runs strace on processes; afterwards the result holds the system calls that each made."""
    calls, tracers = {}, {}
    for name, pid in pids.items():
        tracers[name] = subprocess.Popen(  # pylint: disable=consider-using-with
            ["strace", "-f", "-qq", "-o", directory / f"{name}.trace", "-p", str(pid)], stdin=subprocess.DEVNULL)
        wait_for(lambda pid=pid: status(pid)["TracerPid"] != ["0"], f"strace on {name}")
    try:
        yield calls
    finally:
        for tracer in tracers.values():
            tracer.terminate()
            tracer.wait()
    for name in pids:
        text = (directory / f"{name}.trace").read_text(encoding="utf-8", errors="replace")
        calls[name] = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", text, re.M))
        assert "SIGSYS" not in text


def use_serial(daemon, ident: str) -> None:
    """Bytes both ways, and another speed."""
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        uart = Uart(client, 0).open()
        with Line(daemon.mdev(ident)["endpoints"][0]) as line:
            wait_for(uart.carrier, "carrier")
            uart.send(b"to the line")
            assert line.receive(11) == b"to the line"
            line.offer(b"to the guest")
            assert uart.receive(12) == b"to the guest"
            uart.speed(12)


def use_store(daemon, ident: str) -> None:
    """Reads, writes, a flush, a reset, and load on many queues."""
    memory = GuestMemory()
    try:
        nvme = ready_drive(daemon.socket_path(ident), memory)
        nvme.write(0, b"x" * 4096)
        assert nvme.read(0, 4096) == b"x" * 4096
        nvme.ok(1, 0, nsid=1)
        nvme.disable()
        nvme.client.close()
    finally:
        memory.close()
    Load(daemon, ident, LOAD_S, rw="randrw", queues=2, verify=True, mixed=True).result()


def test_system_calls(daemon, tmp_path):
    """Under load, through resets, creation and removal, each makes only calls that are on its list."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace")
    add_parents(daemon)
    pids = {name: daemon.host_pid(name) for name in NAMES}
    look_into(pids["store"])
    with traced(pids, tmp_path) as calls:
        for _ in range(2):
            drive = daemon.ok("start", "-p", "store", "-t", "nvme-16m").strip()
            port = daemon.ok("start", "-p", "com", "-t", "serial-1").strip()
            plain = daemon.ok("start", "-p", "plain", "-t", "null-basic").strip()
            use_store(daemon, drive)
            use_serial(daemon, port)
            with Client(daemon.socket_path(plain)) as client:
                client.like_qemu()
            daemon.ok("stop", "-u", drive)  # wipes what it held
            daemon.ok("stop", "-u", port)
            daemon.ok("stop", "-u", plain)
    assert {name: daemon.host_pid(name) for name in NAMES} == pids
    for name in NAMES:
        assert calls[name] and calls[name] <= allowed(daemon, name), name
    assert {"epoll_pwait2", "sendmsg"} <= calls["store"] and "ioctl" in calls["com"]


# ---- what is forbidden


@pytest.fixture
def make_trespasser(make_daemon):
    """Makes a running daemon that has the driver trespass, which needs what `need` says."""
    def make(uid, need=None, **keywords):
        environment = {} if need is None else {"UMDEV_TEST_NEED": need}
        daemon = with_drivers(make_daemon, uid, "trespass", environment=environment, **keywords)
        daemon.start()
        return daemon

    return make


def add_trespasser(daemon, name: str) -> str:
    """A parent with an mdev on it."""
    daemon.ok("parent", "add", name, "--driver", "trespass")
    return daemon.ok("start", "-p", name, "-t", "trespass-one").strip()


def trespass(daemon, ident: str, call: str) -> int:
    """Has the host make a call: the errno it got, EOWNERDEAD when it ended. Its own guest goes on, too."""
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        client.write(0, 0, CALLS.index(call).to_bytes(4, "little"))
        return client.read32(0, 4)


FORBIDDEN = [name for name in CALLS if name != "nothing"]


def test_forbidden(make_trespasser, user):
    """The host ends at once and the event says so. Other hosts, their mdevs and their clients do not notice."""
    daemon = make_trespasser(user)
    add_store(daemon)
    drive = daemon.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    bystander = add_trespasser(daemon, "bystander")
    idents = {call: add_trespasser(daemon, f"bad-{call}") for call in FORBIDDEN}
    others = {name: daemon.host_pid(name) for name in ("store", "bystander")}
    memory = GuestMemory()
    try:
        nvme = ready_drive(daemon.socket_path(drive), memory)
        assert trespass(daemon, bystander, "nothing") == 0
        for call, ident in idents.items():
            name, since = f"bad-{call}", daemon.next_event()
            before = daemon.host_pid(name)
            assert trespass(daemon, ident, call) == errno.EOWNERDEAD, f"{call} was let through"
            died = daemon.wait_event("host.died", since=since)
            assert died["parent"] == name
            for word in (f"the host of {name} (process {before})", "forbidden system call", "signal 31"):
                assert word in died["message"], died
            daemon.wait_event("host.started", since=since)
            nvme.write(8, call.encode().ljust(512, b"."))
            assert nvme.read(8, 512).startswith(call.encode())
        nvme.client.close()
    finally:
        memory.close()
    assert {name: daemon.host_pid(name) for name in others} == others
    assert trespass(daemon, bystander, "nothing") == 0
    # Each of them is back, too, and does what it may.
    assert all(trespass(daemon, ident, "nothing") == 0 for ident in idents.values())


@pytest.mark.parametrize("need, call, other", [("files", "file", "inotify"), ("terminals", "inotify", "file")])
def test_a_need_allows_its_calls(make_trespasser, need, call, other):
    """And none of another need."""
    daemon = make_trespasser(os.geteuid(), need)
    ident = add_trespasser(daemon, "own")
    assert [each["name"] for each in sandbox(daemon, "own")["needs"]] == [need]
    assert trespass(daemon, ident, call) != errno.EOWNERDEAD
    since = daemon.next_event()
    assert trespass(daemon, ident, other) == errno.EOWNERDEAD
    assert "forbidden" in daemon.wait_event("host.died", since=since)["message"]


def test_unknown_need(make_trespasser):
    """A driver that needs what this host has never heard of is refused, by that word."""
    daemon = make_trespasser(os.geteuid(), "wings")
    result = daemon.ctl("parent", "add", "own", "--driver", "trespass")
    assert result.rc == 1 and result.err.count("\n") == 1, result
    assert "driver trespass needs 'wings'" in result.err
    assert daemon.rpc("parent.list")["parents"] == []


# ---- where something is not allowed

NO_ADMIN = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
NO_CHROOT = ["setpriv", "--bounding-set", "-sys_admin,-sys_chroot", "--inh-caps", "-sys_admin,-sys_chroot"]
NO_KILL = ["setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"]
NO_NAMESPACES = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
                 "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps -all --inh-caps -all \"$@\"",
                 "sh"]


def landlock() -> bool:
    """Whether the kernel has it: syscall 444 on every architecture, asked for its version."""
    return subprocess.run(["/usr/bin/python3", "-c", "import ctypes, sys; "
                           "sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)"], check=False).returncode == 0


def missing_of(make_trespasser, uid: int, prefix: list):
    """A daemon that runs with less, the report of a host of its, and the words of what is missing."""
    if subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *prefix, "true"], check=False,
                      capture_output=True).returncode:
        pytest.skip(f"{prefix[0]} is refused here")
    daemon = make_trespasser(uid, "", prefix=prefix)
    ident = add_trespasser(daemon, "own")
    report = sandbox(daemon, "own")
    shows(report, capabilities="none", seccomp="on")
    (check,) = [check for check in daemon.rpc("doctor")["checks"] if check["name"] == "sandbox own"]
    assert check["status"] == "warning"
    for text in report["missing"]:
        assert text in check["detail"]
    assert trespass(daemon, ident, "nothing") == 0
    since = daemon.next_event()
    assert trespass(daemon, ident, "open") == errno.EOWNERDEAD
    assert "forbidden" in daemon.wait_event("host.died", since=since)["message"]
    return report, {text.partition(":")[0] for text in report["missing"]}


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run it with less")


@ROOT_ONLY
def test_root_in_a_container(make_trespasser):
    """Without CAP_SYS_ADMIN there are no namespaces; / is an empty directory all the same."""
    report, missing = missing_of(make_trespasser, 0, NO_ADMIN)
    shows(report, filesystem="none", network="all", user_namespace=False)
    assert report["user"] != 0
    assert missing == {"mount namespace", "network namespace", "ipc namespace", "uts namespace"}


@ROOT_ONLY
def test_root_with_less(make_trespasser):
    """Without CAP_SYS_CHROOT, too, landlock is what is left."""
    report, missing = missing_of(make_trespasser, 0, NO_CHROOT)
    shows(report, filesystem="none" if landlock() else "all", network="all")
    assert "mount namespace" in missing and ("no filesystem" in missing) == (not landlock())


@ROOT_ONLY
def test_a_broker_that_cannot_kill(make_trespasser):
    """A host of another user could not be ended by it: so it stays the same user, and says so."""
    report, missing = missing_of(make_trespasser, 0, NO_KILL)
    shows(report, filesystem="none", network="none", user=0)
    assert missing == {"user"}


@ROOT_ONLY
def test_no_user_namespaces(make_trespasser):
    """Nobody without user namespaces has landlock and the list of system calls."""
    report, missing = missing_of(make_trespasser, NOBODY, NO_NAMESPACES)
    shows(report, filesystem="none" if landlock() else "all", network="all", user=NOBODY, user_namespace=False)
    assert "user namespace" in missing and ("no filesystem" in missing) == (not landlock())


def test_off(make_trespasser, user):
    """For debugging: everything is there, and everybody is told."""
    daemon = make_trespasser(user, "", arguments=["--no-sandbox"])
    ident = add_trespasser(daemon, "own")
    shows(sandbox(daemon, "own"), user=daemon.uid, filesystem="all", network="all", seccomp="off")
    assert "--no-sandbox" in sandbox(daemon, "own")["missing"][0]
    before = daemon.host_pid("own")
    assert trespass(daemon, ident, "open") == 0 and daemon.host_pid("own") == before
    (check,) = [check for check in daemon.rpc("doctor")["checks"] if check["name"] == "sandbox own"]
    assert check["status"] == "warning" and "--no-sandbox" in check["detail"]


def test_clients_of_other_users(daemon):
    """A host in a user namespace takes root for nobody; who it is is known all the same."""
    add_store(daemon)
    ident = daemon.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    since = daemon.next_event()
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        assert daemon.wait_event("client.connected", ident, since)["uid"] == os.geteuid()
        assert daemon.mdev(ident)["client"]["uid"] == os.geteuid()
