# SPDX-License-Identifier: BSD-3-Clause
"""What the other tests rely on: that a machine in trouble is noticed, and that jobs keep apart."""

import pytest

from vmlib import VmError


def test_trouble_is_noticed(boot):
    """A kernel error, a failed command and a dead machine each end in an error that says so."""
    guest = boot()
    guest.require_health()
    guest.check("echo '<3>planted error' > /dev/kmsg")
    with pytest.raises(VmError, match="planted error"):
        guest.poweroff()
    with pytest.raises(VmError, match="failed with 3: said before"):
        guest.check("echo said before; exit 3")
    with pytest.raises(VmError, match="not within 1 s"):
        guest.run("sleep 60", timeout_s=1)

    job = guest.spawn("sleep 60")
    guest.qmp.command("quit")
    with pytest.raises(VmError, match="went away"):
        job.wait()


def test_jobs_keep_apart(boot):
    """Jobs side by side each get their own output, whole, whatever bytes it has."""
    guest = boot(machine="pc")
    jobs = [guest.spawn(f"echo {number}; seq 1 5000; sleep 0.{number}; echo END 1 0") for number in range(5)]
    lines = "".join(f"{value}\n" for value in range(1, 5001))
    for number, job in enumerate(jobs):
        assert job.wait() == (0, f"{number}\n{lines}END 1 0\n")
    guest.poweroff()
