# SPDX-License-Identifier: BSD-3-Clause
"""What /proc says about a process (who it is, whose child, which descriptors it holds), and waiting for one."""

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from umdevtest import wait_for


def stat_fields(pid: int) -> list:
    """The fields of /proc/PID/stat from the state on; none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> str:
    """When the process started, in ticks, or '' when it is gone or only waits to be reaped."""
    fields = stat_fields(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def over(pid: int) -> bool:
    """Whether it has ended, reaped or not."""
    return not start_time(pid)


@contextlib.contextmanager
def stopped(pid: int):
    """Stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: stat_fields(pid)[0] == "T", f"process {pid} to stand still")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_end(child: subprocess.Popen, limit_s: float) -> int:
    """As child.wait(limit_s), which looks again and again: returns as soon as it has ended. Of a process that is traced
    its tracer is told first, so there is something left to wait for."""
    end = time.monotonic() + limit_s
    if child.poll() is None:
        fd = os.pidfd_open(child.pid)
        try:
            look = select.poll()
            look.register(fd, select.POLLIN)
            look.poll(limit_s * 1000)
        finally:
            os.close(fd)
    return child.wait(max(end - time.monotonic(), 0))


def name(pid: int) -> str:
    """The name of a process, of 15 bytes at most; '' when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:
        return ""


def children(parent: int) -> dict:
    """pid -> start time of the living children of a process."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fields = stat_fields(int(entry))
        if fields and int(fields[1]) == parent and fields[0] not in "ZX":
            found[int(entry)] = fields[19]
    return found


def marked(marker: bytes) -> set:
    """The pids whose environment holds the marker; processes of others cannot be looked into."""
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            continue
        if marker in environment and start_time(int(entry)):
            found.add(int(entry))
    return found


def descriptors(pid: int) -> dict:
    """fd -> what it is, for every open descriptor of a process."""
    directory = f"/proc/{pid}/fd"
    found = {}
    for entry in os.listdir(directory):
        try:
            found[int(entry)] = os.readlink(f"{directory}/{entry}")
        except FileNotFoundError:
            continue
    return found


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def busy_seconds(pid: int) -> float:
    """Processor time the process has used, in user and kernel mode."""
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0
