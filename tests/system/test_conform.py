# SPDX-License-Identifier: BSD-3-Clause
"""umdev-conform: drivers of the tree pass, and drivers with one fault fail the check made for it.

The faulty drivers are tests/conform/broken.c, compiled once per fault against the public headers
alone. They run side by side, because most of a run is waiting.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from umdevtest.daemon import TOP, build_directory, program

LIMIT_S = 300
AT_ONCE = 4
TOO_BUSY = "the machine is too busy to tell"
WORK = ["--poke", "0:8:4:1"]

# fault -> the check that has to fail, a part of its reason, and checks that may fail with it
FAULTS = {
    "WRONG_NAME": ("load.name", "is of driver wrongname, its table says other"),
    "NO_RESET": ("load.accepted", "lacks the mandatory callback reset"),
    "BAD_ROW": ("load.tables", "'Level!' is no name"),
    "DEFAULT_OUT_OF_RANGE": ("load.defaults", "11 is out of range 1..10"),
    "REFUSES_AGAIN": ("parent.open", "opened again: it was opened before"),
    "BAD_ID": ("types.legal", "its id is malformed"),
    "COST_ZERO": ("types.legal", "must cost more than nothing"),
    "NO_CLASS_ATTR": ("types.class", "class storage demands the attribute block_size"),
    "TWO_NAMES": ("types.unique", "have the same name 'conform small'"),
    "TYPES_CHANGE": ("types.stable", "type 'conform small' has cost 2 instead of 1"),
    "COST_TOO_MUCH": ("pool.fit", "no type fits into the pool of 8 units"),
    "POOL_OVERSOLD": ("pool.fill", "the pool has room for another small", "pool.random"),
    "ORDER_MATTERS": ("pool.orders", "crashed with SIGABRT in mdev_remove, order of removal 1 0 2 3"),
    "LEAKS_MEMORY": ("pool.given-back", "bytes of memory"),
    "LEAKS_WATCH": ("calls.watches", "is watched twice"),
    "LEAKS_TIMER": ("calls.timers", "timer 1 was armed by mdev_remove"),
    "BAD_DEVICE": ("device.declared", "vendor id 0xffff"),
    "TAKES_ANY_ATTR": ("attrs.refusal", "mode, which only a definition may change, is set"),
    "HALF_AN_ATTR": ("attrs.refusal", "level=5 was refused, and has changed offset 0xc of BAR 0"),
    "REFUSES_A_BOUND": ("attrs.set", "level=10, which its row allows, is refused: that is too much"),
    "GROUP_CHANGES_MIND": ("group.answer", "asked twice about the same"),
    "GROUP_ACTS": ("group.pure", "fd_unwatch was called within group_check"),
    "JOB_NEVER_ENDS": ("jobs.run", "a job that was started has not ended after 3 s"),
    "JOB_ENDED_TWICE": ("calls.jobs", "job_done for a job that has ended or was never submitted"),
    "EARLY_END": ("calls.jobs", "ns in the future"),
    "RESET_KEEPS": ("reset.device", "after a device reset, offset 0x4 of BAR 0 reads"),
    "LOST_KEEPS": ("reset.lost", "after a client that left, offset 0x4 of BAR 0 reads"),
    "RESET_NEVER_ENDS": ("reset.flr", "reset(FLR) has not ended after 4 s"),
    "RESET_LEAVES_JOB": ("reset.quiet", "left 1 jobs behind, 1 of them started"),
    "HOLD_KEPT": ("reset.quiet", "holds of guest memory"),
    "STATE_ELSEWHERE": ("state.resume", "after it was resumed", "state.convert"),
    "STATE_BELIEVED": ("state.damaged", "in region_read(BAR 0, offset 0x0, 4 bytes), seed 1, damaged page"),
    "STATE_OVERFLOWS": ("calls.memory", "of a state of state_size"),
    "CONVERT_BELIEVES": ("state.convert", "crashed with SIGSEGV in convert(version 1, "),
    "CONVERT_TAKES_ANY": ("state.convert", "mdev_create refuses what convert has made: the state is damaged"),
    "CONVERT_OVERFLOWS": ("state.convert", "convert wrote beyond the 100 bytes of the new state"),
    "CONVERT_FORGETS": ("state.convert", "offset 0x4 of BAR 0 read"),
    "CONVERT_CHANGES_MIND": ("state.convert", "convert gives another answer to the same "),
    "CONVERT_ACTS": ("state.convert", "now_ns was called within convert"),
    "RELEASED_TWICE": ("calls.memory", "dma_release of a token that is not out"),
    "CRASHES_HIGH": ("hostile.access", "crashed with SIGSEGV in region_write(BAR 0, offset 0x3ff8, 8 bytes"),
    "HANGS_HIGH": ("hostile.access", "region_read(BAR 0, offset 0x3fff, 1 bytes) has not returned for 5 s"),
    "WRITES_OUTSIDE": ("hostile.access", "wrote outside of the buffer"),
    "BLOCKS": ("calls.time", "callbacks must not block"),
    "BAD_ANSWER": ("calls.answers", "returned 4, which is neither 0 nor an errno"),
    "BAD_VECTOR": ("calls.interrupts", "irq_raise of vector 4; the device has 4"),
}


ONE_LANE = pytest.mark.xdist_group("broken")  # for what uses the fixture: else each lane checks all of them


def conform(*arguments, **environment):
    """Runs the kit. Returns (exit status, what it printed as JSON)."""
    result = subprocess.run([program("umdev-conform"), "--json", *map(str, arguments)], capture_output=True, text=True,
                            timeout=LIMIT_S, check=False, env={**os.environ, **environment})
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)


def outcomes(report: dict) -> dict:
    """name -> (outcome, reason)"""
    return {check["name"]: (check["outcome"], check.get("reason", "")) for check in report["checks"]}


def failures(report: dict) -> dict:
    """name -> reason of the checks that failed."""
    return {name: reason for name, (outcome, reason) in outcomes(report).items() if outcome == "failed"}


def assert_ok(report: dict, name: str) -> None:
    """The check was made and is ok, unless it measures time on a machine that has none."""
    outcome, reason = outcomes(report)[name]
    assert outcome == "ok" or TOO_BUSY in reason, (name, outcome, reason)


def build_broken(directory, fault: str, *flags: str):
    """Compiles the driver with that fault."""
    name = fault.lower().replace("_", "")[:15]
    path = directory / f"umdev-driver-{name}.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
                    "-fvisibility=hidden", *flags, f"-I{TOP}/include", f"-DFAULT={fault}", f'-DDRIVER_NAME="{name}"',
                    str(TOP / "tests/conform/broken.c"), "-o", str(path)], check=True, timeout=LIMIT_S)
    return path


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """fault -> a future of (exit status, report)."""
    directory = tmp_path_factory.mktemp("broken")

    def run(fault):
        only = [] if fault == "NO_FAULT" else ["--no-daemon"]
        (directory / fault).mkdir()
        older = build_broken(directory / fault, fault, "-DOLDER")
        return conform(*WORK, *only, "--older", older, build_broken(directory, fault))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {fault: pool.submit(run, fault) for fault in ["NO_FAULT", *FAULTS]}


@ONE_LANE
def test_without_a_fault_it_passes(broken):
    """What all faults are made of is a good driver, and no check is skipped for it but the one it cannot need."""
    status, report = broken["NO_FAULT"].result()
    assert not failures(report)
    assert status == 0
    skipped = {name for name, (outcome, reason) in outcomes(report).items()
               if outcome == "skipped" and TOO_BUSY not in reason}
    assert skipped == {"pool.discard"}


@ONE_LANE
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_check(broken, fault):
    """The check that is made for it fails, for that reason, and no other does."""
    check, reason, *along = FAULTS[fault]
    status, report = broken[fault].result()
    failed = failures(report)
    assert reason in failed.get(check, ""), failed
    assert set(failed) - set(along) == {check}, failed
    assert status == 1
    assert report["failed"] == len(failed)


@pytest.mark.parametrize("fault, check, reason", [
    ("SECOND_REFUSED", "daemon.instances", "and it does not start: the second unit is broken"),
    ("LOST_KEEPS", "client.lost", "for the client after one that was lost, byte 0x4 of BAR 0 is"),
    ("CRASHES_ON_RESUME", "host.restart", "no client can connect|the parent does not come back"),
    ("CRASHES_HIGH", None, ""),
])
def test_a_fault_is_seen_under_a_daemon(tmp_path, fault, check, reason):
    """What concerns sessions and hosts is seen where there are some, and nothing is left of the daemon."""
    with tempfile.TemporaryDirectory(prefix="umdev-", dir="/tmp") as temporary:  # short, for the sockets
        _, report = conform(*WORK, "--only", "daemon.instances", "--only", "client.", "--only", "host.restart",
                            build_broken(tmp_path, fault), TMPDIR=temporary)
        left = os.listdir(temporary)
    failed = failures(report)
    assert (check in failed) if check else not failed, failed
    assert re.search(reason, failed.get(check, "")), failed
    assert not left


def test_a_long_temporary_directory(tmp_path):
    """Checks with a daemon are skipped with the reason where paths of sockets would be too long."""
    place = tmp_path / ("x" * 60)
    place.mkdir()
    _, report = conform("--only", "client.lost", build_broken(tmp_path, "LOST_KEEPS"), TMPDIR=str(place))
    assert outcomes(report)["client.lost"][0] == "skipped"
    assert "too long" in outcomes(report)["client.lost"][1]
    assert not list(place.iterdir())


def test_null_passes():
    """The smallest example keeps the whole contract."""
    status, report = conform(build_directory() / "bin/umdev-driver-null.so")
    assert not failures(report)
    assert status == 0
    assert outcomes(report)["jobs.run"][0] == "ok"


@pytest.mark.parametrize("options", [
    ["ram=64M"],
    ["path={}/disk.img", "size=64M"],
    ["path={}/disk.img", "size=64M", "io=threads", "service_us=200", "parallelism=4"],
], ids=["ram", "file", "slow"])
def test_nvme_passes(tmp_path, options):
    """The driver of drives, on memory, on a file, and on a device of known speed."""
    words = ["types=16m,32m,rest", *(option.format(tmp_path) for option in options)]
    arguments = [part for word in words for part in ("--option", word)]
    status, report = conform(*arguments, build_directory() / "bin/umdev-driver-nvme.so")
    assert not failures(report)
    assert status == 0
    for name in ("qos.weights", "qos.cap", "pool.discard", "state.resume", "jobs.run"):
        assert_ok(report, name)
    if "parallelism=4" in options:
        assert_ok(report, "daemon.shares")


@pytest.mark.parametrize("backend", ["pty", "unix"])
def test_serial_passes(backend):
    """The driver of serial ports, whose lines end in either kind of endpoint."""
    status, report = conform("--option", f"backend={backend}", build_directory() / "bin/umdev-driver-serial.so")
    assert not failures(report)
    assert status == 0
    assert outcomes(report)["jobs.run"][0] == "ok"


def test_what_cannot_be_seen_is_skipped(tmp_path):
    """Without options that a parent needs, and without work that is known, checks say so and nothing fails."""
    _, report = conform(build_directory() / "bin/umdev-driver-nvme.so", "--only", "jobs.")
    assert outcomes(report)["jobs.run"][0] == "skipped"
    assert "the parent does not open" in outcomes(report)["jobs.run"][1]
    status, report = conform(build_broken(tmp_path, "NO_FAULT"), "--only", "jobs.run")
    assert outcomes(report) == {"jobs.run": ("skipped", "no work is known for this device: describe it with --poke or "
                                                        "--work")}
    assert status == 0


def test_work_from_a_file(tmp_path):
    """Lines of a file are register writes, as --poke gives them."""
    work = tmp_path / "work"
    work.write_text("# one more job\n\n0:0x8:4:1 # the doorbell\n")
    status, report = conform(build_broken(tmp_path, "NO_FAULT"), "--only", "jobs.run", "--work", work)
    assert outcomes(report) == {"jobs.run": ("ok", "")}
    assert status == 0


@pytest.mark.parametrize("arguments, message", [
    ([], "which driver?"),
    (["/no/such/file.so"], "/no/such/file.so: No such file or directory"),
    (["--poke", "6:0:4:1", "null"], "'6:0:4:1' is not BAR:OFFSET:SIZE:VALUE"),
    (["--poke", "0:2:4:1", "null"], "an aligned OFFSET"),
    (["--option", "size", "null"], "--option size is not KEY=VALUE"),
    (["--seed", "x", "null"], "--seed x is no number"),
    (["--only", "no.such", "null"], "--only names no check; see --list"),
], ids=["none", "missing", "bar", "aligned", "option", "seed", "only"])
def test_usage(arguments, message):
    """A command line that is wrong is told so, with status 2."""
    words = [str(build_directory() / "bin/umdev-driver-null.so") if word == "null" else word for word in arguments]
    result = subprocess.run([program("umdev-conform"), *words], capture_output=True, text=True, timeout=LIMIT_S,
                            check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@ONE_LANE
def test_list_names_every_check(broken):
    """--list has a line for each check of a run, in its order, with what it means."""
    listed = subprocess.run([program("umdev-conform"), "--list"], capture_output=True, text=True, timeout=LIMIT_S,
                            check=True).stdout.splitlines()
    _, report = broken["NO_FAULT"].result()
    assert [line.split()[0] for line in listed] == [check["name"] for check in report["checks"]]
    assert all(len(line.split()) > 3 for line in listed)


def test_text_has_a_line_a_check():
    """For people: outcome, name, meaning or reason, and a summary."""
    result = subprocess.run([program("umdev-conform"), build_directory() / "bin/umdev-driver-null.so", "--only",
                             "load."], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    lines = result.stdout.splitlines()
    assert lines[-1] == "null: 6 ok, 0 failed, 0 skipped"
    assert all(line.split()[0] == "ok" and line.split()[1].startswith("load.") for line in lines[:-1])


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The tree as `meson install` lays it out. (root, environment with its programs and pkg-config file)"""
    destination = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", str(build_directory()), "--no-rebuild", "--quiet", "--destdir",
                    str(destination)], check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
    bindir = next(destination.rglob("umdev-conform")).parent
    config = next(destination.rglob("umdev.pc"))
    # Its paths are relative to the sysroot, as for a cross build.
    env = dict(os.environ, PATH=f"{bindir}:{os.environ['PATH']}", PKG_CONFIG_PATH=str(config.parent),
               PKG_CONFIG_SYSROOT_DIR=str(destination))
    return destination, env


def test_a_driver_from_outside_passes(installed, tmp_path):
    """The example is built against what is installed, passes the kit that is installed, and goes where umdevd looks."""
    destination, env = installed
    outside = tmp_path / "outside"
    shutil.copytree(TOP / "docs/examples/out-of-tree-driver", outside)
    run = ["make", "-C", str(outside), "--no-print-directory"]
    subprocess.run(run, env=env, check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
    checked = subprocess.run([*run, "check"], env=env, check=False, timeout=LIMIT_S, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert " 0 failed" in checked.stdout.splitlines()[-1]
    assert "ok      qos.weights" in checked.stdout or TOO_BUSY in checked.stdout
    subprocess.run([*run, "install"], env=dict(env, DESTDIR=str(destination)), check=True, timeout=LIMIT_S,
                   stdout=subprocess.DEVNULL)
    found = {path.parent for path in destination.rglob("umdev-driver-*.so")}
    assert len(found) == 1, found
    assert (found.pop() / "umdev-driver-counter.so").exists()


def test_pkg_config_names_the_abi(installed):
    """umdev.pc says for which ABI drivers are built."""
    _, env = installed
    said = subprocess.run(["pkg-config", "--variable=abi_version", "umdev"], env=env, check=True, timeout=LIMIT_S,
                          capture_output=True, text=True).stdout.strip()
    assert f"#define UMDEV_ABI_VERSION {said}u" in (TOP / "include/umdev/driver.h").read_text()
