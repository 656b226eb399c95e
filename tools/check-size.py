#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Size budgets: what is larger than a reader's head has to be split, or say here why not."""

import ast
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import check_csource as csource  # noqa: E402

FILE_LINES = 800
HEADER_LINES = 250
FUNCTION_LINES = 80
PARAMS = 6
NESTING = 4

# Files that others start from stay small.
SMALLER = {
    "drivers/null/null.c": 119,
}

# file or file:function -> why its size is right. An entry that is no longer needed is an error.
EXEMPT = {
    "include/umdev/driver.h": "one ABI, read from top to bottom by the author of a driver",
    "src/link/link.c:link_call": "a message, and the function and argument for its answer",
    "src/vfio/session.c:vfio_session_new": "called once; a struct of arguments would only rename them",
    "src/host/driver.c:driver_mdev_create": "the callback of the ABI, and the error",
}


class Findings:
    """Collects what is over budget, and which exemptions were needed."""

    def __init__(self):
        self.texts = []
        self.used = set()

    def check(self, key: str, line: int, what: str, value: int, limit: int) -> None:
        """Notes @value over @limit, unless @key or its file is exempt."""
        if value <= limit:
            return
        for name in (key, key.split(":")[0]):
            if name in EXEMPT:
                self.used.add(name)
                return
        self.texts.append(f"{key.split(':')[0]}:{line}: {what}: {value}, allowed are {limit}")


def check_c(path: Path, findings: Findings) -> None:
    """One C source or header."""
    name = csource.relative(path)
    text = path.read_text()
    limit = HEADER_LINES if path.suffix == ".h" else SMALLER.get(name, FILE_LINES)
    findings.check(name, 1, "lines in the file", text.count("\n"), limit)
    for function in csource.parse(text)[0]:
        key = f"{name}:{function.name}"
        findings.check(key, function.line, f"lines in {function.name}()",
                       function.close_line - function.open_line, FUNCTION_LINES)
        findings.check(key, function.line, f"parameters of {function.name}()", function.params, PARAMS)
        findings.check(key, function.line, f"nested blocks in {function.name}()", function.nesting, NESTING)


def is_python(path: Path) -> bool:
    """By suffix, or by the first line of a script."""
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        return b"python" in file.readline(100)


def check_python(path: Path, findings: Findings) -> None:
    """One Python source."""
    name = csource.relative(path)
    text = path.read_text()
    findings.check(name, 1, "lines in the file", text.count("\n"), FILE_LINES)
    for node in ast.walk(ast.parse(text, name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            findings.check(f"{name}:{node.name}", node.lineno, f"lines in {node.name}()",
                           node.end_lineno - node.lineno, FUNCTION_LINES)


def main() -> int:
    """Prints what is over budget; 1 if there is anything."""
    findings = Findings()
    for path in csource.c_files():
        try:
            check_c(path, findings)
        except ValueError as error:
            findings.texts.append(f"{csource.relative(path)}: {error}")
    for path in csource.tree_files():
        if path.suffix in ("", ".py") and is_python(path):
            check_python(path, findings)
    for name in sorted(set(EXEMPT) - findings.used):
        findings.texts.append(f"tools/check-size.py: the exemption of {name} is not needed")
    print("\n".join(findings.texts))
    return 1 if findings.texts else 0


if __name__ == "__main__":
    sys.exit(main())
