#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The checks can fail: each rule is broken once in a scratch tree, and its check has to say so.

The checks look at the tree they lie in, so they are copied into the scratch tree.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CHECKS = ("check-layers.py", "check-size.py", "check-doc.py", "check-format.sh")
HEAD = "/* SPDX-License-Identifier: BSD-3-Clause */\n/* What the file is for. */\n"
ONCE = HEAD + "#pragma once\n\n"

# A tree that every check accepts, save for exemptions of files that it does not have.
CLEAN = {
    "include/umdev/driver.h": ONCE + "/* Says hello. */\nint umdev_hello(void);\n",
    "src/util/thing.h": ONCE + "/* Does it. */\nint thing_do(int a);\n",
    "src/util/thing.c": HEAD + '#include "util/thing.h"\n\nint thing_do(int a)\n{\n\treturn a;\n}\n',
    "src/model/rule.c": HEAD + '#include "util/thing.h"\n\nstatic const int rule_max = 3;\n\n'
                               "int rule_check(int a)\n{\n\treturn a < rule_max ? thing_do(a) : 0;\n}\n",
    "src/model/rule.h": HEAD + "#pragma once\n",
    "src/link/link.h": HEAD + "#pragma once\n",
    "src/vfio/session-internal.h": HEAD + "#pragma once\n",
    "drivers/null/null.c": HEAD + "#include <umdev/driver.h>\n\n#include \"null.h\"\n",
    "drivers/null/null.h": ONCE + "/* Nothing. */\nvoid null_nothing(void);\n",
}


def nested(depth: int) -> str:
    """A function with blocks nested so deep."""
    lines = ["void f(int a)", "{"]
    for i in range(depth):
        lines.append("\t" * (i + 1) + "while (a) {")
    lines.append("\t" * (depth + 1) + "a--;")
    lines += ["\t" * (i + 1) + "}" for i in reversed(range(depth))]
    return HEAD + "\n".join(lines + ["}", ""])


def params(count: int) -> str:
    """A function with so many parameters."""
    return HEAD + "void f(" + ", ".join(f"int p{i}" for i in range(count)) + ")\n{\n}\n"


def function_of(lines: int) -> str:
    """A function whose braces are so many lines apart."""
    return HEAD + "void f(void)\n{\n" + "\tf();\n" * (lines - 1) + "}\n"


def pure(body: str) -> str:
    """A file of the model with some code in a function."""
    return HEAD + "int rule_x(int a)\n{\n" + body + "\treturn a;\n}\n"


# (check, file, contents, what the check must say, or "" when it must accept that)
CASES = (
    ("check-layers.py", "src/util/up.c", HEAD + '#include "model/none.h"\n', '"model/none.h" is no file below src/'),
    ("check-layers.py", "src/util/up.c", HEAD + '#include "link/link.h"\n', "may not include from src/link"),
    ("check-layers.py", "src/model/up.c", HEAD + '#include "rule.h"\n', "written from src/"),
    ("check-layers.py", "src/model/dot.c", HEAD + '#include "../model/rule.h"\n', "written from src/"),
    ("check-layers.py", "drivers/null/up.c", HEAD + '#include "util/thing.h"\n', "a driver includes"),
    ("check-layers.py", "drivers/null/out.c", HEAD + '#include "../null/null.h"\n', "leads out"),
    ("check-layers.py", "src/ctl/abi.c", HEAD + "#include <umdev/driver.h>\n", "may not include <umdev/driver.h>"),
    ("check-layers.py", "src/host/in.c", HEAD + '#include "vfio/session-internal.h"\n', "is private to src/vfio"),
    ("check-layers.py", "src/vfio/in.c", HEAD + '#include "vfio/session-internal.h"\n', ""),
    ("check-layers.py", "src/other/a.c", HEAD, "has no row in the table"),
    ("check-layers.py", "src/model/io.c", pure("\tclose(a);\n"), "may not call close()"),
    ("check-layers.py", "src/model/io.c", pure("\ta = clock_now_ns();\n"), "may not call clock_now_ns()"),
    ("check-layers.py", "src/model/io.c", pure("\tops->close(a); /* close(a) */\n"), ""),
    ("check-layers.py", "src/util/io.c", pure("\tclose(a);\n"), ""),
    ("check-layers.py", "src/model/var.c", HEAD + "static int counter;\n", "may not have a variable"),
    ("check-layers.py", "src/model/var.c", HEAD + "static const char *text = \"x\";\n", "may not have a variable"),
    ("check-layers.py", "src/model/var.c", HEAD + "static const char *const text = \"x\";\n", ""),
    ("check-layers.py", "src/model/var.c", pure("\tstatic int calls;\n"), "state in a static variable"),
    ("check-layers.py", "src/model/var.c", pure("\tstatic const int calls = 1;\n"), ""),
    ("check-size.py", "src/util/f.c", function_of(80), ""),
    ("check-size.py", "src/util/f.c", function_of(81), "lines in f(): 81"),
    ("check-size.py", "src/util/f.c", params(6), ""),
    ("check-size.py", "src/util/f.c", params(7), "parameters of f(): 7"),
    ("check-size.py", "src/util/f.c", nested(4), ""),
    ("check-size.py", "src/util/f.c", nested(5), "nested blocks in f(): 5"),
    ("check-size.py", "src/util/f.c", HEAD + "/* x */\n" * 798, ""),
    ("check-size.py", "src/util/f.c", HEAD + "/* x */\n" * 799, "lines in the file: 801"),
    ("check-size.py", "src/util/f.h", ONCE + "/* x */\n" * 247, "lines in the file: 251"),
    ("check-size.py", "src/util/f.c", HEAD + "void f(void)\n{\n", "unbalanced {"),
    ("check-size.py", "tools/f.py", "def f():\n" + "    f()\n" * 81, "lines in f(): 81"),
    ("check-doc.py", "src/util/d.h", ONCE + "int d_one(void);\n", "d_one() has no comment"),
    ("check-doc.py", "src/util/d.h", ONCE + "/* Both. */\nint d_one(void);\nint d_two(int (*f)(int),\n\t  int a);\n", ""),
    ("check-doc.py", "src/util/d.h", ONCE + "/* One. */\nint d_one(void);\n\nint d_two(void);\n", "d_two() has no"),
    ("check-doc.py", "src/util/d.h", ONCE + "static inline int d_one(void)\n{\n\treturn 1;\n}\n", "d_one() has no"),
    ("check-doc.py", "src/util/d.h", ONCE + "/* ---- d.c ---- */\n\nint d_one(void);\n", "d_one() has no"),
    ("check-doc.py", "src/util/d.h", ONCE + "/* ---- d.c: as in e.c ---- */\n\nint d_one(void);\n", ""),
    ("check-doc.py", "src/util/d.h", HEAD + "/* One. */\nint d_one(void);\n", "no #pragma once"),
    ("check-doc.py", "src/util/d.c", "int d;\n", "the first line is not"),
    ("check-doc.py", "src/util/d.c", HEAD.splitlines()[0] + "\nint d;\n", "no head comment"),
    ("check-format.sh", "src/util/s.c", HEAD + "int  a;\n", "clang-format"),
    ("check-format.sh", "src/util/s.c", HEAD + "int a = atoi(\"1\");\n", "cannot be used safely"),
    ("check-format.sh", "src/util/s.c", HEAD + "int a = my_atoi(\"1\");\n", ""),
    ("check-format.sh", "src/util/s.c", HEAD + "/* TO" + "DO */\n", "not done"),
    ("check-format.sh", "docs/s.md", "see /ho" + "me/someone/file\n", "paths of one machine"),
    ("check-format.sh", "docs/s.md", "a line with a blank \n", "blanks at the end"),
    ("check-format.sh", "docs/s.md", "a word to rec" + "ieve\n", "spelling"),
    ("check-format.sh", "tools/s.sh", "#!/bin/bash\necho a\n", "no SPDX line"),
    ("check-format.sh", "tools/s.sh", "#!/bin/bash\n# SPDX-License-Identifier: BSD-3-Clause\nunused=1\n", "shellcheck"),
    ("check-format.sh", "man/s.1.scd", "no title\n", "man/s.1.scd"),
)


def write(top: Path, name: str, contents: str) -> None:
    """Makes a file and the directories above it."""
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(contents)


def make_tree(top: Path) -> None:
    """The clean tree, with the checks in it."""
    for name, contents in CLEAN.items():
        write(top, name, contents)
    (top / "tools").mkdir()
    for source in TOOLS.glob("check[-_]*"):
        if source.is_file():
            shutil.copy(source, top / "tools" / source.name)
    size = top / "tools/check-size.py"
    text = size.read_text()
    start, end = text.index("EXEMPT = {"), text.index("\n}\n", text.index("EXEMPT = {"))
    size.write_text(text[:start] + "EXEMPT = {" + text[end:])
    shutil.copy(TOOLS.parent / ".clang-format", top / ".clang-format")


def run(top: Path, check: str) -> tuple:
    """(status, output) of one check in the scratch tree."""
    result = subprocess.run([top / "tools" / check], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def main() -> int:
    """Prints what the checks did not find, or found without reason; 1 if there is anything."""
    problems = []
    with tempfile.TemporaryDirectory(prefix="umdev-checks-") as scratch:
        top = Path(scratch) / "tree"
        top.mkdir()
        make_tree(top)
        for check in CHECKS:
            status, output = run(top, check)
            if status:
                problems.append(f"{check} does not accept the clean tree: {output}")
        for check, name, contents, expected in CASES:
            write(top, name, contents)
            status, output = run(top, check)
            if expected and (status != 1 or expected not in output or Path(name).name not in output):
                problems.append(f"{check} does not say \"{expected}\" about {name}, but ({status}) {output}")
            if not expected and status:
                problems.append(f"{check} does not accept {name}: {output}")
            (top / name).unlink()
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
