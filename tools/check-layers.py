#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The layers of the house: includes point only down, and pure code stays pure.

The tables below are the rule; the drawing is in ARCHITECTURE.md.
"""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import check_csource as csource  # noqa: E402

# layer -> what its files may include, besides their own directory
LAYERS = {
    "src/util": (),
    "src/stream": ("src/util",),
    "src/link": ("src/util",),
    "src/model": ("src/util", "umdev/driver.h"),
    "src/qos": ("src/util",),
    "src/vfio": ("src/util",),
    "src/pci": ("src/util", "umdev/driver.h"),
    "src/rpc": ("src/util", "umdev/client.h"),
    "src/host": ("src/vfio", "src/pci", "src/qos", "src/stream", "src/link", "src/util",
                 "umdev/driver.h"),
    "src/broker": ("src/model", "src/rpc", "src/stream", "src/link", "src/util", "umdev/driver.h"),
    "src/ctl": ("src/libvirt", "src/rpc", "src/util", "umdev/client.h"),
    "src/sysfs": ("src/rpc", "src/util", "umdev/client.h"),
    "src/libvirt": ("src/rpc", "src/util", "umdev/client.h"),
    "drivers": ("umdev/driver.h",),
    "tools/conform": ("src/host", "src/broker", "src/model", "src/vfio", "src/pci", "src/qos", "src/rpc", "src/util",
                      "umdev/driver.h", "umdev/client.h"),
    "tools": ("src/util", "src/qos", "src/vfio", "umdev/driver.h", "umdev/client.h"),
}

# What depends on its arguments alone: it can be simulated, property-tested and fuzzed.
PURE = ("src/stream/", "src/model/", "src/qos/", "src/pci/", "src/vfio/wire")

IMPURE_CALLS = set("""
    open openat creat close read write pread pwrite readv writev lseek fsync fdatasync ftruncate unlink unlinkat
    rename renameat mkdir mkdirat rmdir stat fstat fstatat lstat access opendir readdir ioctl fcntl flock mmap
    munmap memfd_create socket bind listen accept accept4 connect send sendto sendmsg recv recvfrom recvmsg poll
    ppoll epoll_wait epoll_ctl epoll_pwait2 select fopen fclose fread fwrite fprintf printf puts fputs perror
    time clock clock_gettime gettimeofday nanosleep usleep sleep clock_now_ns clock_wall_ns timerfd_create
    fork execve system popen kill getpid getuid getenv setenv rand srand random rand_r getrandom uuid_generate
    exit _exit abort syslog umdev_log pthread_create pthread_mutex_lock dlopen errno_location
    fd_send fd_recv fd_memfd fd_read_file fd_write_file_atomic fd_mkdir_parents
    """.split())

# What tests of any part include from tests/.
TEST_HEADERS = ("fuzz/fuzz.h", "lib/open-fds.h")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
CALL = re.compile(r"(?<![\w.>])([a-z_]\w*)\s*\(")


def layer_of(name: str) -> str:
    """The layer that a file belongs to; "" for tests, which may look at everything."""
    if "tests" in Path(name).parts:
        return ""
    for layer in LAYERS:
        if name.startswith(layer + "/"):
            return layer
    return ""


def check_own(name: str, target: str) -> str:
    """An include in quotes that is found beside the file: fine below drivers, tools and tests only."""
    if name.startswith("src/"):
        return f'"{target}" is written from src/, as "directory/{target}"'
    # Relative paths would be a way around the layers.
    return f'"{target}" leads out of the directory' if ".." in Path(target).parts else ""


def check_include(path: Path, quote: str, target: str) -> str:
    """What is wrong with one include, or ""."""
    name = csource.relative(path)
    layer = layer_of(name)
    if quote == "<":
        if not target.startswith("umdev/"):
            return ""
        return "" if not layer or target in LAYERS[layer] else f"{layer} may not include <{target}>"
    if (path.parent / target).is_file():
        return check_own(name, target)
    if not layer and (path.parent.parent / target).is_file():
        return ""  # what the tests beside a program or driver look at
    if not layer and target in TEST_HEADERS:
        return ""
    if layer == "tools/conform" and target.startswith("perf/"):
        return ""  # the vfio-user client, which umdev-perf has
    if not (csource.TOP / "src" / target).is_file():
        return f'"{target}" is no file below src/'
    directory = "src/" + target.split("/")[0]
    if not layer:
        return check_test_include(name, target)
    if layer == "drivers":
        return f'a driver includes <umdev/driver.h> and nothing else of ours, not "{target}"'
    if directory == layer:
        return ""
    if target.endswith("-internal.h"):
        return f'"{target}" is private to {directory}'
    return "" if directory in LAYERS[layer] else f"{layer} may not include from {directory}"


def check_test_include(name: str, target: str) -> str:
    """Tests may look everywhere, at the insides only of what they test."""
    directory = target.split("/")[0]
    if target.endswith("-internal.h") and f"/{directory}/" not in name and not name.startswith("tests/fuzz/"):
        return f'"{target}" is private to src/{directory} and its tests'
    return ""


def is_variable(text: str) -> bool:
    """Whether a statement at file level defines something that can change."""
    if re.match(r"(typedef|extern|static_assert|_Static_assert)\b", text):
        return False
    head = text.split("=")[0]
    if "(" in head and "=" not in text and not re.search(r"\(\s*\*", head):
        return False  # a prototype
    if re.fullmatch(r"(struct|union|enum)\s+\w+\s*(\{\})?", text.strip()):
        return False  # a type
    # What matters is whether the object itself is const: the last word before its name.
    declarator = head.rsplit("*", 1)[-1] if "*" in head else head
    return not re.search(r"\bconst\b", declarator)


def check_pure(path: Path, text: str) -> list:
    """Calls and variables that pure code must not have."""
    name = csource.relative(path)
    functions, statements = csource.parse(text)
    findings = []
    for function in functions:
        for call in CALL.finditer(function.body):
            if call.group(1) in IMPURE_CALLS:
                line = function.body_line + function.body.count("\n", 0, call.start())
                findings.append(f"{name}:{line}: pure code may not call {call.group(1)}()")
        for local in re.finditer(r"^\s*static\s+([^;=]*)", function.body, re.MULTILINE):
            if is_variable(local.group(1)):
                line = function.body_line + function.body.count("\n", 0, local.start(1))
                findings.append(f"{name}:{line}: pure code may not keep state in a static variable")
    for statement in statements:
        if is_variable(statement.text):
            findings.append(f"{name}:{statement.line}: pure code may not have a variable of its own: "
                            f"{' '.join(statement.text.split())[:60]}")
    return findings


def main() -> int:
    """Prints every include that points the wrong way, and every impurity; 1 if there is any."""
    findings = []
    for path in csource.c_files():
        name = csource.relative(path)
        text = path.read_text()
        if name.startswith("src/") and not layer_of(name):
            findings.append(f"{name}: its directory has no row in the table of tools/check-layers.py")
        for found in INCLUDE.finditer(text):
            problem = check_include(path, *found.groups())
            if problem:
                findings.append(f"{name}:{csource.line_of(text, found.start(1))}: {problem}")
        if name.startswith(PURE):
            findings += check_pure(path, text)
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
