# SPDX-License-Identifier: BSD-3-Clause
"""Unmodified mdevctl on a tree: the host's in a view, and a newer one that has a root of its own."""

import subprocess
import sys
from pathlib import Path

from . import Failure
from .daemon import COMMAND_LIMIT_S, TOP, Daemon, Result, as_user, feed
from .tree import SCRIPTS, Scene, definitions_of, make_directories, tree_of

sys.path.insert(0, str(TOP / "tests/vm/lib"))

# pylint: disable=wrong-import-position
from vmlib import cache, mdevctl  # noqa: E402


class HostMdevctl:
    """mdevctl of this host, in the view of a scene."""

    version = "1.2.0"

    def __init__(self, scene: Scene):
        self._scene = scene
        self.daemon = scene.daemon

    def run(self, *arguments, stdin: str = None) -> Result:
        """Runs it."""
        return self._scene.run("mdevctl", *arguments, stdin=stdin)

    def ok(self, *arguments, **keywords) -> str:
        """Runs it, which must succeed without a word on standard error; its output."""
        return ok(self, arguments, keywords)


class NewMdevctl:
    """The fetched mdevctl, which takes its root from the environment and needs no namespace.

    @base: what cache.prepare_mdevctl() returned, where the daemon's user can reach it.
    """

    version = mdevctl.VERSION

    def __init__(self, base: Path, daemon: Daemon):
        self._base = base
        self.daemon = daemon
        self.root = daemon.directory / "mdevctl-root"
        make_directories(daemon, daemon.directory, ["mdevctl-root/etc"])
        make_directories(daemon, self.root, [f"usr/lib/mdevctl/{name}" for name in SCRIPTS])
        (self.root / "sys").symlink_to(tree_of(daemon) / "sys")
        (self.root / "etc/mdevctl.d").symlink_to(definitions_of(daemon))

    def run(self, *arguments, stdin: str = None, name: str = "mdevctl") -> Result:
        """Runs it."""
        words = mdevctl.command(self._base, name) + [str(word) for word in arguments]
        command = as_user(self.daemon.uid) + feed(words, stdin)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd="/",
                              stdin=subprocess.DEVNULL if stdin is None else None, timeout=COMMAND_LIMIT_S,
                              env=mdevctl.environment(self.root))
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments, **keywords) -> str:
        """Runs it, which must succeed without a word on standard error; its output."""
        return ok(self, arguments, keywords)


def ok(program, arguments, keywords) -> str:
    """What both do the same way."""
    result = program.run(*arguments, **keywords)
    if result.rc or result.err:
        raise Failure(f"mdevctl {program.version} {' '.join(map(str, arguments))}: rc {result.rc}: "
                      f"{result.err.strip()}; {program.daemon.log_tail()}")
    return result.out


def fetched() -> Path:
    """The fetched mdevctl's directory."""
    return cache.prepare_mdevctl()
