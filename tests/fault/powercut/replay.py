# SPDX-License-Identifier: BSD-3-Clause
"""Cuts the power after every change of a record."""

from dataclasses import dataclass, field

from . import files
from .disk import Disk
from .stage import on_disk
from .story import owner_of

NOTHING = {"parents": {}, "definitions": {}, "groups": {}, "pieces": {}}


@dataclass
class State:
    """What one or several cuts leave."""
    tree: dict
    steps: set = field(default_factory=set)  # (the last that was done before the cut, whether the next has begun)


def lost(change) -> bool:
    """Whether it is to a file that no disk holds."""
    return bool(change.path) and files.kind_of(change.path).lost


def key_of(tree: dict) -> tuple:
    """The tree as something that can be looked up."""
    return tuple(sorted(tree.items()))


def written_by(record) -> list:
    """After each step: (image, offset) -> whose data a guest has flushed there."""
    found, written = [], {}
    for kind, what in record.items:
        if kind == "done":
            found.append(dict(written))
        elif kind == "outside":
            for change in what:
                if change.kind == "write":
                    written[change.path, change.at] = owner_of(change.data)
                elif change.kind == "unlink":
                    written = {key: uuid for key, uuid in written.items() if key[0] != change.path}
    return found


class Replay:
    """All states that cuts within a record leave, each once."""

    def __init__(self, record, disk: Disk = None):
        self.record = record
        self.disk = disk or Disk()
        self._unsynced = []  # (disk, number of the step under way)
        self.states = {}
        self.moments = 0
        self._written = written_by(record)
        step, begun = -1, False
        self._cut(step, begun)
        for kind, what in record.items:
            if kind == "done":
                step = what
            begun = kind != "done"
            for change in {"change": [what], "outside": what}.get(kind, ()):
                if not lost(change):
                    self.disk.apply(change)
            self._cut(step, begun)

    def _cut(self, step: int, begun: bool) -> None:
        self.moments += 1
        if any(node.pending for node in self.disk.nodes()):
            self._unsynced.append((self.disk.copy(), step + 1))
        for tree in self.disk.cut():
            tree = on_disk(tree)
            self.states.setdefault(key_of(tree), State(tree)).steps.add((step, begun))

    def cases(self, state: State) -> list:
        """What is allowed of a state: (text, pictures, data written), once for each step."""
        found = []
        pictures = self.record.pictures
        for step, begun in sorted(state.steps):
            allowed = [pictures[step] if step >= 0 else NOTHING]
            if begun and step + 1 < len(pictures):
                allowed.append(pictures[step + 1])
            name = self.record.names[step] if step >= 0 else "the beginning"
            found.append((f"cut {'within the step ' if begun else ''}after {step} ({name})", allowed,
                          self._written[step] if step >= 0 else {}))
        return found

    def unsynced(self, names: tuple):
        """(disk, name of the step) of every moment within the steps of these names at which something was under way to
        the disk."""
        steps = self.record.names
        return [(disk, steps[step]) for disk, step in self._unsynced if step < len(steps) and steps[step] in names]
