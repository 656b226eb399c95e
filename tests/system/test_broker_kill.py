# SPDX-License-Identifier: BSD-3-Clause
"""The daemon is killed alone: its hosts serve on, the next daemon takes them over, and no verb is half done.

UMDEV_BROKER_KILLS  how often it is killed under load; 15 by default
"""

import contextlib
import fcntl
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from conftest import add_store
from test_life import Drive
from umdevtest import Failure, process, wait_for
from umdevtest.daemon import RpcError, driver_directory, new_uuid
from umdevtest.killer import Killer, possible
from umdevtest.load import Load
from umdevtest.serial import Line, Uart
from umdevtest.verbs import GROUP, Model, Verb, check, look
from umdevtest.vfiouser import Client
from umdevtest.world import count_descriptors

KILLS = int(os.environ.get("UMDEV_BROKER_KILLS", "15"))
TYPES = {"p0": "crew-part", "p1": "crew-part", "store": "nvme-16m"}
STEPS_MAX = 4000


@pytest.fixture
def busy(make_daemon, reachable_bin):
    """A daemon with parents of three drivers."""
    with tempfile.TemporaryDirectory(prefix="umdev-", dir="/tmp") as directory:
        drivers = driver_directory(Path(directory) / "drivers", reachable_bin)
        daemon = make_daemon(os.geteuid(), arguments=["--driver-dir", drivers, "--no-tree"])
        daemon.start()
        for name in ("p0", "p1"):
            daemon.ok("parent", "add", name, "--driver", "crew")
        add_store(daemon, "160M")
        daemon.ok("parent", "add", "second", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m,32m")
        daemon.ok("parent", "add", "com", "--driver", "serial")
        yield daemon
        if not daemon.running:
            daemon.stop()


class Carrier:
    """A thread that carries bytes over a serial mdev in both directions, and compares."""

    def __init__(self, daemon, ident: str):
        self._client = Client(daemon.socket_path(ident))
        self._client.like_qemu()
        self._uart = Uart(self._client).open()
        self._line = Line(daemon.mdev(ident)["endpoints"][0])
        self._stop = threading.Event()
        self.carried = 0
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _round(self, number: int) -> None:
        data = bytes((number + i) & 0xff for i in range(64))
        self._uart.send(data)
        if self._line.receive(len(data)) != data:
            raise Failure("other bytes came out of the line")
        sent = self._line.offer(data)
        if self._uart.receive(sent) != data[:sent]:
            raise Failure("other bytes came out of the port")
        self.carried += len(data) + sent

    def _run(self) -> None:
        try:
            number = 0
            while not self._stop.is_set():
                self._round(number)
                number += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def close(self) -> int:
        """Ends it: how much was carried, all of it right."""
        self._stop.set()
        self._thread.join()
        self._line.close()
        self._client.close()
        if self.error:
            raise Failure(f"serial: {self.error!r}")
        return self.carried


def call(daemon, verb, outcome: list) -> None:
    """Asks for a verb; whether it was acknowledged (True), refused (False), or nobody said."""
    try:
        with contextlib.closing(daemon.connect()) as connection:
            connection.call(verb.method, **verb.params)
        outcome.append(True)
    except RpcError as error:
        outcome.append(False)
        outcome.append(str(error))
    except (Failure, OSError):
        outcome.append(None)


def settle(daemon, model: Model, verb, outcome: list, beside: dict) -> None:
    """What was asked for is done or not done, as far as that was said; the model knows it then."""
    found = look(daemon)
    for idents in beside.values():
        for ident in idents:
            assert found["mdevs"].pop(ident)["running"] is not None
    possible_now = {True: [verb.after], False: [model.now], None: [model.now, verb.after]}[outcome[0]]
    assert found in possible_now, (verb.method, verb.params, outcome)
    model.now = found
    check(daemon, found, beside)


def test_killed_under_load_and_verbs(busy):
    """No client notices; every verb is done or not done; what was acknowledged stays so."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    drives = {"store": busy.ok("start", "-p", "store", "-t", "nvme-32m").strip(),
              "second": busy.ok("start", "-p", "second", "-t", "nvme-32m").strip()}
    port = busy.ok("start", "-p", "com", "-t", "serial-1").strip()
    model = Model(rng, TYPES, "store")
    for parent in ("p0", "p1"):
        busy.ok("define", "-p", parent, "-t", "crew-part", "--group", GROUP)
    model.now = look(busy)
    for ident in (*drives.values(), port):
        del model.now["mdevs"][ident]
    beside = {**{parent: [ident] for parent, ident in drives.items()}, "com": [port]}
    hosts = {name: busy.host_pid(name) for name in ("p0", "p1", "store", "second", "com")}
    carrier = Carrier(busy, port)
    loads = [Load(busy, ident, 3600, rw="randrw", size="4M", depth=8, rate=1500, verify=True) for ident in drives.values()]
    try:
        wait_for(lambda: all(busy.mdev(ident)["in_use"] for ident in drives.values()), "the loads to begin")
        counts = Counter()
        for _ in range(KILLS):
            for _ in range(rng.randrange(3)):
                verb, outcome = model.any(), []
                call(busy, verb, outcome)
                settle(busy, model, verb, outcome, beside)
            verb, outcome = model.any(), []
            asking = threading.Thread(target=call, args=(busy, verb, outcome))
            asking.start()
            time.sleep(rng.random() ** 2 * 0.006)
            busy.crash()
            asking.join()
            counts[outcome[0]] += 1
            busy.start()
            settle(busy, model, verb, outcome, beside)
            assert {name: busy.host_pid(name) for name in hosts} == hosts
            for ident in (*drives.values(), port):
                mdev = busy.mdev(ident)
                assert mdev["in_use"] and mdev["client"]["pid"], mdev
            assert all(load.running for load in loads) and carrier.error is None
        print(f"killed {KILLS} times: {dict(counts)}")
        carried = carrier.carried
        wait_for(lambda: carrier.carried > carried, "the serial line to go on")
    finally:
        results = [load.stop() for load in loads]
        carried = carrier.close()
    assert carried > 0
    for result in results:
        print(result)


def test_next_daemon_keeps_what_the_last_one_kept(busy):
    """Its descriptors are the same, kind by kind; so when a host dies under it, not even its client notices."""
    idents = [busy.ok("start", "-p", "store", "-t", "nvme-16m", "--attr", f"mdev/weight={n + 5}").strip()
              for n in range(2)]
    defined = busy.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    busy.ok("start", "-u", defined)
    with Drive(busy, idents[0]) as nvme:
        nvme.write(0, b"k" * 512)
        busy.rpc("version")  # whose connection is kept
        before = count_descriptors(busy.pid)
        shown = busy.ok("list", "--dumpjson"), busy.ok("types", "--json"), busy.rpc("mdev.list", all=True)
        restarts = busy.parent("store")["host"]
        busy.crash()
        nvme.write(8, b"m" * 512)
        busy.start()
        assert nvme.read(0, 512) + nvme.read(8, 512) == b"k" * 512 + b"m" * 512
        after = busy.ok("list", "--dumpjson"), busy.ok("types", "--json"), busy.rpc("mdev.list", all=True)
        for row in (*shown[2]["mdevs"], *after[2]["mdevs"]):
            row.pop("statistics", None)
        assert after[:2] == shown[:2]
        for was, now in zip(shown[2]["mdevs"], after[2]["mdevs"]):
            assert was == now
        assert len(shown[2]["mdevs"]) == len(after[2]["mdevs"])
        assert busy.parent("store")["host"] == restarts
        now = count_descriptors(busy.pid)
        assert {kind: count for kind, count in now.items() if "memfd" in kind or "eventfd" in kind} == \
            {kind: count for kind, count in before.items() if "memfd" in kind or "eventfd" in kind}
        assert sum(now.values()) == sum(before.values()), (before, now)
        since = busy.next_event()
        os.kill(busy.host_pid("store"), signal.SIGKILL)
        busy.wait_event("host.started", since=since)
        assert nvme.read(0, 512) + nvme.read(8, 512) == b"k" * 512 + b"m" * 512
        wait_for(lambda: all(busy.mdev(ident)["active"] for ident in (*idents, defined)), "the mdevs to be back")
        assert busy.mdev(idents[0])["in_use"]
        assert busy.parent("store")["host"]["restarts"] == restarts["restarts"] + 1
        busy.crash()
        nvme.write(16, b"n" * 512)
        busy.start()
        assert nvme.read(16, 512) == b"n" * 512
        assert busy.parent("store")["host"]["restarts"] == restarts["restarts"] + 1


def test_everything_killed_at_once(busy):
    """As after a reboot: what is defined to start does, with its data; the rest is as it was defined."""
    auto = busy.ok("define", "-p", "store", "-t", "nvme-16m", "--auto").strip()
    manual = busy.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    transient = busy.ok("start", "-p", "second", "-t", "nvme-16m").strip()
    for ident in (auto, manual):
        busy.ok("start", "-u", ident)
    with Drive(busy, manual) as nvme:
        nvme.write(0, b"d" * 512)
    files = {path: data for path, data in busy.files().items() if not path.endswith(".map")}
    busy.kill()
    busy.start()
    assert {path: data for path, data in busy.files().items() if not path.endswith(".map")} == files
    assert busy.mdev(auto)["active"] and busy.mdev(transient) is None and busy.mdev(manual) is None
    busy.ok("start", "-u", manual)
    with Drive(busy, manual) as nvme:
        assert nvme.read(0, 512) == b"d" * 512


def test_what_was_stopped_stays_stopped(busy):
    """A daemon that takes over starts nothing by itself."""
    ident = busy.ok("define", "-p", "store", "-t", "nvme-16m", "--auto").strip()
    busy.restart()
    wait_for(lambda: busy.mdev(ident), "the autostarted mdev")
    busy.ok("stop", "-u", ident)
    busy.crash()
    busy.start()
    assert busy.mdev(ident) is None
    busy.restart()
    assert busy.mdev(ident)["active"]


def test_group_stays_with_its_client(busy):
    """The next daemon knows who uses a group, and lets that process in and nobody else."""
    first, other = (busy.ok("start", "-p", parent, "-t", "crew-part", "--group", GROUP).strip()
                    for parent in ("p0", "p1"))
    code = "import sys; sys.path.insert(0, sys.argv[1]); from umdevtest.vfiouser import Client\n" \
           "client = Client(sys.argv[2])\ntry:\n    client.like_qemu()\nexcept Exception: sys.exit(9)"
    stranger = [str(word) for word in (Path("/usr/bin/python3"), "-c", code, Path(__file__).parents[1] / "lib",
                                       busy.socket_path(other))]
    with Client(busy.socket_path(first)) as client:
        client.like_qemu()
        busy.crash()
        busy.start()
        assert busy.rpc("group.list", group=GROUP)["groups"][0]["client"]["pid"] == os.getpid()
        assert process_code(stranger) == 9
        with Client(busy.socket_path(other)) as second:
            second.like_qemu()
    wait_for(lambda: busy.rpc("group.list", group=GROUP)["groups"][0]["state"] == "active", "the group to be free")
    assert process_code(stranger) == 0


def process_code(command: list) -> int:
    """The exit code of a program."""
    return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(command[0], command, os.environ), 0)[1])


def test_client_waits_for_a_daemon(busy):
    """Whether it may use a member of a group, the next daemon says."""
    ident = busy.ok("start", "-p", "p0", "-t", "crew-part", "--group", GROUP).strip()
    path = busy.socket_path(ident)
    busy.crash()
    done = []

    def connect():
        with Client(path) as client:
            client.like_qemu()
            done.append(True)
            client.closed_by_server(0.2)

    asking = threading.Thread(target=connect)
    asking.start()
    time.sleep(0.2)
    assert not done
    busy.start()
    wait_for(lambda: done, "the client to be let in")
    asking.join()


def test_orphans_end(busy):
    """Hosts that nobody uses end after a while; those with a client stay, and end when it has left."""
    busy.add_arguments("--orphan-ms", "400")
    busy.restart()
    ident = busy.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    used, unused = busy.host_pid("store"), busy.host_pid("second")
    with Drive(busy, ident) as nvme:
        busy.crash()
        wait_for(lambda: not process.start_time(unused), "end of the host that nobody uses", 5)
        time.sleep(0.6)
        assert process.start_time(used)
        nvme.write(0, b"o" * 512)
    wait_for(lambda: not process.start_time(used), "end of the host whose client has left", 5)
    busy.start()
    assert busy.mdev(ident) is None
    assert not list((busy.root / "run/umdev/mdevs").iterdir())


def test_parent_that_was_removed(busy):
    """A host whose parent is gone from the configuration ends; one with other options begins anew."""
    busy.ok("start", "-p", "store", "-t", "nvme-16m")
    gone, changed = busy.host_pid("store"), busy.host_pid("com")
    busy.crash()
    busy.parent_file("store").unlink()
    path = busy.parent_file("com")
    path.write_text(path.read_text().replace('"options": {', '"options": {"ports": "3"').replace('"3"\n', '"3",\n')
                    if '"options": {}' not in path.read_text()
                    else path.read_text().replace('"options": {}', '"options": {"ports": "3"}'))
    busy.start()
    assert not process.start_time(gone) and not process.start_time(changed)
    assert "store" not in [parent["name"] for parent in busy.rpc("parent.list")["parents"]]
    assert busy.parent("com")["pool"]["units"] == 3 and busy.host_pid("com") != changed
    assert not list((busy.root / "run/umdev/mdevs").iterdir())
    add_store(busy, "160M")


def test_file_that_is_locked_a_moment_longer(busy):
    """As by the ring of a host that was killed together with its daemon; but one that stays locked is somebody else's."""
    image = busy.directory / "late.img"
    image.write_bytes(bytes(16 << 20))
    options = ["--driver", "nvme", "--option", f"path={image}", "--option", "types=4m"]
    lock = os.open(image, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert "is locked: another parent or program uses it" in busy.ctl("parent", "add", "late", *options).err
    timer = threading.Timer(0.06, os.close, (lock,))
    timer.start()
    busy.ok("parent", "add", "late", *options)
    timer.join()


def test_lock_that_a_child_still_has(busy):
    """Of a daemon that died between fork() and exec(): the next one waits for it. One that lives is another daemon."""
    busy.crash()
    lock = os.open(busy.root / "run/umdev/umdevd.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    timer = threading.Timer(0.3, os.close, (lock,))
    timer.start()
    busy.start()
    timer.join()
    busy.crash()
    with open(busy.root / "run/umdev/umdevd.lock", "r+", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(f"{os.getpid()}\n")
        other.truncate()
        other.flush()
        with pytest.raises(Failure, match=f"another umdevd .process {os.getpid()}. serves"):
            busy.start()
    busy.start()


def test_host_that_does_not_answer(busy):
    """One that stands still is killed, and its parent begins anew."""
    ident = busy.ok("define", "-p", "store", "-t", "nvme-16m", "--auto").strip()
    busy.ok("start", "-u", ident)
    old = busy.host_pid("store")
    os.kill(old, signal.SIGSTOP)
    busy.crash()
    busy.start()
    assert not process.start_time(old) and busy.host_pid("store") != old
    assert busy.mdev(ident)["active"]


def test_started_anew(busy):
    """SIGUSR2: the same process, a new program; clients and devices stay."""
    ident = busy.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    host, pid = busy.host_pid("store"), busy.pid
    with Drive(busy, ident) as nvme:
        for turn in range(3):
            since = busy.rpc("version")
            os.kill(pid, signal.SIGUSR2)
            wait_for(lambda: "starting anew" in busy.log() and busy.log().count("starting anew") == turn + 1,
                     "the daemon to start anew")
            busy.forget()
            wait_for(lambda: answers(busy), "the daemon to answer")
            assert busy.rpc("version") == since and busy.host_pid("store") == host
            nvme.write(8 * turn, b"a" * 512)
            assert busy.mdev(ident)["in_use"]
    busy.ok("stop", "-u", ident)


def answers(daemon) -> bool:
    """Whether the control socket is served."""
    try:
        return bool(daemon.rpc("version"))
    except (OSError, Failure):
        daemon.forget()
        return False


@pytest.mark.parametrize("phase", ["takeover", "start", "stop"])
def test_killed_at_every_step(busy, phase):
    """Of a takeover while a group start is to be undone; of a group start and of a group stop, the hosts living on."""
    reason = possible()
    if reason:
        pytest.skip(reason)
    rng = random.Random(1)
    model = Model(rng, TYPES, "store")
    for parent in ("p0", "p1"):
        busy.ok("define", "-p", parent, "-t", "crew-part", "--group", GROUP)
    model.now = look(busy)

    def verb_of_phase():
        if phase != "stop":
            return model.group_start()
        if not model.group_stop():
            busy.ok("group", "start", GROUP)
            model.now = look(busy)
        return model.group_stop()

    steps = count_steps(busy, verb_of_phase())
    if phase != "stop":
        busy.ok("group", "stop", GROUP)
    model.now = look(busy)
    assert 20 < steps < STEPS_MAX
    outcomes = Counter()
    for step in range(1, steps + 1, 9 if phase == "takeover" else 1):
        verb, outcome = verb_of_phase(), []
        killer = Killer(busy.pid, step)
        call(busy, verb, outcome)
        time.sleep(0.02)
        killer.end()
        busy.crash()
        if phase == "takeover":
            for _ in range(3):
                killed_while_starting(busy, rng)
        busy.start()
        settle(busy, model, verb, outcome, {})
        outcomes[outcome[0], look(busy)["mdevs"] == verb.after["mdevs"]] += 1
        if phase != "stop" and any(row["running"] for row in model.now["mdevs"].values()):
            busy.ok("group", "stop", GROUP)
            model.now = look(busy)
    print(dict(outcomes))
    # Not begun, or begun and completed by the next daemon.
    assert outcomes[None, phase == "stop"] > steps // 30


def count_steps(daemon, verb) -> int:
    """How many system calls a verb takes, answer and all."""
    killer = Killer(daemon.pid)
    call(daemon, verb, [])
    time.sleep(0.02)
    return killer.end()


def test_undefine_of_several_killed_at_every_step(busy):
    """All definitions of a UUID are there, or none, and the pieces of those that went are free; an active device stays."""
    reason = possible()
    if reason:
        pytest.skip(reason)
    verb = Verb("mdev.undefine", {"uuid": new_uuid()}, None)
    held = ["p0", "store"]

    def define() -> None:
        for parent, kind in TYPES.items():
            busy.ok("define", "-u", verb.params["uuid"], "-p", parent, "-t", kind)

    def defined() -> int:
        return sum(path.name == verb.params["uuid"] for path in (busy.root / "etc/umdev/mdevs.d").glob("*/*"))

    define()
    before = {parent: busy.parent(parent)["pool"]["free"] for parent in TYPES}
    outcomes = Counter()
    for step in range(1, count_steps(busy, verb) + 1):
        if not defined():
            define()
        for parent in held:  # the first gets a piece and keeps it, the second is active
            busy.ok("start", "-u", verb.params["uuid"], "-p", parent)
            if parent != held[-1]:
                busy.ok("stop", "-u", verb.params["uuid"])
        killer, outcome = Killer(busy.pid, step), []
        call(busy, verb, outcome)
        time.sleep(0.02)
        killer.end()
        busy.crash()
        halves = defined() not in (0, len(TYPES))
        busy.start()
        assert defined() in (0, len(TYPES)) and (outcome[0] is None or not defined()), step
        assert len(busy.rpc("mdev.list", defined=True)["mdevs"]) == defined(), step
        with Drive(busy, verb.params["uuid"]) as nvme:
            nvme.write(0, b"u" * 512)
        busy.ok("stop", "-u", verb.params["uuid"])
        if not defined():
            assert {parent: busy.parent(parent)["pool"]["free"] for parent in TYPES} == before, step
        outcomes[outcome[0], halves, defined()] += 1
    print(dict(outcomes))
    assert outcomes[None, False, len(TYPES)] and outcomes[None, True, 0]


@pytest.mark.parametrize("dead", [["p0"], ["p1"], ["p0", "p1"]], ids="-".join)
def test_group_stop_whose_hosts_die_too(busy, dead):
    """Killed at a step of it, then hosts: what was begun is completed, and nothing of it starts by itself again. With
    all hosts gone the group comes back as a whole."""
    reason = possible()
    if reason:
        pytest.skip(reason)
    verb = Verb("group.stop", {"group": GROUP}, None)
    kept = {parent: busy.ok("define", "-p", parent, "-t", "crew-part", "--group", GROUP, "--auto").strip()
            for parent in ("p0", "p1")}
    note = busy.root / "etc/umdev/groups.d" / GROUP
    outcomes = Counter()

    def start() -> None:
        busy.ok("group", "start", GROUP)
        busy.ok("start", "-p", "p0", "-t", "crew-part", "--group", GROUP)  # its piece is given back, too

    start()
    for step in range(1, count_steps(busy, verb) + 1, 3):
        start()
        hosts = [busy.host_pid(parent) for parent in dead]
        killer = Killer(busy.pid, step)
        call(busy, verb, [])
        time.sleep(0.02)
        killer.end()
        busy.crash()
        begun, there = note.exists(), sum(busy.socket_path(ident).exists() for ident in kept.values())
        assert begun or there in (0, 2)
        for pid in hosts:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: not process.start_time(pid), "end of a host")
        busy.start()
        found = {ident for ident, row in look(busy)["mdevs"].items() if row["running"] is not None}
        if len(dead) == 2 or (there and not begun):
            assert found >= set(kept.values()), step
        else:  # after the end of it the death of a host is one like any other
            assert found == (set() if begun else {kept[parent] for parent in dead}), step
        assert not note.exists()
        outcomes[begun, there] += 1
        if found:
            busy.ok("group", "stop", GROUP)
    print(dict(outcomes))
    assert {(False, 2), (True, 2), (True, 0), (False, 0)} <= set(outcomes)


def killed_while_starting(daemon, rng) -> None:
    """A daemon begins to take over and is killed on the way."""
    daemon.launch()
    time.sleep(rng.random() * 0.06)
    daemon.crash()


def test_new_socket_names(busy):
    """A definition that the dead daemon had not seen is known; nothing of old starts is left behind."""
    ident = busy.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    busy.crash()
    stale = busy.root / "run/umdev/mdevs" / new_uuid()
    stale.mkdir()
    (stale / "vfio-user.sock").write_text("")
    busy.start()
    assert not stale.exists() and busy.socket_path(ident).is_socket()


def test_whoever_runs_it(store):
    """As root, whose hosts become somebody else, and as a user without rights."""
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m").strip()
    host = store.host_pid("store")
    with Drive(store, ident) as nvme:
        nvme.write(0, b"w" * 512)
        store.crash()
        nvme.write(8, b"x" * 512)
        store.start()
        assert nvme.read(0, 512) + nvme.read(8, 512) == b"w" * 512 + b"x" * 512
    assert store.host_pid("store") == host
    store.ok("stop", "-u", ident)
