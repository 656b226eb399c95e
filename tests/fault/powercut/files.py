# SPDX-License-Identifier: BSD-3-Clause
"""Every file that umdev owns, and what must be true of it after a cut. A change to a file that is not in here is a
failure of the test: who makes umdevd write a new file says here what a cut may do to it, and story.py makes it write."""

import re
from dataclasses import dataclass

UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
NAME = "[^/]+"
TEMPORARY = ".new~"


@dataclass(frozen=True)
class Kind:
    """Files of one kind."""
    name: str
    pattern: str
    after: str  # a cut
    lost: bool = False  # with the power: not on a disk

    def matches(self, path: str) -> bool:
        """Whether @path, relative to the directory of the test, is one."""
        return bool(re.fullmatch(self.pattern, path))


KINDS = (
    Kind("directory", f"root(/etc(/umdev(/parents\\.d|/groups\\.d|/mdevs\\.d(/{NAME})?)?)?)?",
         "there when something that lies in it was answered for; an empty one is no harm"),
    Kind("parent", f"root/etc/umdev/parents\\.d/{NAME}\\.json", "the old one or the new one"),
    Kind("map", f"root/etc/umdev/parents\\.d/{NAME}\\.map",
         "the old one or the new one; nothing is handed on with another's data in it"),
    Kind("definition", f"root/etc/umdev/mdevs\\.d/{NAME}/{UUID}", "the old one or the new one"),
    Kind("group", f"root/etc/umdev/groups\\.d/{UUID}", "the old one or the new one"),
    Kind("temporary", f"root/etc/umdev/(parents\\.d/{NAME}|groups\\.d/{NAME}|mdevs\\.d/{NAME}/{NAME})\\.new~",
         "anything; the next daemon removes it"),
    Kind("backing", f"{NAME}\\.img", "there, of its size, when its parent is; pieces are wiped when the map says so"),
    Kind("run", "root/run(/.*)?", "nothing: it is a tmpfs, and where it is not, the next daemon clears it", lost=True),
)


def kind_of(path: str) -> Kind:
    """The kind of a file, None where it is not known."""
    return next((kind for kind in KINDS if kind.matches(path)), None)
