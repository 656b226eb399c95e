# SPDX-License-Identifier: BSD-3-Clause
"""Definition files that somebody else writes while the daemon runs."""

import json
import os
import random
import shutil
import uuid

import pytest

from lib_system import fails, refused
from umdevtest import wait_for
from umdevtest.daemon import RpcError, new_uuid

SETTLE_S = 10


def text(start="manual", attrs=(), kind="nvme-16m") -> str:
    """A definition as mdevctl writes it: without our keys, in its own order."""
    return json.dumps({"attrs": [{name: value} for name, value in attrs], "mdev_type": kind, "start": start}, indent=2)


def place(daemon, parent: str) -> None:
    """Makes the directory of a parent's definitions, as its owner would."""
    path = daemon.root / "etc/umdev/mdevs.d" / parent
    path.mkdir(exist_ok=True)
    os.chown(path, daemon.uid, daemon.uid)


def write(daemon, parent: str, ident: str, content: str):
    """Writes a definition as mdevctl does: in place."""
    path = daemon.definition(parent, ident)
    path.write_text(content, encoding="utf-8")
    os.chown(path, daemon.uid, daemon.uid)
    return path


def shown(daemon, ident: str):
    """The definition as the daemon knows it, or None."""
    return daemon.mdev(ident, defined=True)


def until(daemon, ident: str, key: str, value) -> dict:
    """Waits until the definition has a value, and returns it."""
    wait_for(lambda: (shown(daemon, ident) or {}).get(key) == value, f"{key} of {ident} to be {value}", SETTLE_S)
    return shown(daemon, ident)


def gone(daemon, ident: str) -> None:
    """Waits until nothing is defined by that name."""
    wait_for(lambda: shown(daemon, ident) is None, f"end of the definition of {ident}", SETTLE_S)


def settled(daemon) -> None:
    """Waits until everything that was written before was looked at, twice where it was bad or gone."""
    ident = new_uuid()
    place(daemon, "marker")
    write(daemon, "marker", ident, text())
    until(daemon, ident, "parent", "marker")
    daemon.definition("marker", ident).unlink()
    gone(daemon, ident)


def told(daemon, ident: str) -> list:
    """The events about a definition."""
    return [event["event"] for event in daemon.events(ident)
            if event["event"] in ("mdev.defined", "mdev.modified", "mdev.undefined", "definition.bad")]


def test_a_life_in_files(store):
    """Written in place, replaced by rename, started, removed: each step is an event and no more."""
    ident = new_uuid()
    place(store, "store")
    write(store, "store", ident, text())
    found = until(store, ident, "type", "nvme-16m")
    assert (found["parent"], found["start"], found["uid"]) == ("store", "manual", store.uid)
    fresh = store.definition("store", ident).with_name("being-written~")
    fresh.write_text(text("auto", [("mdev/weight", "200")]), encoding="utf-8")
    os.chown(fresh, store.uid, store.uid)
    fresh.rename(store.definition("store", ident))
    assert until(store, ident, "start", "auto")["attrs"] == [{"mdev/weight": "200"}]
    store.ok("start", "-u", ident)
    assert store.ok("list", "-d", "-u", ident).endswith(" auto (active)\n")
    store.ok("stop", "-u", ident)
    store.definition("store", ident).unlink()
    gone(store, ident)
    assert told(store, ident) == ["mdev.defined", "mdev.modified", "mdev.undefined"]
    fails(store, "start", "-u", ident, says="not defined")


def test_our_own_writes_are_silent(store):
    """The daemon does not answer to itself."""
    ident = new_uuid()
    store.ok("define", "-u", ident, "-p", "store", "-t", "nvme-16m")
    store.ok("modify", "-u", ident, "--auto")
    settled(store)
    store.ok("undefine", "-u", ident)
    settled(store)
    assert told(store, ident) == ["mdev.defined", "mdev.modified", "mdev.undefined"]


def test_slowly_written(store):
    """A file that is half there is not told of while it is being written, and is when it stays so."""
    ident, other = new_uuid(), new_uuid()
    store.ok("define", "-u", other, "-p", "store", "-t", "nvme-16m")
    whole = text("auto")
    with store.definition("store", ident).open("w", encoding="utf-8") as file:
        file.write(whole[:30])
        file.flush()
        os.chown(store.definition("store", ident), store.uid, store.uid)
        store.ok("list", "-d")
        file.write(whole[30:])
    until(store, ident, "start", "auto")
    settled(store)
    assert told(store, ident) == ["mdev.defined"]

    write(store, "store", ident, whole[:30])
    event = store.wait_event("definition.bad", ident)
    assert f"mdevs.d/store/{ident}" in event["message"] and event["parent"] == "store"
    assert "cannot be read" in shown(store, ident)["error"]
    assert ident in store.ctl("list", "-d").err
    fails(store, "start", "-u", ident, says=ident)
    assert "error" not in shown(store, other)
    store.ok("start", "-u", other)
    write(store, "store", ident, whole)
    wait_for(lambda: "error" not in shown(store, ident), "a good file to heal it", SETTLE_S)
    store.ok("start", "-u", ident)
    assert told(store, ident) == ["mdev.defined", "definition.bad", "mdev.modified"]
    assert told(store, other) == ["mdev.defined"]


def test_gone_while_active(store):
    """It goes on as a transient one; its piece is free once it is stopped."""
    ident = store.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    store.ok("start", "-u", ident)
    store.definition("store", ident).unlink()
    gone(store, ident)
    assert store.mdev(ident)["state"] == "active" and not store.mdev(ident)["defined"]
    assert store.parent("store")["pool"]["free"] < store.parent("store")["pool"]["units"]
    store.ok("stop", "-u", ident)
    assert store.parent("store")["pool"]["free"] == store.parent("store")["pool"]["units"]
    refused(store, "NOT_DEFINED", "mdev.start", uuid=ident)


def test_moved_away_and_back(store):
    """As editors do. The piece, and with it the data, stays."""
    ident = store.ok("define", "-p", "store", "-t", "nvme-16m").strip()
    store.ok("start", "-u", ident)
    piece = store.mdev(ident)["piece"]
    store.ok("stop", "-u", ident)
    path = store.definition("store", ident)
    path.rename(path.with_name("kept~"))
    store.ok("list", "-d")
    path.with_name("kept~").rename(path)
    settled(store)
    assert told(store, ident) == ["mdev.defined"]
    store.ok("start", "-u", ident)
    assert store.mdev(ident)["piece"] == piece


def test_directory_and_file_at_once(store):
    """Whatever is in a directory before it is watched is found, and so is what comes later."""
    for turn in range(20):
        ident, later = new_uuid(), new_uuid()
        parent = f"new{turn}"
        place(store, parent)
        write(store, parent, ident, text())
        until(store, ident, "parent", parent)
        write(store, parent, later, text())
        until(store, later, "parent", parent)
        if turn % 2:
            for path in (store.definition(parent, ident), store.definition(parent, later)):
                path.unlink()
            store.definition(parent, ident).parent.rmdir()
            gone(store, ident)
            gone(store, later)
    assert len(store.rpc("mdev.list", defined=True)["mdevs"]) == 20


def test_many_at_once(store):
    """200 files, changed and removed again, none is missed."""
    idents = [new_uuid() for _ in range(200)]
    place(store, "store")
    for ident in idents:
        write(store, "store", ident, text())
    wait_for(lambda: len(store.rpc("mdev.list", defined=True)["mdevs"]) == 200, "200 definitions", SETTLE_S)
    for ident in idents:
        write(store, "store", ident, text("auto"))
    wait_for(lambda: all(mdev["start"] == "auto" for mdev in store.rpc("mdev.list", defined=True)["mdevs"]),
             "200 changes", SETTLE_S)
    for ident in idents:
        store.definition("store", ident).unlink()
    wait_for(lambda: not store.rpc("mdev.list", defined=True)["mdevs"], "200 removals", SETTLE_S)


@pytest.mark.parametrize("restart", [False, True], ids=["watched", "loaded"])
def test_scripts_are_no_definitions(store, restart):
    """mdevctl's scripts.d lies among the directories of parents."""
    scripts = store.root / "etc/umdev/mdevs.d/scripts.d"
    for name in ("callouts", "notifiers"):
        (scripts / name).mkdir(parents=True)
        (scripts / name / "vendor.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (scripts / new_uuid()).write_text(text(), encoding="utf-8")
    if restart:
        store.restart()
    settled(store)
    assert not [event for event in store.events() if event["event"] == "definition.bad"]
    assert store.ok("list", "-d") == ""
    assert (scripts / "callouts/vendor.sh").exists()


class Chaos:
    """Several hands on the same few definitions: files written, halved, moved, removed, directories too, and calls."""

    def __init__(self, daemon, seed: int):
        self.daemon, self.random = daemon, random.Random(seed)
        self.base = daemon.root / "etc/umdev/mdevs.d"
        self.parents = ["store", "a", "b"]
        self.idents = [str(uuid.UUID(int=n + 1)) for n in range(4)]

    def step(self) -> None:
        """One of the things that somebody may do."""
        pick = self.random.choice
        parent, ident = pick(self.parents), pick(self.idents)
        path = self.daemon.definition(parent, ident)
        content = text(pick(["auto", "manual"]), [("mdev/weight", str(self.random.randint(1, 9)))])
        deed = pick(["write", "write", "half", "replace", "unlink", "move", "rmdir", "rename", "call", "call"])
        try:
            if deed in ("write", "half", "replace"):
                place(self.daemon, parent)
            if deed == "write":
                write(self.daemon, parent, ident, content)
            elif deed == "half":
                write(self.daemon, parent, ident, content[:self.random.randint(0, len(content) - 1)])
            elif deed == "replace":
                path.with_name("next~").write_text(content, encoding="utf-8")
                path.with_name("next~").rename(path)
            elif deed == "unlink":
                path.unlink()
            elif deed == "move":
                path.rename(self.daemon.definition(pick(self.parents), ident))
            elif deed == "rmdir":
                shutil.rmtree(path.parent)
            elif deed == "rename":
                path.parent.rename(self.base / pick(self.parents))
            else:
                self.call(parent, ident)
        except OSError:
            pass  # it is not there, or full

    def call(self, parent: str, ident: str) -> None:
        """What a client does meanwhile, successfully or not."""
        method, params = self.random.choice([
            ("mdev.define", {"type": "nvme-16m"}), ("mdev.modify", {"start": "auto"}), ("mdev.undefine", {"force": True})])
        try:
            self.daemon.rpc(method, uuid=ident, parent=parent, **params)
        except RpcError:
            pass

    def on_disk(self) -> dict:
        """(parent, uuid) -> (start, attributes), or None where a definition cannot be read."""
        found = {}
        for path in self.base.glob("*/????????-*"):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                found[path.parent.name, path.name] = (content["start"], content["attrs"])
            except ValueError:
                found[path.parent.name, path.name] = None
        return found

    def known(self) -> dict:
        """The same as the daemon sees it."""
        return {(mdev["parent"], mdev["uuid"]): None if "error" in mdev else (mdev["start"], mdev["attrs"])
                for mdev in self.daemon.rpc("mdev.list", defined=True)["mdevs"] if mdev["parent"] != "marker"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order(store, seed):
    """Whatever happened in whatever order: in the end the daemon knows what is on disk, and holds no other piece."""
    chaos = Chaos(store, seed)
    for _ in range(5):
        for _ in range(chaos.random.choice([10, 40, 200])):
            chaos.step()
        settled(store)
        wait_for(lambda: chaos.known() == chaos.on_disk(), f"the daemon to agree with its files (seed {seed})", SETTLE_S)
    assert store.parent("store")["pool"]["free"] == store.parent("store")["pool"]["units"]
