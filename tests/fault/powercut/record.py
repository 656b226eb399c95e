# SPDX-License-Identifier: BSD-3-Clause
"""A story is lived, and every change to a file written down between the answers that were given."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from umdevtest.daemon import Daemon, Rpc

from . import calls, files, judge

ANSWER = re.compile(rb'\{"jsonrpc":"2\.0","id":("[^"]*"|\d+),"(result|error)"')
METHOD = re.compile('"method": ?"([a-z.]+)"')
IGNORED = ("umdevd.log", "trace.", "asan.", "ubsan.")  # the test's own


@dataclass
class Record:
    """What happened, in order: ("change", Change with a path below the directory), ("outside", [Change]) made by somebody
    else and not cut, ("done", number of the step)."""
    items: list = field(default_factory=list)
    pictures: list = field(default_factory=list)  # after each step
    names: list = field(default_factory=list)  # of the steps
    requests: set = field(default_factory=set)  # the methods that were called
    kinds: set = field(default_factory=set)  # of files that were changed
    real: dict = None  # the files at the end


def relative(change, directory: Path):
    """The change with paths below @directory, None where it is no business of a disk. Fails for a file that umdev is not
    known to own."""
    below = str(directory) + "/"
    for path in filter(None, (change.path, change.to)):
        if calls.no_file(path):
            return None
        if path == str(directory) and change.kind == "sync":
            continue
        if not path.startswith(below):
            raise calls.Unknown(f"{change.kind} of {path}, which is not below the root")
        if path[len(below):].startswith(IGNORED):
            return None
        if not files.kind_of(path[len(below):]):
            raise calls.Unknown(f"{change.kind} of {path[len(below):]}, a file that files.KINDS does not know: say there what "
                                f"must be true of it after a power cut, and let the story write it")
    cut = len(below)
    return calls.Change(change.kind, change.path[cut:], change.at, change.length, change.data, change.to[cut:])


class Recorder:
    """Lives steps and keeps the traces."""

    def __init__(self, daemon: Daemon):
        self.daemon = daemon
        self.steps = []
        self.pictures = []
        self.traces = []
        self.outside = {}
        self._prefix = list(daemon._prefix)  # pylint: disable=protected-access

    def live(self, step, *options: str) -> None:
        """One step, its mark, and what then is to be seen. A daemon that starts does so under strace with @options."""
        number = len(self.steps)
        if not self.daemon.running:
            log = self.daemon.directory / f"trace.{len(self.traces)}"
            self.traces.append(log)
            self.daemon._prefix = calls.command(log, *options) + self._prefix  # pylint: disable=protected-access
        step.act(self.daemon)
        self.steps.append(step)
        if self.daemon.running:
            self._mark(number)
            if step.outside:
                self.outside[number] = step.outside(self.daemon)
            self.pictures.append(judge.picture(self.daemon))
        else:  # what was promised before
            self.pictures.append(self.pictures[-1])

    def _mark(self, number: int) -> None:
        """A request that is found again in the trace."""
        connection = Rpc(self.daemon.control_socket)
        connection.send(json.dumps({"jsonrpc": "2.0", "id": f"mark-{number}", "method": "version"}).encode() + b"\n")
        connection.read()
        connection.close()

    # ---- afterwards

    def record(self) -> Record:
        """All of it; the daemon has ended."""
        record = Record(pictures=self.pictures, names=[step.name for step in self.steps])
        numbers = iter(range(len(self.steps)))
        number = next(numbers)
        for log in self.traces:
            begin = answered = len(record.items)
            for change in calls.read(log):
                if change.kind == "reply":
                    answered = len(record.items) if ANSWER.match(change.data) else answered
                elif change.kind == "request":
                    record.requests.update(METHOD.findall(change.data.decode()))
                    if f'"mark-{number}"'.encode() in change.data:
                        self._done(record, number, begin, answered)
                        begin = answered = len(record.items)
                        number = next(numbers)
                else:
                    self._take(record, change)
            record.items.append(("done", number))  # the end of that daemon
            number = next(numbers, None)
        assert number is None, f"step {number} of {len(self.steps)} was not found in the traces"
        record.real = real_tree(self.daemon.directory)
        return record

    def _done(self, record: Record, number: int, begin: int, answered: int) -> None:
        """The mark of a step is reached. @answered: the place of the last answer, @begin: that of the mark before."""
        step = self.steps[number]
        at = max(begin, answered) if step.answered else len(record.items)
        if step.outside:
            record.items.append(("outside", [relative(change, self.daemon.directory) for change in self.outside[number]]))
            at = len(record.items)
        record.items.insert(at, ("done", number))

    def _take(self, record: Record, change) -> None:
        change = relative(change, self.daemon.directory)
        if change:
            record.kinds.add(files.kind_of(change.path).name if change.path else "directory")
            record.items.append(("change", change))


def real_tree(directory: Path) -> dict:
    """path -> content of what is really there; of sockets, that they are."""
    found = {}
    for path, _, names in os.walk(directory):
        for name in [""] + names:
            full = Path(path, name)
            short = str(full.relative_to(directory))
            if short == "." or short.startswith(IGNORED) or not files.kind_of(short):
                continue
            found[short] = None if full.is_dir() else full.read_bytes() if full.is_file() else b""
    return found
