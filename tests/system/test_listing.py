# SPDX-License-Identifier: BSD-3-Clause
"""What the operator reads: types, list, definitions, in the text and JSON of mdevctl; attributes; run."""

import json
import os
import stat
import subprocess

from conftest import add_store
from lib_system import fails
from umdevtest import process, wait_for
from umdevtest.daemon import as_user, program
from umdevtest.vfiouser import Client

FIRST = "11111111-2222-3333-4444-555555555555"
SECOND = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

TYPES = """\
store
  nvme-16m
    Available instances: {small}
    Device API: vfio-pci
    Name: umdev NVMe 16 MiB
    Description: NVMe drive of 16 MiB, 512-byte blocks
  nvme-32m
    Available instances: {large}
    Device API: vfio-pci
    Name: umdev NVMe 32 MiB
    Description: NVMe drive of 32 MiB, 512-byte blocks
  nvme-rest
    Available instances: {rest}
    Device API: vfio-pci
    Name: umdev NVMe rest
    Description: NVMe drive of the largest free piece, 512-byte blocks
"""
PLAIN = """\
plain
  null-basic
    Available instances: 16
    Device API: vfio-pci
    Name: umdev null device
    Description: PCI device with a scratch register
"""


def test_empty(daemon):
    assert daemon.ok("types") == daemon.ok("list") == daemon.ok("list", "-d") == ""
    assert daemon.ok("types", "--dumpjson") == daemon.ok("list", "--dumpjson") == "[]"
    assert json.loads(daemon.ok("parent", "list", "--json")) == []


def test_types(store):
    """All types draw on one pool: each start changes the numbers of all."""
    store.ok("parent", "add", "plain", "--driver", "null")
    assert store.ok("types") == PLAIN + TYPES.format(small=4, large=2, rest=1)
    assert store.ok("types", "-p", "store") == TYPES.format(small=4, large=2, rest=1)
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    assert store.ok("types", "-p", "store") == TYPES.format(small=3, large=1, rest=1)
    store.ok("start", "-u", SECOND, "-p", "store", "-t", "nvme-rest")
    assert store.ok("types", "-p", "store") == TYPES.format(small=0, large=0, rest=0)
    store.ok("stop", "-u", SECOND)
    store.ok("stop", "-u", FIRST)
    assert store.ok("types", "-p", "store") == TYPES.format(small=4, large=2, rest=1)


def test_types_of_a_class(store):
    """Of all parents or one; a word that is no class is refused with those that are."""
    store.ok("parent", "add", "plain", "--driver", "null")
    assert store.ok("types", "--class", "compute") == PLAIN
    assert store.ok("types", "--class", "storage") == TYPES.format(small=4, large=2, rest=1)
    assert store.ok("types", "--class", "compute", "-p", "store") == store.ok("types", "--class", "network") == ""
    assert [row["id"] for row in store.rpc("type.list", **{"class": "compute"})["types"]] == ["null-basic"]
    fails(store, "types", "--class", "disk", says=["disk", "storage, display, serial, crypto, network, compute"])


def test_types_as_json(store):
    text = store.ok("types", "--dumpjson")
    assert not text.endswith("\n")
    entry = {"available_instances": 4, "device_api": "vfio-pci", "name": "umdev NVMe 16 MiB",
             "description": "NVMe drive of 16 MiB, 512-byte blocks"}
    (parents,) = json.loads(text)
    assert list(parents) == ["store"]
    assert parents["store"][0] == {"nvme-16m": entry}
    assert list(parents["store"][0]["nvme-16m"]) == list(entry)
    by_rpc = {row["id"]: row for row in store.rpc("type.list")["types"]}
    assert by_rpc["nvme-16m"]["class"] == "storage"
    assert by_rpc["nvme-16m"]["attributes"] == {"capacity": str(16 << 20), "block_size": "512"}
    assert by_rpc["nvme-16m"]["max_instances"] == 4


def test_list(store):
    store.ok("define", "-u", SECOND, "-p", "store", "-t", "nvme-32m", "--auto")
    store.ok("start", "-u", FIRST.upper(), "-p", "store", "-t", "nvme-16m")
    assert store.ok("list") == f"{FIRST} store nvme-16m manual\n"
    assert store.ok("list", "-d") == f"{SECOND} store nvme-32m auto\n"
    store.ok("start", "-u", SECOND)
    assert store.ok("list") == f"{FIRST} store nvme-16m manual\n{SECOND} store nvme-32m auto (defined)\n"
    assert store.ok("list", "-d") == f"{SECOND} store nvme-32m auto (active)\n"
    assert store.ok("list", "-u", FIRST) == f"{FIRST} store nvme-16m manual\n"
    assert store.ok("list", "-p", "other") == ""
    store.ok("undefine", "-u", SECOND)
    assert store.ok("list", "-u", SECOND).startswith(f"{SECOND} store nvme-32m ")
    assert store.ok("list", "-d") == ""


def test_list_as_json(store):
    store.ok("define", "-u", FIRST, "-p", "store", "-t", "nvme-16m", "--attr", "nvme/serial=S1", "--attr", "queues=4")
    content = {"mdev_type": "nvme-16m", "start": "manual", "attrs": [{"nvme/serial": "S1"}, {"nvme/queues": "4"}]}
    assert json.loads(store.ok("list", "-d", "--dumpjson")) == [{"store": [{FIRST: content}]}]
    one = store.ok("list", "-d", "-u", FIRST, "--dumpjson")
    assert json.loads(one) == content
    verbose = store.ok("list", "-d", "-v")
    assert verbose == (f"{FIRST} store nvme-16m manual\n  Attrs:\n    @{{0}}: {{\"nvme/serial\":\"S1\"}}\n"
                       f"    @{{1}}: {{\"nvme/queues\":\"4\"}}\n")
    path = store.directory / "definition.json"
    path.write_text(one)
    path.chmod(0o644)
    store.ok("define", "-u", SECOND, "-p", "store", "--jsonfile", path)
    assert json.loads(store.ok("list", "-d", "-u", SECOND, "--dumpjson")) == content
    on_disk = json.loads(store.definition("store", SECOND).read_text())
    assert {key: on_disk[key] for key in content} == content and on_disk["type_name"] == "umdev NVMe 16 MiB"


def test_definition_from_standard_input(store):
    """As libvirt passes it."""
    ctl = f"{program('umdevctl', store.bindir)} --root {store.root}"
    command = f"{ctl} define -u {FIRST} -p store --jsonfile=/dev/stdin"
    content = json.dumps({"mdev_type": "nvme-16m", "start": "auto", "attrs": []})
    words = as_user(store.uid) + ["sh", "-c", f"echo '{content}' | {command}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert store.ok("list", "-d") == f"{FIRST} store nvme-16m auto\n"


def test_attributes_take_effect(store):
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m", "--attr", "nvme/serial=SERIAL-7", "--attr",
             "nvme/interrupts=msi", "--attr", "mdev/socket_mode=0660")
    mode = stat.S_IMODE(os.stat(store.socket_path(FIRST)).st_mode)
    assert mode == 0o660
    with Client(store.socket_path(FIRST)) as client:
        client.like_qemu()
        assert client.capability(0x05) and not client.capability(0x11)


def test_socket_is_private_by_default(store):
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    status = os.stat(store.socket_path(FIRST))
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, store.uid)
    assert stat.S_IMODE(os.stat(store.control_socket).st_mode) == 0o660


def test_modify(store):
    store.ok("define", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    store.ok("modify", "-u", FIRST, "--auto")
    store.ok("modify", "-u", FIRST, "--addattr", "nvme/queues", "--value", "2")
    store.ok("modify", "-u", FIRST, "--addattr", "nvme/serial", "--value", "A", "-i", "0")
    assert store.mdev(FIRST, True)["attrs"] == [{"nvme/serial": "A"}, {"nvme/queues": "2"}]
    store.ok("modify", "-u", FIRST, "--delattr", "-i", "0")
    assert store.mdev(FIRST, True)["attrs"] == [{"nvme/queues": "2"}]
    store.ok("modify", "-u", FIRST, "--delattr", "--manual")
    assert store.mdev(FIRST, True)["attrs"] == [] and store.mdev(FIRST, True)["start"] == "manual"
    fails(store, "modify", "-u", FIRST, "--delattr", says=FIRST)
    fails(store, "modify", "-u", FIRST, "--addattr", "nvme/queues", "--value", "99", says="nvme/queues")
    fails(store, "modify", "-u", FIRST, "--addattr", "nvme/colour", "--value", "red", says="nvme/colour")
    fails(store, "modify", "-u", FIRST, "--addattr", "nvme/queues", "--value", "1", "-i", "7", says="7")
    store.ok("modify", "-u", FIRST, "-t", "nvme-32m", "--auto")
    store.ok("start", "-u", FIRST)
    assert store.ok("list") == f"{FIRST} store nvme-32m auto (defined)\n"


def test_type_by_name(store):
    ident = store.ok("define", "-p", "store", "--type-name", "umdev NVMe 32 MiB").strip()
    store.ok("start", "-u", ident)
    assert store.ok("list", "-u", ident) == f"{ident} store nvme-32m manual (defined)\n"


def test_transient_by_type_name(store):
    """What is started by its name alone has the id of that name."""
    ident = store.ok("start", "-p", "store", "--type-name", "umdev NVMe 32 MiB").strip()
    assert store.ok("list") == f"{ident} store nvme-32m manual\n"


def test_type_that_changed_its_name(store):
    """The id is there under another name: an error that says both, never another type in silence."""
    store.ok("define", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    path = store.definition("store", FIRST)
    content = json.loads(path.read_text())
    content["type_name"] = "umdev NVMe sixteen"
    path.write_text(json.dumps(content))
    store.restart()
    fails(store, "start", "-u", FIRST, says=["umdev NVMe sixteen", "umdev NVMe 16 MiB"])


def test_type_whose_id_changed(store):
    """The name is there under another id: the name wins, the definition is corrected, with a warning."""
    store.ok("define", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    path = store.definition("store", FIRST)
    path.write_text(path.read_text().replace('"nvme-16m"', '"nvme-old"'))
    store.restart()
    assert store.ctl("start", "-u", FIRST).rc == 0
    assert store.ok("list") == f"{FIRST} store nvme-16m manual (defined)\n"
    assert json.loads(path.read_text())["mdev_type"] == "nvme-16m"
    assert any("nvme-old" in event["message"] for event in store.events())


def test_generated_uuid_is_printed(store):
    ident = store.ok("start", "-p", "store", "-t", "nvme-16m")
    assert len(ident) == 37 and store.mdev(ident.strip())
    assert store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m") == ""


def test_definition_of_an_active_mdev(store):
    """define with nothing but the UUID copies parent and type."""
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m", "--attr", "nvme/queues=3")
    store.ok("define", "-u", FIRST)
    assert store.ok("list", "-d") == f"{FIRST} store nvme-16m manual (active)\n"
    assert store.mdev(FIRST, True)["attrs"] == [{"nvme/queues": "3"}]


def test_one_uuid_on_two_parents(store):
    add_store(store, name="second")
    for parent in ("store", "second"):
        store.ok("define", "-u", FIRST, "-p", parent, "-t", "nvme-16m")
    fails(store, "start", "-u", FIRST, says=FIRST)
    store.ok("start", "-u", FIRST, "-p", "second")
    fails(store, "start", "-u", FIRST, "-p", "store", says="second")
    store.ok("stop", "-u", FIRST)
    store.ok("start", "-u", FIRST, "-p", "store")
    store.ok("undefine", "-u", FIRST, "-p", "second")
    assert store.ok("list", "-d") == f"{FIRST} store nvme-16m manual (active)\n"


def test_verbose_list(store):
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m", "--owner", "the tests")
    text = store.ok("list", "-v")
    assert text.startswith(f"{FIRST} store nvme-16m manual\n")
    assert f"Socket: {store.socket_path(FIRST)}\n" in text and "the tests" in text
    with Client(store.socket_path(FIRST)) as client:
        client.like_qemu()
        wait_for(lambda: f"pid {os.getpid()}," in store.ok("list", "-v"), "the client in the listing")


def test_qemu_arguments(store):
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    text = store.ok("qemu-args", FIRST)
    assert str(store.socket_path(FIRST)) in text and "vfio-user-pci" in text and "share=on" in text
    fails(store, "qemu-args", SECOND, says=SECOND)


def test_events(store):
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    store.ok("stop", "-u", FIRST)
    kinds = [event["event"] for event in store.events(FIRST)]
    assert kinds == ["mdev.started", "mdev.stopped"]
    rows = [json.loads(line) for line in store.ok("events", "--json").splitlines()]
    numbers = [row["seq"] for row in rows]
    assert numbers == sorted(set(numbers))
    watcher = store.connect()
    watcher.call("event.watch")
    store.ok("start", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    notification = watcher.read()
    assert notification["params"]["event"] == "mdev.started" and notification["params"]["uuid"] == FIRST
    watcher.close()


def test_parent_list(store):
    (parent,) = json.loads(store.ok("parent", "list", "--json"))
    assert (parent["name"], parent["driver"], parent["state"]) == ("store", "nvme", "ready")
    assert parent["pool"] == {"units": 64 << 20, "free": 64 << 20, "unit": "bytes"}
    assert parent["mdevs"] == {"active": 0, "defined": 0} and parent["host"]["restarts"] == 0
    rows = store.ok("parent", "list").splitlines()
    assert len(rows) == 2 and rows[0].split()[0] == "NAME" and rows[1].split()[:3] == ["store", "nvme", "ready"]


def test_parent_removed_and_added_again(store):
    """Definitions stay; the parent's data and slices too, as long as its file does."""
    store.ok("define", "-u", FIRST, "-p", "store", "-t", "nvme-16m")
    store.ok("parent", "remove", "store")
    assert store.ok("types") == "" and store.ok("list", "-d") == f"{FIRST} store nvme-16m manual\n"
    add_store(store)
    store.ok("start", "-u", FIRST)


def test_doctor(store):
    result = store.ctl("doctor")
    assert result.rc in (0, 1) and result.out
    assert all(check["status"] in ("ok", "warning", "failed") for check in store.rpc("doctor")["checks"])


def test_versions(store):
    assert store.ok("--version").startswith("umdevctl ")
    assert store.rpc("version")["root"] == str(store.root)


def run_private(daemon, *command, parent="driver=nvme,name=p,ram=32M,types=16m",
                mdev=f"type=nvme-16m,parent=p,uuid={FIRST}"):
    """umdevctl run with a private daemon."""
    words = as_user(daemon.uid) + [program("umdevctl", daemon.bindir), "run", "--parent", parent, "--mdev", mdev, "--",
                                   *command]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL, cwd="/")


def test_run(make_daemon, user):
    """A private daemon for one command: it is there for the command, and gone with it."""
    daemon = make_daemon(user)
    ctl = program("umdevctl", daemon.bindir)
    result = run_private(daemon, "sh", "-c", f"echo $UMDEV_ROOT; {ctl} list; echo $PPID; exit 7")
    assert result.returncode == 7, result
    root, listed, parent = result.stdout.splitlines()
    assert listed == f"{FIRST} p nvme-16m manual"
    assert not os.path.exists(root), "the private root was left behind"
    assert not process.start_time(int(parent)) or int(parent) == os.getpid()
    assert not process.marked(root.encode())


def test_run_that_cannot(make_daemon, user):
    daemon = make_daemon(user)
    for keywords, code in (({"parent": "driver=nosuch"}, 1), ({"parent": "nonsense"}, 2),
                           ({"mdev": "type=nvme-99m"}, 1)):
        result = run_private(daemon, "echo", "ran", **keywords)
        assert result.returncode == code and result.stdout == "", result
        assert result.stderr.count("\n") == 1, result
    assert run_private(daemon, "/nonexistent/command").returncode in (1, 126, 127)
