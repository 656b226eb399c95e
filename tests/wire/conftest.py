# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the wire tests: one world for each file of tests, one mdev for each test.

UMDEV_BUILD   the build directory under test; build by default
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position,redefined-outer-name
from umdevtest.daemon import build_directory  # noqa: E402
from umdevtest.world import PLAIN, STORE, World  # noqa: E402


def pytest_report_header(config):
    """Says at the top of a run what it tested."""
    del config
    return f"umdev: {build_directory()}"


@pytest.fixture(scope="module")
def world():
    """A daemon with parents and a neighbour."""
    world = World()
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def make_target(world):
    """Makes targets and holds each to account when the test is over."""
    targets = []
    before = {parent: world.holdings(parent) for parent in (STORE, PLAIN)}

    def make(*arguments, **keywords):
        target = world.target(*arguments, **keywords)
        targets.append(target)
        return target

    try:
        yield make
        for target in targets:
            target.leave()
        world.account(before, targets)
        for target in targets:
            target.remove()
        world.account(before, [])
        world.check()
    finally:
        for target in reversed(targets):
            target.remove()


@pytest.fixture
def target(make_target):
    """An nvme drive."""
    return make_target()


@pytest.fixture
def plain(make_target):
    """A device of the null driver."""
    return make_target(PLAIN)


@pytest.fixture
def client(target):
    """A client on a drive that has negotiated as QEMU does."""
    return target.qemu()


@pytest.fixture
def drive(target):
    """A running controller with one I/O queue."""
    return target.drive()
