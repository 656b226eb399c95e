#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Contracts are written down: every function of a header has a comment above it, every C file a head
comment, every public function of a source is in a header.

One comment may stand above a group of declarations that follow each other without a blank line. So may
a heading that says what they have in common: "/* ---- region.c: handlers of requests ---- */".
"""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import check_csource as csource  # noqa: E402

SPDX = "/* SPDX-License-Identifier: BSD-3-Clause */"
HEADING = re.compile(r"/\* -+ .*: .*\*/$")
HEADERS = ("include/", "src/", "drivers/", "tools/")


def is_declaration(text: str) -> bool:
    """Whether a statement declares functions; types of functions and macros are none."""
    if re.match(r"typedef\b|[A-Z_]+\s*\(", text):
        return False
    text = re.sub(r"__attribute__\s*\(\(.*\)\)", "", text, flags=re.DOTALL)
    return bool(re.search(r"\w\s*\(", text)) and not re.match(r"(static_assert|_Static_assert)\b", text) \
        and not re.match(r"[^(]*=", text)


def has_comment(text: str, start: int) -> bool:
    """Whether what stands above position @start is a comment, #define lines aside."""
    lines = text[:start].split("\n")[:-1]
    while lines and lines[-1].startswith("#define"):
        lines.pop()
    if lines and lines[-1].rstrip().endswith("*/"):
        return True
    return len(lines) > 1 and not lines[-1].strip() and bool(HEADING.match(lines[-2]))


def check_header(name: str, text: str) -> list:
    """Declarations and inline functions without a contract."""
    findings = []
    functions, statements = csource.parse(text)
    entries = [(statement.start, statement.line, statement.text) for statement in statements
               if is_declaration(statement.text)]
    entries += [(function.start, function.line, function.name + "(") for function in functions]
    code = csource.code(text)
    documented_until = -1
    for start, line, declaration in sorted(entries):
        # A group goes on while nothing but one end of line stands between its members.
        gap = text[documented_until:start] if documented_until >= 0 else "\n\n"
        grouped = gap.count("\n") <= 1 and not gap.strip()
        if not grouped and not has_comment(text, start):
            word = re.search(r"(\w+)\s*\(", declaration)
            findings.append(f"{name}:{line}: {word.group(1)}() has no comment that says its contract")
            continue
        end = code.find(";", start)
        documented_until = end + 1
    return findings


def check_file_head(name: str, text: str) -> list:
    """The licence line, then what the file is for."""
    if not text.startswith(SPDX + "\n"):
        return [f"{name}:1: the first line is not {SPDX}"]
    if not text[len(SPDX) + 1:].startswith("/*"):
        return [f"{name}:2: no head comment that says what the file is for"]
    return []


def check_once(name: str, text: str) -> list:
    """Headers are read once."""
    return [] if "\n#pragma once\n" in text else [f"{name}:1: no #pragma once"]


PROOF = re.compile(r"`(tests/[^`:]+)(?:::([^`]+))?`")


def check_proofs(name: str, text: str) -> list:
    """Tests that a table names as its proofs and that are not there."""
    findings = []
    for number, line in enumerate(text.splitlines(), 1):
        for path, test in PROOF.findall(line):
            file = csource.TOP / path
            if not file.exists():
                findings.append(f"{name}:{number}: there is no {path}")
            elif test and not re.search(rf"\b{re.escape(test)}\b", file.read_text()):
                findings.append(f"{name}:{number}: {path} has no {test}")
    return findings


def main() -> int:
    """Prints what lacks its comment; 1 if there is anything."""
    findings = []
    for path in sorted((csource.TOP / "docs").glob("*.md")):
        findings += check_proofs(csource.relative(path), path.read_text())
    for path in csource.c_files():
        name = csource.relative(path)
        text = Path(path).read_text()
        findings += check_file_head(name, text)
        if path.suffix == ".h":
            findings += check_once(name, text)
            if name.startswith(HEADERS):
                findings += check_header(name, text)
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
