# SPDX-License-Identifier: BSD-3-Clause
"""umdevd under a real systemd: ready, reloaded, killed together with its hosts, stopped.

The manager is a `systemd --user` in namespaces of its own and in a cgroup of its own, which is how all of it is ended
again. Where there is no systemd, or no cgroup may be made, there is nothing to test.
"""

import contextlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from umdevtest import Failure, wait_for
from umdevtest.daemon import TOP, Daemon, program
from umdevtest.load import Load
from umdevtest.process import over

SYSTEMD = Path("/lib/systemd/systemd")
KILLS = 3
# What of the unit that is installed makes sense in here.
TAKEN = ("Type", "NotifyAccess", "FileDescriptorStoreMax", "ExecReload", "Restart", "RestartSec", "KillMode",
         "TimeoutStopSec")
SCRIPT = """set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
umount -R /sys/fs/cgroup 2>/dev/null || :
mount -t cgroup2 none /sys/fs/cgroup
exec {systemd} --user --unit=umdev.target --log-target=console
"""


def cgroup_directory() -> Path:
    """A new cgroup below that of this process, or a skipped test."""
    own = [line.split("::")[1] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    if not own or not places:
        pytest.skip("there is no unified cgroup hierarchy")
    path = Path(places[0] + own[0]) / f"umdev-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    return path


def end(cgroup: Path) -> None:
    """Kills what is in a cgroup of ours, and removes it."""
    (cgroup / "cgroup.kill").write_text("1")
    wait_for(lambda: "populated 0" in (cgroup / "cgroup.events").read_text(), "the end of the processes in the cgroup")
    for path in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    cgroup.rmdir()


class Service(Daemon):
    """umdevd as a unit of a systemd of its own."""

    def __init__(self, cgroup: Path, bindir: Path):
        super().__init__(bindir=bindir)
        self._cgroup = cgroup
        self._units = self.directory / "units"
        self._runtime = self.directory / "xdg"
        self._units.mkdir()
        self._runtime.mkdir(mode=0o700)
        shipped = (TOP / "dist/umdevd.service.in").read_text()
        options = re.search(r"^ExecStart=\S+ (.*)$", shipped, re.M)[1]
        lines = [line for line in shipped.splitlines() if line.partition("=")[0] in TAKEN]
        lines += [f"ExecStart={program('umdevd', bindir)} --root {self.root} {options}",
                  f"StandardError=append:{self.log_path}"]
        (self._units / "umdevd.service").write_text("\n".join(["[Unit]", "DefaultDependencies=no", "[Service]", *lines, ""]))
        (self._units / "umdev.target").write_text("[Unit]\nDefaultDependencies=no\n")
        command = f'echo $$ >{cgroup}/cgroup.procs; exec unshare --mount --cgroup sh -c "$0"'
        with (self.directory / "systemd.log").open("wb") as log:
            self._manager = subprocess.Popen(  # pylint: disable=consider-using-with
                ["sh", "-c", command, SCRIPT.format(systemd=SYSTEMD)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", env={**self._environment(), "XDG_RUNTIME_DIR": str(self._runtime),
                              "SYSTEMD_UNIT_PATH": str(self._units)})
        wait_for(lambda: self._runtime.joinpath("systemd/private").exists() or self._manager.poll() is not None,
                 "systemd to listen")
        if self._manager.poll() is not None:
            raise Failure(f"systemd does not start: {(self.directory / 'systemd.log').read_text()[-500:]}")

    def systemctl(self, *words) -> str:
        """Asks the manager."""
        done = subprocess.run(["systemctl", "--user", *words], env={**os.environ, "XDG_RUNTIME_DIR": str(self._runtime)},
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Failure(f"systemctl {' '.join(words)}: {done.stderr.strip()}; {self.log_tail()}")
        return done.stdout.strip()

    def shown(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl("show", "--value", "--property", name, "umdevd.service")

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return int(self.shown("MainPID"))

    def answers(self) -> bool:
        """Whether the daemon is there for requests."""
        with contextlib.suppress(OSError, Failure):
            self.forget()
            return bool(self.rpc("version"))
        return False

    def close(self) -> None:
        """Ends all of it."""
        self.forget()
        end(self._cgroup)
        self._manager.wait()
        self.remove()


@pytest.fixture
def service(reachable_bin):
    """A unit that is not started yet."""
    if os.geteuid() != 0 or not SYSTEMD.exists():
        pytest.skip("systemd, and root to make a cgroup for it, are needed")
    cgroup = cgroup_directory()
    try:
        made = Service(cgroup, reachable_bin)
    except BaseException:
        end(cgroup)
        raise
    yield made
    made.close()


def test_unit(service):
    """Its clients notice nothing of a reload, and a pause when daemon and host are killed together."""
    service.systemctl("start", "umdevd.service")
    assert service.shown("ActiveState") == "active"
    service.ok("parent", "add", "store", "--driver", "nvme", "--option", f"path={service.directory}/store.img",
               "--option", "size=64M", "--option", "types=16m")
    service.ok("parent", "add", "ram", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    idents = [service.ok("start", "-p", parent, "-t", "nvme-16m").strip() for parent in ("store", "ram")]
    loads = [Load(service, ident, 600, rw="randrw", size="4M", depth=8, rate=1500, verify=True) for ident in idents]
    try:
        wait_for(lambda: all(service.mdev(ident)["in_use"] for ident in idents), "the loads to begin")
        clients = [service.mdev(ident)["client"] for ident in idents]
        wait_for(lambda: int(service.shown("NFileDescriptorStore")) > 3 + 2 * 5, "descriptors to be stored")
        service.forget()
        pid = service.pid
        service.systemctl("reload", "umdevd.service")
        wait_for(lambda: "starting anew" in service.log(), "the daemon to start anew")
        wait_for(service.answers, "the daemon to be back", 20)
        assert service.pid == pid and [service.mdev(ident)["client"] for ident in idents] == clients
        for number in range(KILLS):
            pids = [service.pid, service.host_pid("store"), service.host_pid("ram")]
            service.forget()
            for pid in pids:
                os.kill(pid, 9)
            wait_for(lambda pids=pids: all(over(pid) for pid in pids), "the end of all")
            wait_for(lambda n=number: int(service.shown("NRestarts")) == n + 1, "a restart", 20)
            wait_for(lambda: service.shown("ActiveState") == "active", "the daemon to be ready", 20)
            assert [service.mdev(ident)["client"] for ident in idents] == clients
        results = [load.stop() for load in loads]
    finally:
        for load in loads:
            load.kill()
    assert all(result["errors"] == 0 and result["mismatches"] == 0 and result["verified_blocks"] for result in results)
    service.forget()
    service.systemctl("stop", "umdevd.service")
    assert service.shown("ActiveState") == "inactive" and service.shown("NFileDescriptorStore") == "0"
