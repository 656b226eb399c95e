# SPDX-License-Identifier: BSD-3-Clause
"""Verbs at random, and what each of them must come to: done or not done, and nothing in between.

A Model says what there is: uuid -> parent, type, and the attributes of its definition and of the device, None where
there is none. A verb is a call and the model as it is once that is done.
"""

import copy
import json
from collections import namedtuple

from . import Failure, process, wait_for
from .daemon import Daemon, new_uuid

GROUP = "00000000-0000-4000-8000-0000000000aa"
PER_PARENT = 4

Verb = namedtuple("Verb", "method params after")


def attributes(mdev: dict) -> dict:
    """Its attributes as one object."""
    return {name: value for pair in mdev["attrs"] for name, value in pair.items()}


def look(daemon: Daemon) -> dict:
    """The model of what a daemon says there is."""
    mdevs = {}
    for defined in (True, False):
        for mdev in daemon.rpc("mdev.list", defined=defined)["mdevs"]:
            row = mdevs.setdefault(mdev["uuid"], {"parent": mdev["parent"], "type": mdev["type"], "defined": None,
                                                  "running": None})
            row["defined" if defined else "running"] = attributes(mdev)
    groups = daemon.rpc("group.list")["groups"]
    return {"mdevs": mdevs, "weights": {group["group"]: group["weight"] for group in groups}}


class Model:
    """What there is, as far as it was acknowledged."""

    def __init__(self, rng, types: dict, remade: str):
        self._random = rng
        self._types = types  # parent -> type
        self._remade = remade  # the parent whose attribute below makes devices anew
        self.now = {"mdevs": {}, "weights": {}}

    # ---- verbs

    def _weight(self) -> dict:
        return {"mdev/weight": str(self._random.randrange(1, 1000))}

    def _pick(self, **wanted):
        """An mdev with or without a definition or a device, or None."""
        found = [ident for ident, row in sorted(self.now["mdevs"].items())
                 if all((row[key] is not None) == value for key, value in wanted.items())]
        return self._random.choice(found) if found else None

    def _after(self, ident: str, **changes) -> dict:
        """The model with other values of one mdev, which is gone when it has neither."""
        after = copy.deepcopy(self.now)
        after["mdevs"].setdefault(ident, {"defined": None, "running": None}).update(changes)
        row = after["mdevs"][ident]
        if row["defined"] is None and row["running"] is None:
            del after["mdevs"][ident]
        return after

    def _new(self, method: str, key: str):
        rows = [row["parent"] for row in self.now["mdevs"].values()]
        free = [parent for parent in sorted(self._types) if rows.count(parent) < PER_PARENT]
        if not free:
            return None
        ident, parent, attrs = new_uuid(), self._random.choice(free), self._weight()
        row = {"parent": parent, "type": self._types[parent]}
        return Verb(method, {"uuid": ident, **row, "attrs": [attrs]}, self._after(ident, **row, **{key: attrs}))

    def define(self):
        """A new definition."""
        return self._new("mdev.define", "defined")

    def create(self):
        """A transient mdev."""
        return self._new("mdev.start", "running")

    def start(self):
        """What is defined starts."""
        ident = self._pick(defined=True, running=False)
        row = self.now["mdevs"].get(ident)
        if not row or "mdev/group" in row["defined"]:
            return None
        return Verb("mdev.start", {"uuid": ident}, self._after(ident, running=row["defined"]))

    def stop(self):
        """What is active stops."""
        ident = self._pick(running=True)
        return ident and Verb("mdev.stop", {"uuid": ident}, self._after(ident, running=None))

    def undefine(self):
        """A definition goes."""
        ident = self._pick(defined=True)
        if not ident or "mdev/group" in self.now["mdevs"][ident]["defined"]:
            return None
        return Verb("mdev.undefine", {"uuid": ident}, self._after(ident, defined=None))

    def modify(self):
        """A definition changes."""
        ident = self._pick(defined=True)
        attrs = self._weight()
        return ident and Verb("mdev.modify", {"uuid": ident, "attrs": [attrs]},
                              self._after(ident, defined={**self.now["mdevs"][ident]["defined"], **attrs}))

    def modify_both(self):
        """An active mdev changes and its definition becomes what it is."""
        ident = self._pick(defined=True, running=True)
        if not ident:
            return None
        attrs = {**self.now["mdevs"][ident]["running"], **self._weight()}
        return Verb("mdev.modify", {"uuid": ident, "attrs": [{"mdev/weight": attrs["mdev/weight"]}], "live": True,
                                    "defined": True}, self._after(ident, defined=attrs, running=attrs))

    def qos(self):
        """An active mdev changes."""
        ident = self._pick(running=True)
        attrs = self._weight()
        return ident and Verb("mdev.qos", {"uuid": ident, "weight": int(attrs["mdev/weight"])},
                              self._after(ident, running={**self.now["mdevs"][ident]["running"], **attrs}))

    def qos_both(self):
        """The same, and its definition."""
        ident = self._pick(defined=True, running=True)
        if not ident:
            return None
        attrs, row = self._weight(), self.now["mdevs"][ident]
        return Verb("mdev.qos", {"uuid": ident, "weight": int(attrs["mdev/weight"]), "defined": True},
                    self._after(ident, defined={**row["defined"], **attrs}, running={**row["running"], **attrs}))

    def remake(self):
        """An active mdev is made anew."""
        found = [ident for ident, row in sorted(self.now["mdevs"].items())
                 if row["running"] is not None and row["parent"] == self._remade]
        if not found:
            return None
        ident = self._random.choice(found)
        attrs = {"nvme/model": f"model {self._random.randrange(1000)}"}
        return Verb("mdev.set", {"uuid": ident, "name": "nvme/model", "value": attrs["nvme/model"]},
                    self._after(ident, running={**self.now["mdevs"][ident]["running"], **attrs}))

    def group_start(self):
        """All members that are not active start, or none."""
        after = copy.deepcopy(self.now)
        idle = [row for row in after["mdevs"].values() if row["defined"] and "mdev/group" in row["defined"]
                and row["running"] is None]
        for row in idle:
            row["running"] = dict(row["defined"])
        return Verb("group.start", {"group": GROUP}, after) if idle else None

    def group_stop(self):
        """All members that are active stop, or none."""
        after = copy.deepcopy(self.now)
        members = [ident for ident, row in after["mdevs"].items() if "mdev/group" in (row["running"] or {})]
        for ident in members:
            after["mdevs"][ident]["running"] = None
        return Verb("group.stop", {"group": GROUP}, after) if members else None

    def group_qos(self):
        """What the group may get as a whole."""
        after = copy.deepcopy(self.now)
        if not after["weights"]:
            return None
        after["weights"][GROUP] = self._random.randrange(1, 1000)
        return Verb("group.qos", {"group": GROUP, "weight": after["weights"][GROUP]}, after)

    def any(self) -> Verb:
        """One that there is something for."""
        kinds = [self.define, self.create, self.start, self.start, self.stop, self.undefine, self.modify,
                 self.modify_both, self.qos, self.qos_both, self.remake, self.group_start, self.group_start,
                 self.group_stop, self.group_qos]
        while True:
            verb = self._random.choice(kinds)()
            if verb:
                return verb


# ---- what must agree with it


def check(daemon: Daemon, model: dict, beside: dict) -> None:
    """Disk, sockets, pools and hosts agree with a model. @beside: parent -> uuids of what is active besides."""
    active = {ident for ident, row in model["mdevs"].items() if row["running"] is not None}
    for idents in beside.values():
        active |= set(idents)
    run = daemon.root / "run/umdev/mdevs"
    sockets = {path.parent.name for path in run.glob("*/vfio-user.sock")}
    if sockets != active or {path.name for path in run.iterdir()} != active or list(run.glob("*/.*")):
        raise Failure(f"sockets of {sockets ^ active} and {[str(path) for path in run.glob('*/.*')]}")
    for parent in daemon.rpc("parent.list")["parents"]:
        here = {ident for ident, row in model["mdevs"].items() if row["parent"] == parent["name"]}
        here_active = {ident for ident in here if model["mdevs"][ident]["running"] is not None}
        here_active |= set(beside.get(parent["name"], ()))
        check_pool(daemon, parent, here | here_active, here_active)
        check_host(parent, here_active)


def check_pool(daemon: Daemon, parent: dict, known: set, active: set) -> None:
    """Each active mdev has a piece, each piece belongs to somebody, and the rest is free."""
    path = daemon.root / f"etc/umdev/parents.d/{parent['name']}.map"
    pieces = json.loads(path.read_text())["pieces"] if path.exists() else []
    held = [piece for piece in pieces if piece["state"] == "held"]
    owners = {piece["uuid"] for piece in held}
    if not active <= owners <= known:
        raise Failure(f"pieces of {parent['name']} belong to {owners}; active {active}, known {known}")
    free = parent["pool"]["units"] - sum(piece["size"] for piece in held)
    if free != parent["pool"]["free"]:
        raise Failure(f"{parent['name']} says {parent['pool']['free']} are free, by its map {free} are")


def check_host(parent: dict, active: set) -> None:
    """The host has a device for each, and no other."""
    def pages() -> int:
        return sum("memfd:umdev-state" in what for what in process.descriptors(parent["host"]["pid"]).values())

    # Those that it was told to remove it may still be taking down.
    wait_for(lambda: pages() == len(active), f"{len(active)} devices in the host of {parent['name']}")
