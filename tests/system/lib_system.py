# SPDX-License-Identifier: BSD-3-Clause
"""What the system tests share."""

import pytest

from umdevtest.daemon import RpcError


def picture(daemon) -> dict:
    """All that an operator can see and all that is on disk, without what changes by itself."""
    parents = daemon.rpc("parent.list")["parents"]
    for parent in parents:
        parent.pop("host", None)
    mdevs = {which: daemon.rpc("mdev.list", **{which: True})["mdevs"] for which in ("all", "defined")}
    for mdev in mdevs["all"] + mdevs["defined"]:
        mdev.pop("statistics", None)
    return {"files": daemon.files(), "parents": parents, "types": daemon.rpc("type.list")["types"], "mdevs": mdevs,
            "sockets": sorted(path.name for path in (daemon.root / "run/umdev/mdevs").glob("*"))}


def fails(daemon, *arguments, says=(), rc=1, unchanged=True, **keywords) -> str:
    """A command that must fail: one line, nothing on standard output, nothing changed."""
    before = picture(daemon) if unchanged else None
    result = daemon.ctl(*arguments, **keywords)
    assert result.rc == rc, result
    assert result.out == "", result
    assert result.err.endswith("\n") and result.err.strip() and result.err.count("\n") == 1, result
    for word in [says] if isinstance(says, str) else says:
        assert word in result.err, f"{result.err!r} does not say {word!r}"
    if unchanged:
        after = picture(daemon)
        for part, value in before.items():
            assert after[part] == value, f"a command that failed changed {part}"
    return result.err


def refused(daemon, word: str, method: str, **params) -> RpcError:
    """A call that must be refused with a word."""
    with pytest.raises(RpcError) as info:
        daemon.rpc(method, **params)
    assert info.value.word == word, info.value
    assert info.value.message and "\n" not in info.value.message
    return info.value
