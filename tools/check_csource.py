# SPDX-License-Identifier: BSD-3-Clause
"""Enough of a reader of C for the checks of this tree: not a parser, but exact on code that
clang-format has shaped.

A source is reduced to its code: comments, texts and preprocessor lines become blanks of the same
length, so that positions and line numbers stay true.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
C_DIRECTORIES = ("src", "drivers", "include", "tools", "tests", "bin")

_TOKEN = re.compile(
    r"""/\*.*?\*/            # comment
      | //[^\n]*
      | "(?:\\.|[^"\\\n])*"  # text
      | '(?:\\.|[^'\\\n])*'""", re.DOTALL | re.VERBOSE)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
_CONTROL = re.compile(r"\b(if|for|while|switch|return|sizeof|else|do)$")


@dataclass
class Function:
    """One function definition."""
    name: str
    line: int         # of the name
    open_line: int    # of the opening brace
    close_line: int   # of the closing brace
    params: int
    nesting: int      # deepest block below the body
    static: bool
    start: int        # offset of the declaration
    body: str         # code between the braces
    body_line: int


@dataclass
class Statement:
    """Anything else at file level that ends with a semicolon, its braces' contents taken out."""
    text: str
    line: int
    start: int        # offset of its first character


def tree_files() -> list:
    """Every file that belongs to the tree, tracked or about to be."""
    listing = subprocess.run(["git", "-C", str(TOP), "ls-files", "-co", "--exclude-standard"],
                             capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        names = set(listing.stdout.split("\n")) - {""}
        return sorted(TOP / name for name in names if (TOP / name).is_file())
    return sorted(path for path in TOP.rglob("*") if path.is_file()
                  and not path.relative_to(TOP).parts[0].startswith("build"))


def c_files(*suffixes) -> list:
    """C sources and headers of the tree."""
    suffixes = suffixes or (".c", ".h")
    return [path for path in tree_files()
            if path.suffix in suffixes and path.relative_to(TOP).parts[0] in C_DIRECTORIES]


def relative(path: Path) -> str:
    """The name by which people know a file."""
    return str(path.relative_to(TOP))


def _blank(match) -> str:
    return re.sub(r"[^\n]", " ", match.group(0))


def _blank_token(match) -> str:
    text = match.group(0)
    if text[0] in "\"'":
        return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]
    return _blank(match)


def code(text: str) -> str:
    """@text with comments, the insides of texts, and directives blanked."""
    return _DIRECTIVE.sub(_blank, _TOKEN.sub(_blank_token, text))


def line_of(text: str, offset: int) -> int:
    """The line number of a position."""
    return text.count("\n", 0, offset) + 1


def _matching(text: str, start: int, opening: str, closing: str) -> int:
    depth = 0
    for i in range(start, len(text)):
        if text[i] == opening:
            depth += 1
        elif text[i] == closing:
            depth -= 1
            if depth == 0:
                return i
    raise ValueError(f"unbalanced {opening} on line {line_of(text, start)}")


def _without_attributes(text: str) -> str:
    while (found := re.search(r"__attribute__\s*\(", text)):
        end = _matching(text, found.end() - 1, "(", ")")
        text = text[:found.start()] + " " * (end + 1 - found.start()) + text[end + 1:]
    return text


def _count_params(text: str) -> int:
    if text.strip() in ("", "void"):
        return 0
    depth, count = 0, 1
    for c in text:
        depth += c in "([{"
        depth -= c in ")]}"
        count += c == "," and depth == 0
    return count


def _nesting(body: str) -> int:
    """The deepest block. Initialisers and compound literals, "(struct x){...}", are no blocks."""
    deepest, stack = 0, []
    for i, c in enumerate(body):
        if c == "{":
            before = body[:i].rstrip()
            adjacent = i > 0 and body[i - 1] == ")"
            block = bool(before) and not adjacent and (before[-1] in ");{}:" or bool(_CONTROL.search(before)))
            stack.append(block or not before)
            deepest = max(deepest, sum(stack))
        elif c == "}":
            stack.pop()
    return deepest


def _function(text: str, start: int, brace: int):
    """The function whose head begins at @start and whose body opens at @brace, or None."""
    head = _without_attributes(text[start:brace])
    paren = head.find("(")
    if paren < 0 or "=" in head[:paren]:
        return None
    name = re.search(r"(\w+)\s*$", head[:paren])
    if not name or re.match(r"\s*typedef\b", head):
        return None
    end = _matching(text, brace, "{", "}")
    params_end = _matching(head, paren, "(", ")")
    body = text[brace + 1:end]
    return Function(name.group(1), line_of(text, start + name.start(1)), line_of(text, brace), line_of(text, end),
                    _count_params(head[paren + 1:params_end]), _nesting(body), bool(re.search(r"\bstatic\b", head)),
                    start, body, line_of(text, brace)), end


def parse(text: str) -> tuple:
    """(functions, statements) of a source. Raises ValueError for what is not balanced."""
    text = code(text)
    functions, statements = [], []
    i = start = 0
    flat = ""
    while i < len(text):
        c = text[i]
        if not flat.strip():
            start = i if not c.isspace() else start
        if c == ";":
            if flat.strip():
                statements.append(Statement(flat.strip(), line_of(text, start), start))
            flat = ""
        elif c == "{" and re.fullmatch(r'\s*extern\s*"\s*"\s*', flat.replace("C", " ")):
            flat = ""
        elif c == "}":
            flat = ""  # the end of extern "C"
        elif c == "{":
            found = _function(text, start, i)
            if found:
                functions.append(found[0])
                i = found[1]
                flat = ""
            else:
                i = _matching(text, i, "{", "}")
                flat += "{}"
        else:
            flat += c
        i += 1
    return functions, statements
