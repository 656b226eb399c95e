# SPDX-License-Identifier: BSD-3-Clause
"""libvirt's XML in and out, with its own validator, and the hook for domains."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import add_store
from lib_system import fails, picture
from umdevtest import wait_for
from umdevtest.daemon import TOP, as_user, new_uuid
from umdevtest.vfiouser import Client

HOOK = TOP / "dist/libvirt-hook/qemu"
PCI = "0000:86:00.0"


@pytest.fixture(name="parents")
def fixture_parents(daemon):
    """A daemon with a parent of each kind of name."""
    add_store(daemon)
    daemon.ok("parent", "add", PCI, "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m,32m")
    return daemon


def device(*, parent="mtty_store", kind="<type id='nvme-16m'/>", more="") -> str:
    """A node device."""
    return (f"<device>\n <name>x</name>\n <parent>{parent}</parent>\n <capability type='mdev'>\n  {kind}\n{more}"
            " </capability>\n</device>\n")


def create(daemon, text: str, *arguments):
    """umdevctl create with the text on its standard input."""
    return daemon.ctl("create", *arguments, "-", stdin=text)


def made(daemon, text: str, *arguments) -> dict:
    """The MDEV that came of it."""
    result = daemon.ctl("--json", "create", *arguments, "-", stdin=text)
    assert result.rc == 0, result
    return json.loads(result.out)


def validate(tmp_path, text: str, name="x.xml") -> None:
    """libvirt's own schema takes it."""
    path = tmp_path / name
    path.write_text(text)
    done = subprocess.run(["virt-xml-validate", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{text}"


@pytest.mark.parametrize("parent, name", [("store", "store"), ("mtty_store", "store"), (PCI, PCI),
                                          ("pci_0000_86_00_0", PCI)])
def test_names_of_parents(parents, parent, name):
    """Its own name and libvirt's."""
    assert made(parents, device(parent=parent))["parent"] == name


@pytest.mark.parametrize("kind", ["<type id='nvme-16m'/>", "<type id='16m'/>", "<type>16m</type>",
                                  "<type>umdev NVMe 16 MiB</type>", "<type name='umdev NVMe 16 MiB'/>"],
                         ids=range(5))
def test_names_of_types(parents, kind):
    """An id in full or the vendor's own, or the name."""
    assert made(parents, device(kind=kind))["type"] == "nvme-16m"


def test_attributes_and_params(parents):
    """Both become attributes, in order."""
    more = ("<attr name='mdev/weight' value='250'/>\n<params>'interrupts=msi, mdev/cap=50'</params>\n"
            "<attr name='nvme/serial' value='a&lt;b'/>\n")
    mdev = made(parents, device(more=more))
    assert mdev["attrs"] == [{"mdev/weight": "250"}, {"nvme/interrupts": "msi"}, {"mdev/cap": "50"},
                             {"nvme/serial": "a<b"}]


def test_uuid_is_printed_when_made(parents):
    """As start does."""
    uuid = new_uuid()
    assert create(parents, device(more=f"<uuid>{uuid.upper()}</uuid>")).out == ""
    assert parents.ctl("list", "-u", uuid).out.startswith(uuid)
    assert len(create(parents, device()).out) == 37


def test_define(parents):
    """The definition, not the device."""
    mdev = made(parents, device(), "--define", "--auto", "--owner", "me")
    assert mdev["defined"] and not mdev["active"] and mdev["start"] == "auto" and mdev["owner"] == "me"


@pytest.mark.parametrize("text, says", [
    (device(parent="nosuch"), ["nosuch", "store", PCI]),
    (device(kind="<type id='99'/>"), ["99", "nvme-16m"]),
    (device(kind="<type='16m'/>"), ["line 5", "<type id='...'/>"]),
    (device(more="<group>1</group>\n"), ["line 6", "'1' is no UUID"]),
    (device(more="<params>frame_rate_limiter=0</params>"), ["frame_rate_limiter", "nvme/queues"]),
    (device(more="<params>mdev/weight=200 nosuch=1</params>"), ["nosuch"]),
    (device(more="<attr name='mdev/weight' value='0'/>"), ["mdev/weight"]),
    (device(more="<vendor/>"), ["line 6", "<vendor>", "<capability>"]),
    ("<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + device(), ["DOCTYPE"]),
    ("<device>", ["line 1"]),
    ("", ["line 1"]),
    (device() + "x" * (512 * 1024), ["File too large"]),
], ids=range(12))
def test_refused_leaves_nothing(parents, text, says):
    """Whole, with the line or the key."""
    fails(parents, "create", "-", stdin=text, says=says)


def test_file_that_is_not_there(parents):
    """By its name."""
    fails(parents, "create", "/nonexistent.xml", says=["/nonexistent.xml"])
    fails(parents, "create", "--auto", "-", stdin=device(), rc=2, says=["--define"])


def test_all_that_is_printed_validates(parents, tmp_path):
    """Parents, mdevs active and defined, domains, and the fragment in a domain."""
    for name in ("store", PCI):
        text = parents.ok("xml", "--parent", name)
        validate(tmp_path, text)
        assert "<type id='nvme-16m'>" in text and "<availableInstances>4<" in text
        mdev = made(parents, device(parent=name, more="<attr name='nvme/serial' value='a&lt;&apos;b'/>"))
        uuid = mdev["uuid"]
        text = parents.ok("xml", uuid)
        validate(tmp_path, text)
        assert f"<iommuGroup number='{mdev['iommu_group']}'/>" in text
        domain = parents.ok("xml", "--domain", "--name", "d & e", "--memory", "1G", uuid)
        assert domain.startswith("<domain type='kvm'")
        validate(tmp_path, parents.ok("xml", "--domain", "--virt-type", "qemu", uuid))
        validate(tmp_path, domain)
        fragment = parents.ok("xml", "--fragment", uuid)
        plain = ("<domain type='qemu'><name>d</name><memory>1048576</memory>{0}<vcpu>1</vcpu>"
                 "<os><type>hvm</type></os>{1}</domain>")
        at = fragment.index("<qemu:commandline")
        validate(tmp_path, plain.format(fragment[:at], fragment[at:]))
        parents.ok("define", "-u", uuid)
        parents.ok("stop", "-u", uuid)
        validate(tmp_path, parents.ok("xml", uuid))
        # The socket of one that is only defined is known: the hook starts it.
        assert parents.ok("xml", "--domain", "--name", "d & e", "--memory", "1G", uuid) == domain
        assert json.loads(parents.ok("--json", "xml", uuid))["xml"] == parents.ok("xml", uuid)


def test_printed_is_taken_back(parents):
    """An mdev made from what was printed about another is the same."""
    first = made(parents, device(more="<attr name='mdev/weight' value='7'/><attr name='nvme/model' value='m'/>"))
    text = parents.ok("xml", first["uuid"])
    parents.ok("stop", "-u", first["uuid"])
    again = made(parents, text)
    for key in ("uuid", "parent", "type", "attrs"):
        assert again[key] == first[key]


def test_what_the_xml_says_counts(parents):
    """Also where the UUID is defined otherwise, as with virsh and mdevctl."""
    attrs = ("--attr", "mdev/weight=7")
    uuid = parents.ok("define", "-p", "store", "-t", "nvme-16m", *attrs).strip()
    text = parents.ok("xml", uuid)
    assert made(parents, text)["attrs"] == [{"mdev/weight": "7"}]
    parents.ok("stop", "-u", uuid)
    mdev = made(parents, device(kind="<type id='32m'/>", more=f"<uuid>{uuid}</uuid>"))
    assert mdev["type"] == "nvme-32m" and mdev["attrs"] == [] and mdev["defined"]
    assert json.loads(parents.ok("list", "-d", "-u", uuid, "--dumpjson"))["mdev_type"] == "nvme-16m"
    fails(parents, "create", "--define", "-", stdin=text, says=[uuid, "defined already"])


def test_xml_of_what_is_not_there(parents):
    """One line."""
    fails(parents, "xml", new_uuid(), says=["neither active nor defined"])
    fails(parents, "xml", "--parent", "nosuch", says=["nosuch", "store"])
    fails(parents, "xml", rc=2, says=["--parent"])
    fails(parents, "xml", new_uuid(), new_uuid(), rc=2, says=["--domain"])
    fails(parents, "xml", "--domain", "--fragment", new_uuid(), rc=2, says=["exclude"])


# ---- the hook


class Hook:
    """libvirt's call of the hook for one domain."""

    def __init__(self, daemon, xml: str, name="guest"):
        self._daemon = daemon
        self._xml = xml
        self._name = name

    def __call__(self, operation: str, step: str, name=None):
        environment = dict(os.environ, UMDEV_ROOT=str(self._daemon.root),
                           UMDEVCTL=str(self._daemon.bindir / "umdevctl"))
        return subprocess.run(as_user(self._daemon.uid) + [str(self.program()), name or self._name, operation, step, "-"],
                              input=self._xml, capture_output=True, text=True, check=False, env=environment)

    def program(self) -> Path:
        """The hook where the daemon's user can run it."""
        copy = self._daemon.directory / "qemu-hook"
        if not copy.exists():
            shutil.copy2(HOOK, copy)
            copy.chmod(0o755)
        return copy


def active(daemon) -> set:
    """The UUIDs of active mdevs."""
    return {mdev["uuid"] for mdev in daemon.rpc("mdev.list")["mdevs"]}


def test_hook_starts_and_stops_what_a_domain_needs(parents):
    """What was active before stays."""
    defined = parents.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    running = parents.ok("start", "-p", PCI, "-t", "nvme-16m").strip()
    other = parents.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    hook = Hook(parents, parents.ok("xml", "--domain", defined, running))
    for operation, step in (("start", "begin"), ("migrate", "begin")):
        assert hook(operation, step).returncode == 0
        assert active(parents) == {running}
    assert hook("prepare", "begin").returncode == 0
    assert active(parents) == {running, defined}
    assert hook("release", "end", name="another").returncode == 0
    assert active(parents) == {running, defined}
    assert hook("release", "end").returncode == 0
    assert active(parents) == {running}
    assert other not in active(parents)
    assert hook("release", "end").returncode == 0


def test_hook_knows_other_forms_of_the_argument(parents):
    """key=value, as people write it."""
    uuid = parents.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    path = parents.root / "run/umdev/mdevs" / uuid / "vfio-user.sock"
    hook = Hook(parents, f"<domain><qemu:arg value=\"vfio-user-pci,socket.type=unix,socket.path={path}\"/></domain>")
    assert hook("prepare", "begin").returncode == 0
    assert active(parents) == {uuid}
    assert hook("release", "end").returncode == 0
    assert active(parents) == set()


def test_hook_refuses_a_domain_whole(parents):
    """One mdev cannot start: none stays started, and a line says which."""
    first, second = (parents.ok("define", "-p", "store", "-t", "nvme-16m").strip() for _ in range(2))
    hook = Hook(parents, parents.ok("xml", "--domain", first, second))
    last = max(first, second)
    parents.ok("undefine", "-u", last)
    before = picture(parents)
    done = hook("prepare", "begin")
    assert done.returncode == 1 and last in done.stderr and done.stderr.count("\n") == 1
    assert picture(parents)["mdevs"] == before["mdevs"]


def test_hook_leaves_other_domains_alone(parents):
    """A domain without mdevs, strange names."""
    hook = Hook(parents, "<domain><name>x</name></domain>")
    assert hook("prepare", "begin").returncode == 0
    assert hook("prepare", "begin", name="..").returncode == 0
    assert hook("release", "end").returncode == 0


def test_hook_waits_for_qemu_to_be_gone(parents):
    """A client that is still there when the domain is released is waited for; what stays is tried again later."""
    uuid = parents.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    hook = Hook(parents, parents.ok("xml", "--domain", uuid))
    assert hook("prepare", "begin").returncode == 0
    with Client(parents.socket_path(uuid)) as client:
        client.like_qemu()
        wait_for(lambda: parents.mdev(uuid)["in_use"], "the client to be seen")
        done = hook("release", "end")
        assert done.returncode == 1 and uuid in done.stderr and done.stderr.count("\n") == 1
        assert active(parents) == {uuid}
        # It goes while the hook looks.
        timer = threading.Timer(1.5, client.close)
        timer.start()
        assert hook("release", "end").returncode == 0
        timer.join()
    assert active(parents) == set()


def test_hook_owns_what_it_started(parents):
    """Until it stopped it: also when no release came before the domain is prepared again, and when others stop it."""
    first, second = (parents.ok("define", "-p", "store", "-t", "nvme-16m").strip() for _ in range(2))
    text = parents.ok("xml", "--domain", first, second)
    hook = Hook(parents, text.replace(first, first.upper()))
    assert hook("prepare", "begin").returncode == 0
    assert hook("prepare", "begin").returncode == 0
    parents.ok("stop", "-u", first)
    done = hook("release", "end")
    assert done.returncode == 0 and done.stderr == "" and active(parents) == set()


def test_hook_without_a_daemon(parents):
    """One line for a domain that needs it; the others start."""
    uuid = parents.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    hook = Hook(parents, parents.ok("xml", "--domain", uuid))
    parents.stop()
    done = hook("prepare", "begin")
    assert done.returncode == 1 and "control.sock" in done.stderr and done.stderr.count("\n") == 1
    plain = Hook(parents, "<domain><name>x</name></domain>", name="plain")
    assert plain("prepare", "begin").returncode == plain("release", "end").returncode == 0
    parents.start()
