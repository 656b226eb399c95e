# SPDX-License-Identifier: BSD-3-Clause
"""Debian packages without installing them.

A private apt directory with an empty package status: apt then resolves and
verifies as usual, but sees nothing of the host and changes nothing on it.  The
mirrors are the ones that the host itself uses, and the host's archive keyring
signs for them.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import VmError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = {"apt-get": "apt", "apt-cache": "apt", "apt-config": "apt", "dpkg-deb": "dpkg", "tar": "tar"}
HOST_RELEASE = "bookworm"
# Settings of the host that decide how a mirror is reached, and nothing else.
REACH = ("Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIPv4", "Acquire::ForceIPv6",
         "Acquire::Check-Valid-Until")
UNWANTED = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/lintian", "./usr/include")


def check_tools() -> None:
    """Refuses early, naming the package, where the host lacks a tool."""
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise VmError(f"{tool} is missing on this host: install the package {package}")
    if not KEYRING.exists():
        raise VmError(f"{KEYRING} is missing on this host: install the package debian-archive-keyring")


def host_mirrors() -> list:
    """(URI, codename) of each Debian package list that the host's apt is configured with."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Identifier: Packages"],
        capture_output=True, text=True, check=False).stdout
    mirrors = []
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2] == "main" and fields[1].startswith(HOST_RELEASE):
            mirrors.append((fields[0], fields[1]))
    if not any(codename == HOST_RELEASE for _, codename in mirrors):
        raise VmError(f"apt on this host has no package list of {HOST_RELEASE}: "
                      f"add one to /etc/apt and run apt-get update")
    return sorted(set(mirrors))


def _reach_settings() -> str:
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    return "".join(line + "\n" for line in dump.splitlines() if line.split(" ")[0].startswith(REACH))


class Archive:
    """Some suites of the archive, seen through a private apt directory."""

    def __init__(self, directory: Path, suites):
        """`suites`: pairs of a mirror's URI and a suite of it."""
        self.directory = directory
        for name in ("state/lists/partial", "cache/archives/partial", "etc/parts"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        (directory / "etc/sources.list").write_text(
            "".join(f"deb [signed-by={KEYRING}] {uri} {suite} main\n" for uri, suite in suites))
        (directory / "etc/apt.conf").write_text(_reach_settings() + f"""
Dir "{directory}/";
Dir::State "{directory}/state";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{directory}/etc/sources.list";
Dir::Etc::sourceparts "{directory}/etc/parts";
Dir::Etc::parts "{directory}/etc/parts";
Dir::Etc::main "{directory}/etc/none.conf";
Dir::Etc::preferences "{directory}/etc/none";
Dir::Etc::preferencesparts "{directory}/etc/parts";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
APT::Install-Recommends "0";
Debug::NoLocking "1";
Acquire::Languages "none";
""")
        self._environment = dict(os.environ, APT_CONFIG=str(directory / "etc/apt.conf"), LC_ALL="C.UTF-8")
        self._apt(["apt-get", "-q", "update"], "could not fetch the package lists")

    def _apt(self, command, complaint: str, cwd=None) -> str:
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd,
                                env=self._environment, stdin=subprocess.DEVNULL)
        # apt-get update exits 0 where a list could not be had and an older one would do; here there is none.
        lines = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W: Failed"))]
        if result.returncode or lines:
            reason = lines[0] if lines else f"exit code {result.returncode}"
            raise VmError(f"{complaint}: {reason}")
        return result.stdout

    def closure(self, packages, release=None) -> dict:
        """Version of each package that installing `packages` on an empty system would bring."""
        command = ["apt-get", "-s", "install", *packages]
        if release:
            command[2:2] = ["-t", release]
        versions = {}
        for line in self._apt(command, f"cannot resolve {' '.join(packages)}").splitlines():
            if line.startswith("Inst "):
                words = line.split()
                versions[words[1]] = words[2].lstrip("(")
        return versions

    def dependency(self, package: str, prefix: str) -> str:
        """The package that `package` depends on whose name starts with `prefix`."""
        output = self._apt(["apt-cache", "depends", package], f"cannot look up {package}")
        for line in output.splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind == "Depends" and name.startswith(prefix):
                return name
        raise VmError(f"{package} depends on nothing that starts with {prefix}")

    def candidate(self, package: str) -> str:
        """The version of `package` that would be installed."""
        output = self._apt(["apt-cache", "policy", package], f"cannot look up {package}")
        for line in output.splitlines():
            key, _, value = line.strip().partition(": ")
            if key == "Candidate" and value != "(none)":
                return value
        raise VmError(f"the archive has no package {package}")

    def download(self, versions: dict, directory: Path) -> list:
        """Fetches and verifies packages; returns their files."""
        directory.mkdir()
        wanted = [f"{name}={version}" for name, version in sorted(versions.items())]
        self._apt(["apt-get", "-q", "download", *wanted], "could not fetch packages", cwd=directory)
        files = sorted(directory.glob("*.deb"))
        if len(files) != len(wanted):
            raise VmError(f"fetched {len(files)} packages where {len(wanted)} were asked for")
        return files


def unpack(package: Path, root: Path, only=()) -> None:
    """Unpacks `package` below `root`: without documentation, and only the members named, if any."""
    root.mkdir(exist_ok=True)
    command = ["tar", "-x", "-C", str(root), "--no-same-owner", "--no-same-permissions"]
    command += [f"--exclude={path}" for path in UNWANTED]
    command += ["--wildcards", *only] if only else []
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as producer:
        result = subprocess.run(command, stdin=producer.stdout, capture_output=True, text=True, check=False)
    if result.returncode or producer.returncode:
        lines = result.stderr.strip().splitlines() or ["dpkg-deb failed"]
        raise VmError(f"cannot unpack {package.name}: {lines[-1]}")
