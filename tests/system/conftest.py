# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the system tests: a daemon on a root of its own, as root and as nobody.

UMDEV_BUILD   the build directory under test; build by default
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position,redefined-outer-name
from umdevtest import namespace  # noqa: E402
from umdevtest.daemon import NOBODY, Daemon, as_user, build_directory  # noqa: E402
from umdevtest.mdevctl import fetched  # noqa: E402
from umdevtest.tree import Scene  # noqa: E402

USERS = ["root", "nobody"] if os.geteuid() == 0 else ["own"]


def pytest_report_header(config):
    """Says at the top of a run what it tested."""
    del config
    return f"umdev: {build_directory()}, as {' and '.join(USERS)}"


@pytest.fixture(scope="session")
def reachable_bin():
    """The programs where nobody can run them: in the build directory, or in a copy of it."""
    original = build_directory() / "bin"
    probe = as_user(NOBODY) + ["test", "-x", str(original / "umdevd")]
    if os.geteuid() != 0 or subprocess.run(probe, check=False).returncode == 0:
        yield original
        return
    copy = Path(tempfile.mkdtemp(prefix="umdev-bin-", dir="/tmp"))
    copy.chmod(0o755)
    for path in original.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture
def make_daemon(reachable_bin):
    """Makes daemons that are not started yet; at the end each must stop without a trace."""
    made = []

    def make(uid=None, **keywords):
        daemon = Daemon(uid=uid, bindir=reachable_bin, **keywords)
        made.append(daemon)
        return daemon

    yield make
    problems = []
    for daemon in made:
        try:
            if daemon.running or daemon.crashed:
                daemon.stop()
        except AssertionError as error:
            problems.append(str(error))
        daemon.remove()
    assert not problems, problems


@pytest.fixture(params=USERS)
def user(request):
    """Who runs the daemon: a uid."""
    return NOBODY if request.param == "nobody" else os.geteuid()


@pytest.fixture
def daemon(make_daemon, user):
    """A running daemon without parents."""
    daemon = make_daemon(user)
    daemon.start()
    return daemon


@pytest.fixture
def store(daemon):
    """A running daemon whose parent `store` shares 64 MiB in a file."""
    add_store(daemon)
    return daemon


def add_store(daemon, size="64M", types="16m,32m,rest", name="store"):
    """Adds an nvme parent on a file."""
    daemon.ok("parent", "add", name, "--driver", "nvme", "--option", f"path={daemon.directory}/{name}.img",
              "--option", f"size={size}", "--option", f"types={types}")


@pytest.fixture
def make_scene(make_daemon):
    """Makes daemons in namespaces in which their tree stands at /sys. See umdevtest.tree."""
    made = []

    def make(uid):
        reason = namespace.possible(uid)
        if reason:
            pytest.skip(reason)
        outer = namespace.Namespace("mn" if uid == 0 else "Umn", uid)
        try:
            made.append(Scene(outer, make_daemon(uid, prefix=outer.enter + ["--"])))
        except BaseException:
            outer.close()
            raise
        return made[-1]

    yield make
    for scene in made:
        scene.close()


@pytest.fixture
def scene(make_scene, user):
    """A running daemon with three parents whose tree stands at /sys in a namespace."""
    return make_scene(user)


@pytest.fixture(scope="session")
def new_mdevctl_base():
    """The fetched mdevctl where everybody can run it."""
    if platform.machine() != "x86_64":
        pytest.skip(f"the fetched mdevctl is for x86_64, this host is {platform.machine()}")
    original = fetched()
    if os.geteuid() != 0:
        yield original
        return
    copy = Path(tempfile.mkdtemp(prefix="umdev-mdevctl-", dir="/tmp"))
    copy.chmod(0o755)
    shutil.copytree(original, copy, symlinks=True, dirs_exist_ok=True)
    yield copy
    shutil.rmtree(copy)
