# SPDX-License-Identifier: BSD-3-Clause
"""What a daemon shows, and whether that may be so after a cut.

For each thing (a parent, a definition, the settings of a group, the piece of an mdev) there is what it was when the last
step before the cut was done, and what it was one step later. It has to be one of the two, as a whole."""

import json
from pathlib import Path

from umdevtest import wait_for
from umdevtest.daemon import RpcError

from .story import BLOCK, MIB, owner_of

PARTS = ("parents", "definitions", "groups", "pieces")


def maps_of(root: Path) -> dict:
    """parent -> the pieces on its map; every map must be whole."""
    return {path.stem: json.loads(path.read_text()) for path in (root / "etc/umdev/parents.d").glob("*.map")}


def picture(daemon) -> dict:
    """All that a daemon has promised to keep."""
    parents = {parent["name"]: (parent["driver"], parent["options"], parent["state"])
               for parent in daemon.rpc("parent.list")["parents"]}
    definitions = {}
    for mdev in daemon.rpc("mdev.list", defined=True)["mdevs"]:
        kept = {key: mdev.get(key) for key in ("type", "type_name", "start", "attrs", "owner", "uid", "group")}
        definitions[mdev["parent"], mdev["uuid"]] = kept
    groups = {group["group"]: (group["cap"], group["weight"]) for group in daemon.rpc("group.list")["groups"]}
    pieces = {}
    for parent, content in maps_of(daemon.root).items():
        for piece in content["pieces"]:
            if piece["state"] == "held" and (parent, piece["uuid"]) in definitions:
                pieces[parent, piece["uuid"]] = piece["start"], piece["size"]
    return {"parents": parents, "definitions": definitions, "groups": groups, "pieces": pieces}


def compare(found: dict, allowed: list) -> list:
    """The things of @found that are in none of the pictures @allowed, as texts."""
    wrong = []
    for part in PARTS:
        for key in sorted({key for one in [found, *allowed] for key in one[part]}, key=str):
            values = [one[part].get(key) for one in allowed]
            if part == "pieces" and None in values and (None not in values[:1] or key in found["definitions"]):
                continue  # not its own all the time: any will do
            if found[part].get(key) not in values:
                wrong.append(f"{part[:-1]} {key} is {found[part].get(key)}, not {' or '.join(map(str, values))}")
    return wrong


def blocks_of(image: bytes) -> dict:
    """offset -> whose data is there."""
    found = {at: owner_of(image[at:at + BLOCK]) for at in range(0, len(image), MIB)}
    return {at: owner for at, owner in found.items() if owner}


def image_blocks(path: Path) -> dict:
    """The same of a file, of which only the blocks are read."""
    found = {}
    with path.open("rb") as file:
        for at in range(0, path.stat().st_size, MIB):
            file.seek(at)
            found[at] = owner_of(file.read(BLOCK))
    return {at: owner for at, owner in found.items() if owner}


def lost_data(tree: dict, allowed: list, written: dict) -> list:
    """Data that a guest had flushed into a piece that was its own all the time, and that is not there. @written: (image,
    offset) -> uuid."""
    wrong = []
    images = {path: blocks_of(content) for path, content in tree.items() if path.endswith(".img")}
    for (image, at), uuid in written.items():
        def holds(one, at=at, uuid=uuid) -> bool:
            return any(key[1] == uuid and start <= at < start + size for key, (start, size) in one["pieces"].items())

        if all(map(holds, allowed)) and images.get(image, {}).get(at) != uuid:
            wrong.append(f"what {uuid} flushed to {at} of {image} is lost")
    return wrong


def leftovers(root: Path) -> list:
    """Files below etc that are none of a whole kind."""
    wrong = []
    for path in (root / "etc").rglob("*"):
        if path.is_file():
            if path.name.endswith("~"):
                wrong.append(f"{path.name} was left")
                continue
            try:
                json.loads(path.read_text())
            except ValueError:
                wrong.append(f"{path.name} is half a file")
    return wrong


def use(daemon, directory: Path) -> list:
    """Uses the parents as operators do: starts what is defined, then whatever else there is room for. Who gets a piece
    finds his own data in it or none, and nobody loses his."""
    wrong = []
    for name, parent in {parent["name"]: parent for parent in daemon.rpc("parent.list")["parents"]}.items():
        if parent["driver"] == "nvme":
            wrong += use_parent(daemon, name, Path(parent["options"]["path"]))
    used = {parent["options"].get("path") for parent in daemon.rpc("parent.list")["parents"]}
    for image in sorted(directory.glob("*.img")):
        if str(image) not in used:
            wrong += use_image(daemon, image)
    return wrong


def use_image(daemon, image: Path) -> list:
    """A file whose parent is away: it may come back under a name that is new, unless it holds what is defined under
    another one."""
    if image.stat().st_size == 0:
        return []
    options = {"path": str(image), "types": "1m,2m", "parallelism": "4"}
    for name in ("late", *maps_of(daemon.root)):
        try:
            daemon.rpc("parent.add", name=name, driver="nvme", options=options)
        except RpcError as error:
            if error.word != "EXISTS":
                return [f"{image.name} cannot be used again: {error}"]
            continue
        return use_parent(daemon, name, image)
    return [f"{image.name} cannot be used again under any name"]


def start(daemon, parent: str, uuid: str) -> list:
    """Starts what is defined, unless it starts by itself."""
    def over() -> bool:
        if daemon.mdev(uuid):
            return True
        try:
            return bool(daemon.rpc("mdev.start", uuid=uuid, parent=parent))
        except RpcError as error:
            if error.word in ("DEVICE_BUSY", "EXISTS"):
                return False  # it is on its way
            raise

    try:
        wait_for(over, f"{uuid} to start")
        return []
    except RpcError as error:
        return [f"{uuid} does not start: {error}"]


def use_parent(daemon, name: str, image: Path) -> list:
    """Fills one parent."""
    before = image_blocks(image)
    wrong = []
    for mdev in daemon.rpc("mdev.list", parent=name, defined=True)["mdevs"]:
        wrong += start(daemon, name, mdev["uuid"])
    while not wrong:
        try:
            daemon.rpc("mdev.start", parent=name, type="nvme-1m")
        except RpcError as error:
            if error.word != "NO_INSTANCES":
                wrong.append(f"a new mdev does not start: {error}")
            break
    after = image_blocks(image)
    held = {}
    for mdev in daemon.rpc("mdev.list", parent=name)["mdevs"]:
        piece = mdev["piece"]
        for at in range(piece["start"], piece["start"] + piece["size"], MIB):
            if at in held:
                wrong.append(f"{mdev['uuid']} and {held[at]} have both {at} of {image.name}")
            held[at] = mdev["uuid"]
            if after.get(at) not in (None, mdev["uuid"]):
                wrong.append(f"{mdev['uuid']} is given {at} of {image.name} with the data of {after[at]}")
            if before.get(at) == mdev["uuid"] != after.get(at):
                wrong.append(f"the data of {mdev['uuid']} at {at} of {image.name} was wiped")
    return wrong
