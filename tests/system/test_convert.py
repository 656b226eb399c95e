# SPDX-License-Identifier: BSD-3-Clause
"""State pages of an older version of the driver's state: converted, or refused before anything is lost.

The later drivers are tests/drivers/wrapped.c: the state of "newer" has another size and another version.
"""

import json
import os
import re
import time

import pytest

from lib_system import fails
from umdevtest import wait_for
from umdevtest.daemon import TOP
from umdevtest.load import Load, wait_worked
from umdevtest.migrate import ERROR, RESUMING, RUNNING, STOP, set_state, state, state_error, take, write_stream
from umdevtest.mortal import seeded
from umdevtest.nvme import CC, CSTS, READ, ready_drive
from umdevtest.replaced import Replaced
from umdevtest.vfiouser import Client, GuestMemory

# The version of the driver's own state; "newer" and "newest" have the next ones.
OLD = int(re.search(r"NVME_STATE_VERSION (\d+)u", (TOP / "drivers/nvme/state.h").read_text()).group(1))


def drive(daemon, *words) -> str:
    """A drive on the parent p, which is added if it is not there."""
    if not daemon.rpc("parent.list")["parents"]:
        daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", f"path={daemon.directory}/p.img",
                  "--option", "size=64M", "--option", "types=16m")
    return daemon.ok("start", "-p", "p", "-t", "nvme-16m", *words).strip()


def verified(daemon, ident: str) -> Load:
    """Load that verifies what it reads."""
    load = Load(daemon, ident, 3600, rw="randrw", queues=4, depth=64, verify=True, timeout=20)
    wait_for(lambda: daemon.mdev(ident)["in_use"] or not load.running, "the client", 20)
    wait_worked(daemon, ident)
    return load


def healthy(daemon, *loads) -> None:
    """Ends them: nothing was wrong, and the clients were there all the time, as far as the daemon knows."""
    time.sleep(0.3)
    for load in loads:
        report = load.stop()
        assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
        events = [event["event"] for event in daemon.events(load.ident)]
        assert events.count("client.connected") <= 1


def page_sizes(daemon) -> set:
    """The sizes of the state pages that the daemon keeps."""
    directory = f"/proc/{daemon.pid}/fd"
    return {os.stat(f"{directory}/{fd}").st_size for fd in os.listdir(directory)
            if "umdev-state" in os.readlink(f"{directory}/{fd}")}


def host_now(daemon) -> int:
    """The process of p, in whatever state that is; 0: none."""
    return (daemon.parent("p").get("host") or {}).get("pid", 0)


def again(daemon, host: int) -> None:
    """Waits until another host than that serves."""
    wait_for(lambda: daemon.host_pid("p") != host and
             all(mdev["state"] in ("active", "in-use") for mdev in daemon.rpc("mdev.list")["mdevs"]), "another host", 20)


def test_upgrade_under_load(tmp_path, record_property):
    """Clients do not notice; a host that is killed afterwards, and another daemon, go on from the new pages."""
    it = Replaced(tmp_path, "newer")
    with it.daemon as daemon:
        idents = [drive(daemon) for _ in range(3)]
        loads = [verified(daemon, ident) for ident in idents[:2]]
        (size,) = page_sizes(daemon)
        it.replace()
        (result,) = json.loads(daemon.ok("upgrade", "p", "--json"))
        assert {mdev["uuid"] for mdev in result["mdevs"]} == set(idents)
        assert page_sizes(daemon) == {size + 8192}
        record_property("pause_ns", [mdev["pause_ns"] for mdev in result["mdevs"]])
        print("pauses", [round(mdev["pause_ns"] / 1e6, 2) for mdev in result["mdevs"]], "ms")
        told = daemon.wait_event("parent.upgraded")["message"]
        assert f"3 states converted from version {OLD} to {OLD + 1}" in told
        host = daemon.host_pid("p")
        time.sleep(0.6)  # it has proven itself
        os.kill(host, 9)
        again(daemon, host)
        daemon.crash()
        daemon.start()
        again(daemon, 0)
        daemon.ok("upgrade", "p")
        assert page_sizes(daemon) == {size + 8192}
        healthy(daemon, *loads)
        Load(daemon, idents[2], 0.2).result()


@pytest.mark.parametrize("fault,says", [
    ("picky", ("mdev ", f"its state of version {OLD} is not converted to version {OLD + 1}", "this state is nothing for me")),
    ("dies", ("killed by signal 9",)),
    ("hangs", ("did not answer 'convert' within 2000 ms",)),
])
def test_falls_back(tmp_path, fault, says):
    """One page that cannot be converted, whyever: the old host goes on with all of them, as they were."""
    it = Replaced(tmp_path, fault)
    with it.daemon as daemon:
        loads = [verified(daemon, drive(daemon)) for _ in range(3)]
        sizes = page_sizes(daemon)
        before = daemon.host_pid("p")
        it.replace()
        fails(daemon, "upgrade", "p", says=("parent p is not upgraded", *says), unchanged=False)
        assert daemon.host_pid("p") == before and page_sizes(daemon) == sizes
        daemon.ok("qos", loads[0].ident, "--weight", "300")
        healthy(daemon, *loads)


def test_next_host_killed(tmp_path):
    """The same from outside, in the midst of a conversion; and a stop that comes meanwhile."""
    it = Replaced(tmp_path, "hangs")
    with it.daemon as daemon:
        loads = [verified(daemon, drive(daemon)) for _ in range(2)]
        idle = drive(daemon)
        before = daemon.host_pid("p")
        it.replace()
        rpc = daemon.connect()
        rpc.send(b'{"jsonrpc":"2.0","id":1,"method":"parent.upgrade","params":{"name":"p"}}\n')
        after = wait_for(lambda: host_now(daemon) not in (0, before) and host_now(daemon), "the next host")
        stop = daemon.connect()
        stop.send(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "mdev.stop",
                              "params": {"uuid": idle}}).encode() + b"\n")
        time.sleep(0.1)
        os.kill(after, 9)
        error = rpc.read()["error"]
        assert "its host is what it was" in error["message"] and "killed by signal 9" in error["message"]
        assert "result" in stop.read()
        rpc.close()
        stop.close()
        assert daemon.host_pid("p") == before and daemon.mdev(idle) is None
        healthy(daemon, *loads)


def children(pid: int) -> set:
    """The processes that are children of one."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return {int(word) for word in file.read().split()}


@pytest.mark.parametrize("delay_s", [0.01, 0.02, 0.03, None, None, None])
def test_killed_at_any_moment(tmp_path, delay_s):
    """The next host is killed while it loads, converts, or serves: the old one goes on, or another next one does."""
    rnd = seeded()
    it = Replaced(tmp_path, "newer")
    with it.daemon as daemon:
        loads = [verified(daemon, drive(daemon)) for _ in range(3)]
        it.replace()
        before = children(daemon.pid)
        rpc = daemon.connect()
        rpc.send(b'{"jsonrpc":"2.0","id":1,"method":"parent.upgrade","params":{"name":"p"}}\n')
        (victim,) = wait_for(lambda: children(daemon.pid) - before, "the next host", step_s=0.0005)
        time.sleep(rnd.uniform(0.005, 0.05) if delay_s is None else delay_s)
        os.kill(victim, 9)
        answer = rpc.read()
        rpc.close()
        print(answer.get("error", {}).get("message") or answer["result"])
        wait_for(lambda: daemon.host_pid("p") != victim and
                 all(mdev["in_use"] for mdev in daemon.rpc("mdev.list")["mdevs"]), "all clients", 20)
        healthy(daemon, *loads)


def test_refused_beforehand(tmp_path):
    """Too old, and the way back: refused with what is there and what could be done, before anything is touched."""
    it = Replaced(tmp_path, "newest")
    with it.daemon as daemon:
        ident = drive(daemon)
        load = verified(daemon, ident)
        it.replace()
        before = daemon.host_pid("p")
        since = daemon.next_event()
        fails(daemon, "upgrade", "p", unchanged=False,
              says=("parent p is not upgraded", f"as version {OLD + 2}", f"as version {OLD}", f"from version {OLD + 1} on",
                    "upgrade to a driver in between first"))
        assert daemon.host_pid("p") == before
        assert {event["event"] for event in daemon.events(since=since)} == {"parent.upgraded"}
        healthy(daemon, load)
        # Without an mdev there is nothing to convert.
        daemon.ok("stop", "-u", ident)
        daemon.ok("upgrade", "p")
        load = verified(daemon, drive(daemon))
        it.put_back()
        before = daemon.host_pid("p")
        fails(daemon, "upgrade", "p", unchanged=False,
              says=(f"as version {OLD}", f"as version {OLD + 2}", "cannot convert it", "stop the mdevs first"))
        assert daemon.host_pid("p") == before
        healthy(daemon, load)


def test_converted_and_not_taken(tmp_path):
    """A driver that refuses what it converted itself: its devices begin anew on the new host, and that is told."""
    it = Replaced(tmp_path, "unwilling")
    with it.daemon as daemon:
        ident = drive(daemon)
        before = daemon.host_pid("p")
        nvme = ready_drive(daemon.socket_path(ident), GuestMemory())
        it.replace()
        daemon.ok("upgrade", "p")
        assert daemon.host_pid("p") != before
        event = daemon.wait_event("driver", ident)
        assert "begins anew: this state was another driver's" in event["message"]
        nvme.client.close()
        Load(daemon, ident, 0.2).result()


@pytest.mark.parametrize("fault,says", [
    ("newer", f"its state was converted from version {OLD} to version {OLD + 1}"),
    ("newest", f"begins anew: driver nvme on disk lays out the state of mdevs as version {OLD + 2}"),
    ("picky", f"begins anew: its state of version {OLD} is not converted to version {OLD + 1}: this state is nothing for me"),
])
def test_after_a_crash(tmp_path, fault, says):
    """A host dies, and the driver on disk is a later one: what can be converted goes on from there."""
    it = Replaced(tmp_path, fault)
    with it.daemon as daemon:
        idents = [drive(daemon) for _ in range(2)]
        drives = [ready_drive(daemon.socket_path(ident), GuestMemory()) for ident in idents]
        for nvme in drives:
            nvme.write(3, b"crash" * 102 + b"..")
        it.replace()
        host = daemon.host_pid("p")
        os.kill(host, 9)
        again(daemon, host)
        told = [event["message"] for ident in idents for event in daemon.events(ident) if event["event"] == "driver"]
        assert any(says in message for message in told), told
        lost = {"newer": 0, "newest": 2, "picky": 1}[fault]
        assert sum(daemon.mdev(ident)["in_use"] for ident in idents) == 2 - lost
        for ident, nvme in zip(idents, drives):
            if daemon.mdev(ident)["in_use"]:
                assert nvme.reg(CSTS) & 3 == 1 and nvme.read(3, 512) == b"crash" * 102 + b".."
            nvme.client.close()
            Load(daemon, ident, 0.2).result()


def test_a_bad_page_costs_its_own_device(tmp_path):
    """A conversion that kills every host, after a crash: the device that it is for begins anew, the others go on."""
    it = Replaced(tmp_path, "dies")
    with it.daemon as daemon:
        idents = [drive(daemon) for _ in range(2)]
        drives = [ready_drive(daemon.socket_path(ident), GuestMemory()) for ident in idents]
        it.replace()
        host = daemon.host_pid("p")
        os.kill(host, 9)
        again(daemon, host)
        wait_for(lambda: all(mdev["state"] in ("active", "in-use") for mdev in daemon.rpc("mdev.list")["mdevs"]), "all", 30)
        assert sum(daemon.mdev(ident)["in_use"] for ident in idents) >= 1
        for ident, nvme in zip(idents, drives):
            nvme.client.close()
            Load(daemon, ident, 0.2).result()


def test_saved_before(tmp_path):
    """A state that was saved under the older driver goes on under the later one, not the other way."""
    it = Replaced(tmp_path, "newer")
    with it.daemon as daemon:
        ident = daemon_define(daemon)
        memory = GuestMemory()
        nvme = ready_drive(daemon.socket_path(ident), memory)
        nvme.write(7, b"from before" * 46 + b"......")
        path = daemon.directory / "state"
        daemon.ok("save", ident, path)
        gone(daemon, ident, nvme)
        it.replace()
        daemon.ok("upgrade", "p")
        daemon.ok("restore", path)
        nvme = connected(daemon, ident, memory, nvme)
        assert nvme.reg(CSTS) & 3 == 1 and nvme.reg(CC) & 1
        assert nvme.read(7, 512) == b"from before" * 46 + b"......"
        nvme.client.close()
        wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
        later = daemon.directory / "later"
        daemon.ok("save", ident, later)
        daemon.ok("stop", "-u", ident)
        it.put_back()
        daemon.ok("upgrade", "p")
        fails(daemon, "restore", later, says=(f"has version {OLD + 1}", f"the driver here has version {OLD}"))


def daemon_define(daemon) -> str:
    """A drive that keeps its data while it is stopped."""
    ident = drive(daemon)
    daemon.ok("define", "-u", ident)
    return ident


def gone(daemon, ident: str, nvme) -> None:
    """Ends the client, and the drive."""
    nvme.client.close()
    wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client to be gone")
    daemon.ok("stop", "-u", ident)


def connected(daemon, ident: str, memory: GuestMemory, nvme):
    """The same guest, with the same memory, over another connection."""
    client = Client(daemon.socket_path(ident), memory)
    client.like_qemu()
    for segment in memory.segments:
        client.dma_map(segment)
    nvme.client = client
    return nvme


def test_saved_too_long_ago(tmp_path):
    """A version that is not converted is refused with what would be."""
    it = Replaced(tmp_path, "newest")
    with it.daemon as daemon:
        ident = drive(daemon)
        path = daemon.directory / "state"
        daemon.ok("save", ident, path)
        daemon.ok("stop", "-u", ident)
        it.replace()
        daemon.ok("upgrade", "p")
        fails(daemon, "restore", path,
              says=(f"has version {OLD}", f"the driver here has version {OLD + 2} and converts those from version {OLD + 1} on"))


@pytest.mark.parametrize("at", [STOP, RESUMING, ERROR])
def test_migration(tmp_path, at):
    """A stream of the older version is loaded under the later one; an upgrade in the midst of a migration."""
    it = Replaced(tmp_path, "newer")
    with it.daemon as daemon:
        ident = drive(daemon)
        nvme = ready_drive(daemon.socket_path(ident), GuestMemory())
        client = nvme.client
        nvme.write(9, b"m" * 512)
        good = take(client)
        set_state(client, RESUMING if at != STOP else STOP)
        if at == ERROR:
            assert state_error(client, STOP)
        if at == RESUMING:
            write_stream(client, good[:3000])
        it.replace()
        daemon.ok("upgrade", "p")
        assert state(client) == at
        if at == ERROR:
            client.reset()
            assert nvme.reg(CSTS) == 0
            client.close()
            return
        if at == RESUMING:
            write_stream(client, good[3000:])
        set_state(client, RUNNING)
        assert nvme.read(9, 512) == b"m" * 512
        client.close()


def test_full_queue(tmp_path):
    """Completions that the guest has not taken are told once, after the conversion as before."""
    it = Replaced(tmp_path, "newer")
    with it.daemon as daemon:
        ident = drive(daemon)
        nvme = ready_drive(daemon.socket_path(ident), GuestMemory())
        queue = nvme.io_queue(2, 4)
        page = nvme.pages()
        cids = [nvme.submit(2, nvme.sqe(READ, nsid=1, prp1=page, cdw=[n, 0, 0])) for n in range(3)]
        time.sleep(0.2)
        it.replace()
        daemon.ok("upgrade", "p")
        assert queue.head == 0
        for cid in cids:
            assert nvme.wait(2, cid).status == 0
        nvme.client.close()
