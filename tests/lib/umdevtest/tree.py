# SPDX-License-Identifier: BSD-3-Clause
"""A daemon whose tree stands at /sys for unmodified programs.

A Scene has two sets of namespaces: the daemon runs and mounts its tree in the outer one; in the view
inside it the tree is bound over /sys and the daemon's definitions over /etc/mdevctl.d. The host sees
neither.
"""

import os
import shlex
from pathlib import Path

from . import Failure
from .daemon import Daemon, Result
from .namespace import Namespace

STORE, CARD, PLAIN = "store", "0000:86:00.0", "plain"
STORE_TYPE, PLAIN_TYPE = "nvme-16m", "null-basic"
SCRIPTS = ("scripts.d/callouts", "scripts.d/notifiers")


def tree_of(daemon: Daemon) -> Path:
    """Where the daemon mounts its tree."""
    return daemon.root / "run/umdev/tree"


def definitions_of(daemon: Daemon) -> Path:
    """The daemon's definitions, laid out as mdevctl's."""
    return daemon.root / "etc/umdev/mdevs.d"


def add_parents(daemon: Daemon) -> None:
    """Two nvme parents of 64 MiB, one of which is named by a PCI address, and a null one."""
    for name in (STORE, CARD):
        daemon.ok("parent", "add", name, "--driver", "nvme", "--option", "types=16m,32m,rest", "--option", "size=64M",
                  "--option", f"path={daemon.directory}/{name}.img")
    daemon.ok("parent", "add", PLAIN, "--driver", "null")


def make_directories(daemon: Daemon, base: Path, names) -> None:
    """Directories below @base that belong to the daemon's user."""
    for name in names:
        made = base
        for part in Path(name).parts:
            made = made / part
            if not made.exists():
                made.mkdir()
                os.chown(made, daemon.uid, -1)


class Scene:
    """See above. @daemon is not started yet and was made with prefix=outer.enter."""

    def __init__(self, outer: Namespace, daemon: Daemon):
        self.outer, self.daemon = outer, daemon
        self.view = None
        daemon.start()
        add_parents(daemon)
        self.look_inside()

    def look_inside(self, script: str = "") -> None:
        """Makes the view, with more mounts of @script, which finds $root to be the daemon's directory."""
        definitions = definitions_of(self.daemon)
        make_directories(self.daemon, definitions, SCRIPTS)
        if self.view:
            self.view.close()
        binds = f"""
            root={shlex.quote(str(self.daemon.directory))}
            mount --bind {shlex.quote(str(tree_of(self.daemon)))}/sys /sys
            mount --bind {shlex.quote(str(definitions))} /etc/mdevctl.d
        """
        self.view = Namespace("m", self.daemon.uid, self.outer, binds + script)

    def run(self, *words, **keywords) -> Result:
        """Runs a command in the view."""
        return self.view.run(*words, **keywords)

    def ok(self, *words, **keywords) -> str:
        """Runs a command in the view, which must succeed without a word on standard error; its output."""
        result = self.run(*words, **keywords)
        if result.rc or result.err:
            raise Failure(f"{' '.join(map(str, words))}: rc {result.rc}: {result.err.strip()}; "
                          f"{self.daemon.log_tail()}")
        return result.out

    def close(self) -> None:
        """The namespaces go; the daemon is stopped by whoever made it, before."""
        if self.view:
            self.view.close()
        self.outer.close()
