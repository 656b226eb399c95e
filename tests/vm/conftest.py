# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the vm tests: drives of umdev, and machines that use them.

UMDEV_BUILD       the build directory whose umdev is tested; build by default
UMDEV_VM_DEVICE   `umdev`, or `qemu`: the same tests on drives that QEMU
                  emulates, which tells whether a fault is umdev's
"""

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
from vmlib import cache  # noqa: E402
from vmlib.emulated import EmulatedDrives  # noqa: E402
from vmlib.guest import Guest  # noqa: E402
from vmlib.umdev import UmdevDrives  # noqa: E402

PROVIDERS = {"umdev": UmdevDrives, "qemu": EmulatedDrives}


def provider_name() -> str:
    """What the drives come from."""
    name = os.environ.get("UMDEV_VM_DEVICE", "umdev")
    if name not in PROVIDERS:
        raise pytest.UsageError(f"UMDEV_VM_DEVICE={name}: must be one of {', '.join(PROVIDERS)}")
    return name


def pytest_report_header(config):
    """Says at the top of a run what it tested."""
    del config
    return f"drives: {provider_name()}"


def pytest_configure(config):
    """Declares the marks."""
    config.addinivalue_line("markers", "umdev_only: has no meaning for drives that QEMU emulates")


def pytest_collection_modifyitems(items):
    """Leaves out what cannot run here, with the reason."""
    if platform.machine() != "x86_64":
        skip = pytest.mark.skip(reason=f"the guest is for x86_64, this host is {platform.machine()}")
        for item in items:
            item.add_marker(skip)
    if provider_name() != "umdev":
        for item in items:
            if item.get_closest_marker("umdev_only"):
                item.add_marker(pytest.mark.skip(reason="about umdev, and the drives are QEMU's"))


@pytest.fixture(scope="session", name="image")
def fixture_image():
    """QEMU and the guest; the first run fetches them."""
    return cache.prepare()


@pytest.fixture(name="directory")
def fixture_directory():
    """A directory for one test, whose path is short enough for socket names; kept where the test failed."""
    path = Path(tempfile.mkdtemp(prefix="umdev-vm-"))
    yield path
    shutil.rmtree(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the logs of a failed test, since its directory goes away."""
    outcome = yield
    report = outcome.get_result()
    directory = item.funcargs.get("directory") if hasattr(item, "funcargs") else None
    if call.when != "call" or not report.failed or not directory:
        return
    for path in sorted(directory.iterdir()):
        if path.suffix in (".console", ".qemu", ".log"):
            text = path.read_text(encoding="utf-8", errors="replace")
            report.sections.append((path.name, text[-8000:]))


@pytest.fixture(name="drives")
def fixture_drives(directory):
    """Makes drives: of one umdev parent, by a daemon of the test's own."""
    drives = PROVIDERS[provider_name()](directory)
    try:
        yield drives
        drives.check()
    finally:
        drives.stop()


@pytest.fixture(name="boot")
def fixture_boot(image, directory):
    """Boots machines; call it with drives and with what Guest takes."""
    guests = []

    def boot(*drives, **options) -> Guest:
        arguments = [word for drive in drives for word in drive.qemu_arguments()]
        guest = Guest(directory, name=f"guest{len(guests)}", image=image,
                      arguments=[*arguments, *options.pop("arguments", ())], **options)
        guests.append(guest)
        return guest.start()

    yield boot
    for guest in guests:
        guest.kill()


