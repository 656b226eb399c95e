# SPDX-License-Identifier: BSD-3-Clause
"""A disk under a file system that promises what POSIX does and nothing more.

What fsync() of a file has returned for is on the disk: its data and size, not its name. What fsync() of a directory has
returned for is there, too: the names in it. Anything else may have reached the disk or not, in any order, each change of
one directory by itself: a rename or none of it, and before the data of the file that was renamed. Data that was not
synced is absent, whole, cut off or torn at a sector: the size may have come without it.
"""

import copy
import itertools

SECTOR = 512
DIRECTORY = None  # the content of one
SUBSETS_OF = 6  # changes of one directory under way of which all subsets are tried
STATES_MAX = 1000  # of one moment


class Node:
    """A file or a directory: what is seen of it, what is on the disk, and what is on its way there."""

    def __init__(self, is_directory: bool):
        self.is_directory = is_directory
        self.now = {} if is_directory else b""
        self.safe = {} if is_directory else b""
        self.pending = []
        self._outcomes = None  # known since the last change

    def change(self, step) -> None:
        """Applies a step, which may reach the disk from now on. Of a directory: {name: node or None}; of a file:
        a function of its content."""
        self.now = merged(self.now, step) if self.is_directory else step(self.now)
        self.pending.append(step)
        self._outcomes = None

    def sync(self) -> None:
        """All of it is on the disk."""
        self.safe = dict(self.now) if self.is_directory else self.now
        self.pending = []
        self._outcomes = None

    def outcomes(self) -> tuple:
        """(what may be on the disk after a cut, whether that is all)."""
        if self._outcomes is None:
            self._outcomes = self._directories() if self.is_directory else (self._contents(), True)
        return self._outcomes

    def _directories(self) -> tuple:
        found = []
        steps = len(self.pending)
        old = steps - min(steps, SUBSETS_OF)
        for taken in itertools.product((False, True), repeat=steps - old):
            # Of many, the older ones arrive together or not at all.
            for early in ((False, True) if old else (False,)):
                entries = dict(self.safe)
                for step, take in zip(self.pending, [early] * old + list(taken)):
                    if take:
                        entries = merged(entries, step)
                if entries not in found:
                    found.append(entries)
        return found, old == 0

    def _contents(self) -> list:
        found = {self.safe: None}
        content = self.safe
        for step in self.pending:
            after = step(content)
            for torn in step.torn(content):
                found[torn] = None
            found[after] = None
            content = after
        return list(found)


def merged(entries: dict, step: dict) -> dict:
    """Entries of a directory after a change."""
    after = {**entries, **step}
    return {name: node for name, node in after.items() if node is not None}


class Write:
    """Data at an offset."""

    def __init__(self, at: int, data: bytes):
        self.at, self.data = at, data

    def __call__(self, content: bytes) -> bytes:
        content = content.ljust(self.at, b"\0")
        return content[:self.at] + self.data + content[self.at + len(self.data):]

    def torn(self, content: bytes):
        """What a cut may leave of it: its beginning; its beginning and the size; all but its beginning; all but one
        sector."""
        whole = self(content)
        end = self.at + len(self.data)
        bare = content.ljust(len(whole), b"\0")
        cuts = sorted({self.at + 1, end - 1, *range(self.at - self.at % SECTOR + SECTOR, end, SECTOR)})
        yield bare
        for cut in cuts:
            if self.at < cut < end:
                yield Write(self.at, self.data[:cut - self.at])(content)
                yield whole[:cut] + bare[cut:]
                yield bare[:cut] + whole[cut:]
        for begin in range(self.at - self.at % SECTOR, end, SECTOR):
            yield whole[:begin] + bare[begin:begin + SECTOR] + whole[begin + SECTOR:]


class Truncate:
    """A size."""

    def __init__(self, length: int):
        self.length = length

    def __call__(self, content: bytes) -> bytes:
        return content[:self.length].ljust(self.length, b"\0")

    @staticmethod
    def torn(content: bytes):
        """It is done as a whole."""
        del content
        return ()


class Zero:
    """A range that reads as zeros."""

    def __init__(self, at: int, length: int):
        self.at, self.length = at, length

    def __call__(self, content: bytes) -> bytes:
        end = min(self.at + self.length, len(content))
        return content[:self.at] + bytes(max(end - self.at, 0)) + content[max(end, self.at):]

    def torn(self, content: bytes):
        """Either half."""
        half = self.length // 2
        yield Zero(self.at, half)(content)
        yield Zero(self.at + half, self.length - half)(content)


class Disk:
    """The files below one directory, by paths relative to it. "" is that directory, which is on the disk."""

    def __init__(self):
        self.top = Node(True)
        self.all_tried = True  # False once there were more outcomes than could be tried

    def copy(self) -> "Disk":
        """Another one, as it is now, with what is under way."""
        return copy.deepcopy(self)

    # ---- finding

    def find(self, path: str) -> Node:
        """What is at a path now; KeyError for nothing."""
        node = self.top
        for name in path.split("/") if path else ():
            node = node.now[name]
        return node

    def _directory(self, path: str) -> tuple:
        head, _, name = path.rpartition("/")
        return self.find(head), name

    def tree(self) -> dict:
        """path -> content of everything that is seen now."""
        return flat(self.top, lambda node: node.now)

    # ---- changing

    def apply(self, change) -> None:
        """One change of calls.KINDS, with relative paths."""
        getattr(self, f"_{change.kind}")(change)

    def _create(self, change) -> None:
        directory, name = self._directory(change.path)
        if name not in directory.now:
            directory.change({name: Node(False)})

    _node = _create

    def _mkdir(self, change) -> None:
        directory, name = self._directory(change.path)
        directory.change({name: Node(True)})

    def _unlink(self, change) -> None:
        directory, name = self._directory(change.path)
        assert not directory.now[name].is_directory
        directory.change({name: None})

    def _rmdir(self, change) -> None:
        directory, name = self._directory(change.path)
        assert not directory.now[name].now
        directory.change({name: None})

    def _rename(self, change) -> None:
        directory, name = self._directory(change.path)
        other, to = self._directory(change.to)
        assert directory is other, f"{change.path} moves to another directory: that is two changes, and they may part"
        directory.change({name: None, to: directory.now[name]})

    def _exchange(self, change) -> None:
        directory, name = self._directory(change.path)
        other, to = self._directory(change.to)
        assert directory is other, f"{change.path} and {change.to} are in two directories"
        directory.change({name: directory.now[to], to: directory.now[name]})

    def _link(self, change) -> None:
        directory, name = self._directory(change.to)
        directory.change({name: self.find(change.path)})

    def _write(self, change) -> None:
        assert change.at >= 0, f"nobody knows where in {change.path}"
        self.find(change.path).change(Write(change.at, change.data))

    def _truncate(self, change) -> None:
        node = self.find(change.path)
        if len(node.now) != change.length:
            node.change(Truncate(change.length))

    def _zero(self, change) -> None:
        self.find(change.path).change(Zero(change.at, change.length))

    def _sync(self, change) -> None:
        self.find(change.path).sync()

    def _look(self, change) -> None:
        """Modes and owners are not looked at."""

    def settle(self) -> None:
        """Everything reaches the disk."""
        for node in self.nodes():
            node.sync()

    # ---- cutting the power

    def nodes(self) -> list:
        """All that is on the disk or may be."""
        found = [self.top]
        for node in found:
            if node.is_directory:
                for entries in [node.safe, node.now, *node.pending]:
                    found += [below for below in entries.values() if below is not None and below not in found]
        return found

    def cut(self):
        """Every tree that a cut at this moment may leave: {path: content}, directories with content DIRECTORY."""
        pending = [node for node in self.nodes() if node.pending]
        choices = []
        count = 1
        for node in pending:
            outcomes, whole = node.outcomes()
            count *= len(outcomes)
            self.all_tried = self.all_tried and whole
            choices.append(outcomes)
        if count > STATES_MAX:
            self.all_tried = False
            ways = self._some(choices)
        else:
            ways = itertools.product(*choices)
        for way in ways:
            chosen = {id(node): content for node, content in zip(pending, way)}
            yield flat(self.top, lambda node, chosen=chosen: chosen.get(id(node), node.safe))

    @staticmethod
    def _some(choices: list):
        """Too many to try all: everything arrived but for one file or directory, or nothing but that."""
        first = [outcomes[0] for outcomes in choices]
        last = [outcomes[-1] for outcomes in choices]
        for base in (first, last):
            yield tuple(base)
            for i, outcomes in enumerate(choices):
                for outcome in outcomes:
                    yield tuple(base[:i] + [outcome] + base[i + 1:])


def flat(top: Node, content_of) -> dict:
    """path -> content of a tree."""
    found = {}
    todo = [("", top)]
    for prefix, directory in todo:
        for name, node in content_of(directory).items():
            path = f"{prefix}/{name}" if prefix else name
            if node.is_directory:
                found[path] = DIRECTORY
                todo.append((path, node))
            else:
                found[path] = content_of(node)
    return found


def disk_of(tree: dict) -> Disk:
    """A disk on which exactly this tree is."""
    disk = Disk()
    for path in sorted(tree):
        directory, name = disk._directory(path)  # pylint: disable=protected-access
        node = Node(tree[path] is DIRECTORY)
        if not node.is_directory:
            node.now = tree[path]
        directory.change({name: node})
    disk.settle()
    return disk
