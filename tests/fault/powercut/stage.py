# SPDX-License-Identifier: BSD-3-Clause
"""What a cut left is put on a real disk, and a real daemon starts on it."""

import os
import shutil
from pathlib import Path

from umdevtest import Failure
from umdevtest.daemon import Daemon, RpcError

from . import files, judge, story
from .record import Recorder

CHUNK = 1 << 16
ZEROS = bytes(CHUNK)


def on_disk(tree: dict) -> dict:
    """What is left of a tree when the power is: not what is on a tmpfs."""
    return {path: content for path, content in tree.items() if not files.kind_of(path).lost}


class Stage:
    """The directory in which the story was lived: maps name files by path and inode, so the images stay the same files."""

    def __init__(self, daemon: Daemon):
        self.daemon = daemon
        self.directory = daemon.directory
        self._kept = {}
        self.boots = 0
        self.touched = ()  # (path, whether it is there) of what the last start changed
        for image in self.directory.glob("*.img"):
            self._kept[image.name] = image.with_suffix(".kept")
            os.link(image, self._kept[image.name])

    def put(self, tree: dict) -> None:
        """Makes the directory what @tree says."""
        shutil.rmtree(self.directory / "root", ignore_errors=True)
        for image in self.directory.glob("*.img"):
            if image.name not in self._kept:
                self._kept[image.name] = image.with_suffix(".kept")
                os.link(image, self._kept[image.name])
            if image.name not in tree:
                image.unlink()
        for path in sorted(tree):
            full = self.directory / path
            if tree[path] is None:
                full.mkdir()
            elif files.kind_of(path).name == "backing":
                self._put_image(full, tree[path])
            else:
                full.write_bytes(tree[path])

    def _put_image(self, path: Path, content: bytes) -> None:
        kept = self._kept.setdefault(path.name, path.with_suffix(".kept"))
        with kept.open("a+b"):
            pass
        with kept.open("r+b") as file:
            file.truncate(0)
            file.truncate(len(content))
            for at in range(0, len(content), CHUNK):
                if content[at:at + CHUNK] != ZEROS:
                    file.seek(at)
                    file.write(content[at:at + CHUNK])
        if not (path.exists() and path.samefile(kept)):
            path.unlink(missing_ok=True)
            os.link(kept, path)

    def start(self) -> None:
        """Starts the daemon on what is there."""
        self.daemon._prefix = []  # pylint: disable=protected-access
        self.daemon.start()
        self.boots += 1

    def end(self) -> None:
        """The daemon ends, and the files are free."""
        if self.daemon.running:
            self.daemon.stop()

    def record_start(self, tree: dict):
        """Starts a daemon on @tree and ends it at once; the record of the start."""
        self.put(tree)
        recorder = Recorder(self.daemon)
        try:
            recorder.live(story.boot())
            recorder.live(story.kill())
        finally:
            self.end()
        return recorder.record()

    def judge(self, tree: dict, cases: list) -> list:
        """What is wrong with a daemon on @tree, in the light of each of @cases: (text, pictures allowed, data written)."""
        self.put(tree)
        wrong = []
        for text, allowed, written in cases:
            wrong += [f"{text}: {what}" for what in judge.lost_data(tree, allowed, written)]
        try:
            self.start()
            found = judge.picture(self.daemon)
            self.touched = changes_of(self.directory, tree)
            for text, allowed, _ in cases:
                wrong += [f"{text}: {what}" for what in judge.compare(found, allowed)]
            wrong += [f"{cases[0][0]}: {what}"
                      for what in judge.leftovers(self.daemon.root) + judge.use(self.daemon, self.directory)]
        except (Failure, RpcError, ValueError, OSError) as error:  # it does not start, or a file is half of one
            wrong.append(f"{cases[0][0]}: {error!r}")
        finally:
            self.end()
        return wrong


def changes_of(directory: Path, tree: dict) -> tuple:
    """The paths below etc that are not what they are in @tree."""
    here = {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
            for path in (directory / "root/etc").rglob("*")}
    paths = set(here) | {path for path in tree if path.startswith("root/etc/")}
    return tuple(sorted((path, path in here) for path in paths if here.get(path, 0) != tree.get(path, 0)))
