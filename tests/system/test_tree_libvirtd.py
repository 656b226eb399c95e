# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified libvirtd finds parents, types and mdevs in the tree, and makes and removes mdevs there.

Once it works with the host's mdevctl, once with umdevctl under that name.
"""

import subprocess

import pytest

from umdevtest import wait_for
from umdevtest.daemon import new_uuid
from umdevtest.libvirt import SLOW_S, Libvirtd, device_xml, node_name
from umdevtest.tree import CARD, STORE, STORE_TYPE

FIRST = "11111111-2222-3333-4444-555555555555"
PARENTS = [(STORE, "mtty_store"), (CARD, "pci_0000_86_00_0")]
ATTRS = [("nvme/queues", "5"), ("mdev/weight", "55")]


@pytest.fixture(params=["mdevctl", "umdevctl"], name="libvirtd")
def fixture_libvirtd(request, scene):
    """libvirtd with one of the two."""
    libvirtd = Libvirtd(scene, request.param)
    yield libvirtd
    libvirtd.close()


def validates(xml: str, directory) -> None:
    """libvirt's own schema accepts it."""
    path = directory / "device.xml"
    path.write_text(xml)
    done = subprocess.run(["virt-xml-validate", path, "nodedev"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def values(daemon, ident: str) -> dict:
    """The attributes of an active mdev as the daemon has them."""
    return {name: value for attr in daemon.mdev(ident)["attrs"] for name, value in attr.items()}


def test_parents(libvirtd, tmp_path):
    """Parents and their types, under the names that libvirt gives them."""
    assert set(libvirtd.names("--cap", "mdev_types")) == {"mtty_store", "pci_0000_86_00_0", "mtty_plain"}
    for _, name in PARENTS:
        found = libvirtd.xml(name)
        types = {node.get("id"): node for node in found.iter("type")}
        assert list(types) == ["nvme-16m", "nvme-32m", "nvme-rest"]
        assert types[STORE_TYPE].findtext("name") == "umdev NVMe 16 MiB"
        assert types[STORE_TYPE].findtext("deviceAPI") == "vfio-pci"
        assert types[STORE_TYPE].findtext("availableInstances") == "4"
        assert found.findtext("driver/name") == "nvme"
    assert libvirtd.xml("mtty_store").findtext("path") == "/sys/devices/virtual/mtty/store"
    card = libvirtd.xml("pci_0000_86_00_0")
    assert card.findtext("path") == "/sys/devices/pci0000:86/0000:86:00.0"
    assert [card.findtext(f"capability/{name}") for name in ("class", "domain", "bus", "slot", "function")] == [
        "0x010802", "0", "134", "0", "0"]
    # What libvirt prints of a parent in mtty does not pass its own schema, whoever made the tree.
    validates(libvirtd.ok("nodedev-dumpxml", "pci_0000_86_00_0"), tmp_path)


@pytest.mark.parametrize("parent, name", PARENTS)
def test_transient(libvirtd, tmp_path, parent, name):
    """nodedev-create and nodedev-destroy, with attributes; the pool shows it, and events tell it."""
    events = libvirtd.watch()
    device = node_name(FIRST, parent)
    assert device in libvirtd.ok("nodedev-create", "/dev/stdin", stdin=device_xml(name, STORE_TYPE, FIRST, ATTRS))
    events.wait("Created", device)
    assert values(libvirtd.daemon, FIRST) == dict(ATTRS)
    assert libvirtd.daemon.socket_path(FIRST).is_socket()
    assert libvirtd.available(name, STORE_TYPE) == 3
    found = libvirtd.xml(device)
    assert found.findtext("parent") == name
    assert found.findtext("capability/uuid") == FIRST
    assert found.find("capability/type").get("id") == STORE_TYPE
    assert int(found.find("capability/iommuGroup").get("number")) == libvirtd.daemon.mdev(FIRST)["iommu_group"]
    validates(libvirtd.ok("nodedev-dumpxml", device), tmp_path)
    info = libvirtd.info(device)
    assert (info["Active"], info["Persistent"]) == ("yes", "no")
    libvirtd.ok("nodedev-destroy", device)
    events.wait("Deleted", device)
    assert libvirtd.daemon.mdev(FIRST) is None
    assert libvirtd.available(name, STORE_TYPE) == 4


def test_uuid_is_made(libvirtd):
    said = libvirtd.ok("nodedev-create", "/dev/stdin", stdin=device_xml("mtty_store", STORE_TYPE))
    (mdev,) = libvirtd.daemon.rpc("mdev.list")["mdevs"]
    assert node_name(mdev["uuid"], STORE) in said


@pytest.mark.parametrize("parent, name", PARENTS)
def test_persistent(libvirtd, tmp_path, parent, name):
    """A definition's whole life, each step told by an event; the definition is umdev's, too."""
    events = libvirtd.watch()
    device = node_name(FIRST, parent)
    daemon = libvirtd.daemon
    libvirtd.ok("nodedev-define", "/dev/stdin", stdin=device_xml(name, STORE_TYPE, FIRST, ATTRS))
    events.wait("Defined", device)
    assert daemon.definition(parent, FIRST).exists()
    wait_for(lambda: daemon.ok("list", "-d") == f"{FIRST} {parent} {STORE_TYPE} manual\n", "it in umdevctl", 5)
    validates(libvirtd.ok("nodedev-dumpxml", device), tmp_path)
    info = libvirtd.info(device)
    assert (info["Active"], info["Persistent"], info["Autostart"]) == ("no", "yes", "no")

    libvirtd.ok("nodedev-start", device)
    events.wait("Created", device)
    assert values(daemon, FIRST) == dict(ATTRS)
    libvirtd.ok("nodedev-autostart", device)
    wait_for(lambda: libvirtd.info(device)["Autostart"] == "yes", "autostart in nodedev-info", 5)
    wait_for(lambda: daemon.ok("list", "-d") == f"{FIRST} {parent} {STORE_TYPE} auto (active)\n", "auto in umdevctl", 5)
    validates(libvirtd.ok("nodedev-dumpxml", device), tmp_path)

    libvirtd.ok("nodedev-destroy", device)
    events.wait("Deleted", device)
    assert daemon.mdev(FIRST) is None
    libvirtd.ok("nodedev-undefine", device)
    events.wait("Undefined", device)
    wait_for(lambda: device not in libvirtd.names("--all"), "the device gone from the list", 5)
    assert not daemon.definition(parent, FIRST).exists()
    assert max(libvirtd.took.values()) < SLOW_S, libvirtd.took


def test_create_after_start(libvirtd):
    """While libvirt starts a definition it reads no events; the next creation is waited for all the same."""
    for _ in range(8):
        started, made = new_uuid(), new_uuid()
        libvirtd.ok("nodedev-define", "/dev/stdin", stdin=device_xml("pci_0000_86_00_0", STORE_TYPE, started))
        libvirtd.ok("nodedev-start", node_name(started, CARD))
        libvirtd.ok("nodedev-create", "/dev/stdin", stdin=device_xml("mtty_store", STORE_TYPE, made))
        libvirtd.ok("nodedev-destroy", node_name(made, STORE))
        libvirtd.ok("nodedev-destroy", node_name(started, CARD))
        libvirtd.ok("nodedev-undefine", node_name(started, CARD))


def test_defined_by_umdevctl(libvirtd):
    """libvirt sees what was defined without it, and starts it."""
    device = node_name(FIRST, CARD)
    libvirtd.daemon.ok("define", "-u", FIRST, "-p", CARD, "-t", STORE_TYPE, "--attr", "mdev/priority=4")
    wait_for(lambda: device in libvirtd.names("--all"), "the device in libvirt's list", 5)
    libvirtd.ok("nodedev-start", device)
    assert values(libvirtd.daemon, FIRST) == {"mdev/priority": "4"}
    libvirtd.daemon.ok("undefine", "-u", FIRST)
    wait_for(lambda: libvirtd.info(device)["Persistent"] == "no", "the definition gone", 5)
    libvirtd.ok("nodedev-destroy", device)


def test_made_without_libvirt(libvirtd, scene):
    """What umdevctl and a shell make and remove appears in libvirt, and goes, at once."""
    events = libvirtd.watch()
    other = new_uuid()
    types = f"/sys/class/mdev_bus/{CARD}/mdev_supported_types"
    steps = (
        (FIRST, STORE, lambda: libvirtd.daemon.ok("start", "-u", FIRST, "-p", STORE, "-t", STORE_TYPE),
         lambda: libvirtd.daemon.ok("stop", "-u", FIRST)),
        (other, CARD, lambda: scene.ok("sh", "-c", f"echo {other} > {types}/nvme-32m/create"),
         lambda: scene.ok("sh", "-c", f"echo 1 > /sys/bus/mdev/devices/{other}/remove")))
    for ident, parent, make, remove in steps:
        device = node_name(ident, parent)
        make()
        events.wait("Created", device, 1)
        assert device in libvirtd.names("--cap", "mdev")
        assert libvirtd.xml(device).findtext("capability/uuid") == ident
        remove()
        events.wait("Deleted", device, 1)
        assert device not in libvirtd.names("--cap", "mdev")


def test_parent_comes_and_goes(libvirtd):
    """A parent added to a running daemon is there for libvirt, and one that is removed is not."""
    daemon = libvirtd.daemon
    daemon.ok("parent", "add", "0000:af:01.2", "--driver", "null")
    wait_for(lambda: "pci_0000_af_01_2" in libvirtd.names("--cap", "mdev_types"), "the new parent", 5)
    libvirtd.ok("nodedev-create", "/dev/stdin", stdin=device_xml("pci_0000_af_01_2", "null-basic", FIRST))
    daemon.ok("parent", "remove", "0000:af:01.2", "--force")
    wait_for(lambda: "pci_0000_af_01_2" not in libvirtd.names(), "the parent gone", 5)
    assert node_name(FIRST, "0000:af:01.2") not in libvirtd.names("--cap", "mdev")


def test_refusals(libvirtd):
    """What cannot be made is refused with a reason, and nothing is left of it."""
    for xml, says in (
            (device_xml("mtty_store", "nvme-1t", FIRST), ""),
            (device_xml("mtty_store", STORE_TYPE, FIRST, [("nvme/interrupts", "smoke")]), ""),
            (device_xml("mtty_store", STORE_TYPE, FIRST, [("nvme/nothing", "1")]), "nvme/nothing")):
        result = libvirtd.run("nodedev-create", "/dev/stdin", stdin=xml)
        assert result.rc == 1 and says in result.err, result
        assert libvirtd.daemon.rpc("mdev.list")["mdevs"] == []
    for _ in range(4):
        libvirtd.ok("nodedev-create", "/dev/stdin", stdin=device_xml("mtty_store", STORE_TYPE))
    result = libvirtd.run("nodedev-create", "/dev/stdin", stdin=device_xml("mtty_store", STORE_TYPE, FIRST))
    assert result.rc == 1, result
    assert len(libvirtd.names("--cap", "mdev")) == 4
