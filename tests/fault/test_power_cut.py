# SPDX-License-Identifier: BSD-3-Clause
"""The power is cut at every write of every file that umdev owns, and a real daemon starts on what each cut may leave.

A story is lived once under strace. Its changes are then replayed on a disk that keeps no more than it must, and the power
is cut after each of them. Whatever may be left is put on a real disk, once for each content; a daemon starts on that, and
shows what it found: everything that had been answered, the step under way wholly or not at all, nobody's data in the
piece of another.

UMDEV_POWER_CUT_ALL=1 starts a daemon also for each of the many contents of temporary files, which are only removed; else
for one of each, drawn with the seed that is printed (UMDEV_SEED).
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from powercut import calls, files, story
from powercut.disk import disk_of
from powercut.record import Recorder, relative
from powercut.replay import Replay
from powercut.stage import Stage
from umdevtest.daemon import SANITIZED, TOP, Daemon, driver_directory
from umdevtest.killer import possible
from umdevtest.process import wait_end

pytestmark = pytest.mark.xdist_group("power cut")  # one recording for all

ALL = bool(os.environ.get("UMDEV_POWER_CUT_ALL"))
SEED = int(os.environ.get("UMDEV_SEED") or random.SystemRandom().randrange(1 << 32))
SHOWN, ENOUGH = 20, 100  # findings


class World:
    """A directory for one story: in memory where there is some, since it is synced for nothing."""

    def __init__(self, *arguments: str):
        self.drivers = Path(tempfile.mkdtemp(prefix="umdev-", dir="/tmp"))
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
        self.directory = Path(tempfile.mkdtemp(prefix="umdev-", dir=place))
        self.daemon = Daemon(self.directory)
        self.daemon.add_arguments("--driver-dir", str(driver_directory(self.drivers / "drivers")), *arguments)
        self.daemon.root.rmdir()  # the daemon makes it
        self.recorder = Recorder(self.daemon)

    def close(self) -> None:
        """Ends the daemon and removes everything."""
        try:
            self.daemon.stop()
        finally:
            shutil.rmtree(self.directory)
            shutil.rmtree(self.drivers)

    def live(self, steps, *options: str):
        """Lives the steps, the daemon under strace with @options; the record, the daemon having ended."""
        for step in steps:
            self.recorder.live(step, *options)
        return self.recorder.record()


@pytest.fixture(name="make_world", scope="module")
def fixture_make_world():
    """Makes worlds, if a daemon may be traced here."""
    if SANITIZED:
        pytest.skip("a leak sanitizer does not work in a process that is traced")
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    reason = possible()
    if reason:
        pytest.skip(reason)
    made = []

    def make(*arguments: str) -> World:
        made.append(World(*arguments))
        return made[-1]

    yield make
    for world in made:
        world.close()


def test_end_of_a_traced_process(make_world):
    """Whoever ends a daemon that is traced waits until its tracer has seen the end, too."""
    log = make_world().directory / "trace.end"
    for _ in range(20):
        with subprocess.Popen(calls.command(log) + ["true"]) as child:
            assert wait_end(child, 30) == 0


class Life:
    """The story, lived and replayed."""

    def __init__(self, world: World):
        self.record = world.live(story.STORY)
        self.replay = Replay(self.record)
        self.stage = Stage(world.daemon)
        self.wrong = None  # what was found, once judged
        self.judged = 0
        self.recovering = {}  # kinds of files that a start changed -> a state it started on

    def judge(self) -> None:
        """Starts a daemon on what each cut leaves."""
        if self.wrong is not None:
            return
        self.wrong = []
        states = chosen(list(self.replay.states.values()))
        for state in states:
            if len(self.wrong) > ENOUGH:
                break
            self.wrong += self.stage.judge(state.tree, self.replay.cases(state))
            kinds = {(files.kind_of(path).name, there) for path, there in self.stage.touched}
            self.recovering.setdefault(tuple(sorted(kinds)), state)
            self.judged += 1
        print(f"{self.replay.moments} cuts, {len(self.replay.states)} states, {self.judged} of them started")


@pytest.fixture(name="life", scope="module")
def fixture_life(make_world):
    """The story is lived once for all tests."""
    return Life(make_world("--no-tree"))


def fail(wrong: list, of: int) -> None:
    """Fails with the first findings."""
    wrong = list(dict.fromkeys(wrong))
    assert not wrong, f"{len(wrong)} findings in {of} states:\n" + "\n".join(wrong[:SHOWN])


def chosen(states: list) -> list:
    """One state of those that differ only in the contents of temporary files, or all."""
    if ALL:
        return states
    print(f"seed {SEED}")
    found = {}
    for state in random.Random(SEED).sample(states, len(states)):
        found.setdefault(tuple(sorted((path, "" if files.kind_of(path).name == "temporary" else content)
                                      for path, content in state.tree.items() if content is not None)), state)
    return list(found.values())


# ---- what is covered


def test_every_method_that_writes_is_called(life):
    """A method that is new must be sorted into those that write and those that do not, and be called when it does."""
    page = (TOP / "docs/rpc.md").read_text().partition("\n## Methods\n")[2].partition("\n## Objects\n")[0]
    assert set(re.findall(r"^### ([a-z.]+)$", page, re.MULTILINE)) == story.WRITES | story.READS
    assert life.record.requests >= story.WRITES


def test_every_file_is_known(life):
    """Each kind of file was written; a file of no kind cannot be recorded."""
    assert life.record.kinds == {kind.name for kind in files.KINDS}
    for path in ("root/etc/umdev/umdev.conf", "root/etc/umdev/parents.d/store.map~", "root/var/umdev", "elsewhere"):
        with pytest.raises(calls.Unknown):
            relative(calls.Change("create", f"/base/{path}"), Path("/base"))
    with pytest.raises(calls.Unknown):
        relative(calls.Change("create", "/var/lib/umdev"), Path("/base"))


def test_tree_is_on_no_disk(make_world):
    """With the tree mounted, nothing else is written."""
    record = make_world().live([story.boot(), story.add("store", story.IMAGE),
                                story.rpc("mdev.define", uuid=story.A, parent="store", type="nvme-1m"),
                                story.rpc("mdev.start", uuid=story.A), story.stop()])
    assert record.kinds <= {kind.name for kind in files.KINDS}


def test_nothing_was_overlooked(life):
    """Replayed as a whole, the changes lead to the files that are really there: none was made in a way that is not seen.
    And at no moment were there more outcomes than can be tried."""
    real = {path: content for path, content in life.record.real.items() if not files.kind_of(path).lost}
    seen = life.replay.disk.tree()
    assert {path for path in {**real, **seen} if real.get(path, 0) != seen.get(path, 0)} == set()
    assert life.replay.disk.all_tried
    assert life.replay.moments > 300 and len(life.replay.states) > 300


# ---- what is left


def test_cut_at_every_write(life):
    """A daemon starts on whatever a cut leaves, and nothing that was answered is lost."""
    life.judge()
    fail(life.wrong, life.judged)


def test_cut_while_recovering(life):
    """What a start clears up after a cut may be cut, too."""
    life.judge()
    wrong, count = [], 0
    for touched, state in life.recovering.items():
        if not touched:
            continue
        record = life.stage.record_start(state.tree)
        replay = Replay(record, disk_of(state.tree))
        for again in replay.states.values():
            count += 1
            wrong += life.stage.judge(again.tree, life.replay.cases(state))
    assert count > 20
    fail(wrong, count)


KILLED_IN = ("mdev.define " + story.A, "parent.add store", "mdev.start " + story.A, "group.qos " + story.G,
             "group.stop " + story.G, "mdev.undefine " + story.E)


def test_killed_then_cut(life):
    """A daemon that is killed has changed files that are not on the disk yet. What the next daemon shows is there for
    good."""
    wrong, count = [], 0
    for disk, step in life.replay.unsynced(KILLED_IN):
        tree = disk.tree()
        record = life.stage.record_start(tree)
        replay = Replay(record, disk)
        shown = record.pictures[0]
        for state in replay.states.values():
            if (0, False) in state.steps:
                count += 1
                wrong += life.stage.judge(state.tree, [(f"killed in {step}, started, cut", [shown], {})])
    assert count > 20
    print(f"{life.stage.boots} starts in all")
    fail(wrong, count)


def test_harness_finds_what_is_not_synced(make_world):
    """Were fsync() to do nothing, cuts would lose what was answered, and that would be found."""
    world = make_world("--no-tree")
    record = world.live([story.boot(), story.rpc("mdev.define", uuid=story.A, parent="store", type="nvme-1m"), story.stop()],
                        "-e", "inject=fsync,fdatasync:retval=0")
    replay = Replay(record)
    stage = Stage(world.daemon)
    for state in replay.states.values():
        if (1, False) in state.steps and stage.judge(state.tree, replay.cases(state)):
            return
    pytest.fail("nothing was lost")
