# SPDX-License-Identifier: BSD-3-Clause
"""Knobs under load: shares, caps, priority and reasons, while clients keep their queues full.

Jobs take a fixed time that is long against what a busy machine makes clients late by, and queues are
deep, so that the scheduler alone decides. Only ratios are looked at. Bounds are several times what
is measured on a busy machine, and far from what comes out where a knob is ignored. How much of wall
time a parent is in use at all depends on how soon a busy machine lets its host go on, so that is
only seen to be much more than a share or cap would allow.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib_system import fails, refused
from umdevtest import Failure
from umdevtest.load import change, loads, share_error, snapshot, span, usage, wait_backlogged

pytestmark = pytest.mark.alone

# Jobs at once -> what each of them takes.
SERVICE_US = {1: 500, 8: 2000}
DEPTH = 512
SETTLE_S = 0.2
SPAN_S = 1.0
CLOSE = 0.05  # how wrong a share may be
TRIES = 5  # spans, until the machine lets all clients keep up
ALL = 60  # percent of wall time: owned by one that is alone and has no cap, at least
SLOTS = pytest.mark.parametrize("slots", sorted(SERVICE_US))


def start(daemon, *knobs, slots=1, **options) -> list:
    """A parent with so many jobs at once, and an mdev on it for each set of knobs."""
    options = {"path": f"{daemon.directory}/busy.img", "size": "128M", "types": "16m", "parallelism": slots,
               "service_us": SERVICE_US[slots], **options}
    words = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    daemon.ok("parent", "add", "busy", "--driver", "nvme", *words)
    idents = []
    for wanted in knobs:
        words = [word for name, value in wanted.items() for word in ("--attr", f"mdev/{name}={value}")]
        idents.append(daemon.ok("start", "-p", "busy", "-t", "nvme-16m", *words).strip())
    return idents


def saturate(daemon, idents):
    """Load on each of them; a context manager of the clients."""
    return loads(daemon, *((ident, {}) for ident in idents), depth=DEPTH)


def settle(daemon, idents) -> None:
    """All of them have jobs that wait, and have had for a moment."""
    wait_backlogged(daemon, idents)
    time.sleep(SETTLE_S)


def measured(daemon, idents, least: float = 0, ask=None):
    """What was owned for a while from now on, by mdevs that have jobs waiting all the time, and together own at least so
    much of wall time. With @ask, what that says of the same while instead."""
    with ThreadPoolExecutor(1) as pool:
        for _ in range(TRIES):
            answer = pool.submit(ask) if ask else None
            found = span(daemon, idents[0], SPAN_S)
            said = answer.result() if answer else found
            owned = sum(found.of_wall(ident) for ident in idents)
            if found.empty(idents) == 0 and owned > least:
                return said
    raise Failure(f"the clients are too slow to measure anything, or too little is owned: {owned:.1f} %")


def keeps_cap(found, ident, cap: float) -> bool:
    """Never more than the cap; a little less where the host itself has to wait for its turn on this machine."""
    return 0.7 * cap < found.of_wall(ident) < cap + 1


@SLOTS
def test_weights(daemon, slots):
    """1:3, in ownership and in jobs, and the parent is in use."""
    idents = start(daemon, {"weight": 100}, {"weight": 300}, slots=slots)
    with saturate(daemon, idents):
        settle(daemon, idents)
        found = measured(daemon, idents, ALL)
    assert share_error(found.shares(idents), (1, 3)) < CLOSE
    assert share_error(found.shares(idents, "jobs"), (1, 3)) < CLOSE
    assert sum(found.of_wall(ident) for ident in idents) > ALL


@SLOTS
def test_cap(daemon, slots):
    """60 is 60 for one that is alone; beside another its weight does not lift it, and the other has the rest."""
    idents = start(daemon, {"cap": 60, "weight": 10000}, {}, slots=slots)
    with saturate(daemon, idents[:1]):
        settle(daemon, idents[:1])
        assert keeps_cap(measured(daemon, idents[:1]), idents[0], 60)
        with saturate(daemon, idents[1:]):
            settle(daemon, idents)
            found = measured(daemon, idents, 80)
    assert keeps_cap(found, idents[0], 60)
    assert found.of_wall(idents[1]) > 15


def test_idle_takes_nothing(daemon):
    """Neither a drive that nobody uses nor one whose client does nothing changes a share."""
    idents = start(daemon, {"weight": 100}, {"weight": 300}, {"weight": 10000, "priority": 7},
                   {"weight": 10000, "priority": 7})
    with saturate(daemon, idents[:2]), loads(daemon, (idents[2], {"start_at": 1 << 62})):
        settle(daemon, idents[:2])
        found = measured(daemon, idents[:2])
    assert share_error(found.shares(idents[:2]), (1, 3)) < CLOSE
    assert [found.delta(ident, "owned_ns") for ident in idents[2:]] == [0, 0]


def test_priority(daemon):
    """Of two that ask for little beside four that ask for all, the one with priority waits less; shares stay."""
    idents = start(daemon, {"priority": 7}, {}, {}, {}, {}, {})
    rate = 0.05 * 1e6 / SERVICE_US[1]
    with saturate(daemon, idents[2:]):
        wait_backlogged(daemon, idents[2:])
        with loads(daemon, *((ident, {"seed": seed}) for seed, ident in enumerate(idents[:2])), rate=rate,
                   arrival="poisson", depth=64, ramp=SETTLE_S, runtime_s=1.6) as probes:
            reports = [probe.result() for probe in probes]
        first, plain = (usage(daemon, ident) for ident in idents[:2])
        shares = snapshot(daemon, idents[0])
    waits = [found["wait_ns"] / found["jobs"] for found in (first, plain)]
    assert waits[0] < 0.6 * waits[1], waits
    assert reports[0]["lat_ns"]["p50"] < reports[1]["lat_ns"]["p50"]
    owned = [shares.mdevs[ident]["owned_ns"] for ident in idents[2:]]
    assert share_error([part / sum(owned) for part in owned], (1, 1, 1, 1)) < 0.2


def test_priority_is_no_larger_share(daemon):
    """One with priority that asks for all gets its share and no more."""
    idents = start(daemon, {"priority": 7}, {}, {"weight": 200})
    with saturate(daemon, idents):
        settle(daemon, idents)
        found = measured(daemon, idents)
    assert share_error(found.shares(idents), (1, 1, 2)) < CLOSE


@pytest.mark.parametrize("knobs, expected", [
    ([{}, {"weight": 400}], (1, 4)), ([{"weight": 1000}, {}], (10, 1)),
    ([{"weight": 600}, {"weight": 300, "priority": 7}], (2, 1))], ids=str)
def test_change_under_load(daemon, knobs, expected):
    """What umdevctl sets is so when it returns."""
    idents = start(daemon, {}, {})
    with saturate(daemon, idents):
        settle(daemon, idents)
        assert share_error(measured(daemon, idents).shares(idents), (1, 1)) < CLOSE
        for ident, wanted in zip(idents, knobs):
            if wanted:
                shown = change(daemon, ident, **wanted)
                assert wanted.items() <= shown.items()
        assert share_error(measured(daemon, idents).shares(idents), expected) < CLOSE


def test_cap_change_alone(daemon):
    """Neither is held against an mdev what it owned before it had a cap, nor does it go on as before."""
    idents = start(daemon, {})
    with saturate(daemon, idents):
        settle(daemon, idents)
        assert measured(daemon, idents, ALL).of_wall(idents[0]) > ALL
        change(daemon, idents[0], cap=30)
        assert keeps_cap(measured(daemon, idents), idents[0], 30)
        change(daemon, idents[0], cap=100)
        assert measured(daemon, idents, ALL).of_wall(idents[0]) > ALL


def test_share_of_one_that_leaves(daemon):
    """When the others go, however, what they had is there for who stays."""
    idents = start(daemon, {}, {"weight": 300}, {"weight": 600})
    with saturate(daemon, idents):
        settle(daemon, idents)
        assert share_error(measured(daemon, idents).shares(idents), (1, 3, 6)) < CLOSE
        daemon.ok("stop", "-u", idents[2], "--force")
        assert share_error(measured(daemon, idents[:2]).shares(idents[:2]), (1, 3)) < CLOSE
        daemon.ok("stop", "-u", idents[1], "--force")
        assert measured(daemon, idents[:1], ALL).of_wall(idents[0]) > ALL


@pytest.mark.parametrize("cause, knobs, least", [
    ("cap", [{"cap": 20}], 14), ("turn", [{}, {"weight": 900}], 80),
    ("priority", [{}, {"weight": 900, "priority": 7}], 80), ("engine", [{}], 80)],
    ids=lambda value: value if isinstance(value, str) else "")
def test_blame(daemon, cause, knobs, least):
    """The reason is named, the causes are the whole of the waiting, and those who own the rest are listed."""
    idents = start(daemon, *knobs)
    with saturate(daemon, idents):
        settle(daemon, idents)
        found = json.loads(measured(daemon, idents, least,
                                    lambda: daemon.ok("blame", idents[0], "--seconds", f"{SPAN_S}", "--json")))
    causes = found["wait_by_cause_ns"]
    assert found["main_cause"] == cause
    assert sum(causes.values()) == found["wait_ns"] > 0
    assert causes[cause] > 0.5 * found["wait_ns"]
    peers = {peer["uuid"]: peer["owned_ns"] for peer in found["peers"]}
    assert list(peers) == idents[1:]
    if cause == "cap":
        assert 0.15 < found["owned_share"] < 0.21
    if peers:
        # By weight 1:9; a client that was short of CPU time may have asked for less.
        assert peers[idents[1]] > 2 * found["owned_ns"]


def test_refusals_disturb_nobody(daemon):
    """What is refused under load, over and over, changes no knob and no share, and costs no command."""
    idents = start(daemon, {}, {"weight": 300})
    with saturate(daemon, idents) as clients:
        settle(daemon, idents)
        first = snapshot(daemon, idents[0])
        until = time.monotonic() + SPAN_S / 2
        while time.monotonic() < until:
            for ident in idents:
                refused(daemon, "INVALID", "mdev.qos", uuid=ident, weight=0)
                refused(daemon, "INVALID", "mdev.qos", uuid=ident, weight=1 << 62)
                refused(daemon, "INVALID", "mdev.qos", uuid=ident, cap=1, weight=10000, priority=8)
                refused(daemon, "INVALID", "mdev.qos", uuid=ident, cap=0.001, priority=7)
                refused(daemon, "INVALID", "mdev.qos", uuid=ident, cap=-1e300)
                refused(daemon, "INVALID", "mdev.qos", uuid=ident, priority="7")
        fails(daemon, "qos", idents[0], "--cap", "20", "--weight", "10001", says="10001", rc=2, unchanged=False)
        found = measured(daemon, idents)
        shown = [usage(daemon, ident) for ident in idents]
        reports = [client.stop() for client in clients]
    assert [(one["cap"], one["weight"], one["priority"]) for one in shown] == [(100, 100, 0), (100, 300, 0)]
    grown = [found.last.mdevs[ident]["owned_ns"] - first.mdevs[ident]["owned_ns"] for ident in idents]
    assert share_error([part / sum(grown) for part in grown], (1, 3)) < CLOSE
    assert [report["errors"] for report in reports] == [0, 0]


def test_knobs_that_change_all_the_time(daemon):
    """A hundred changes a second, each to another weight and back, end in the share that the last one says."""
    idents = start(daemon, {}, {})
    with saturate(daemon, idents) as clients:
        settle(daemon, idents)
        until = time.monotonic() + SPAN_S
        while time.monotonic() < until:
            for knobs in ({"weight": 10000, "priority": 7}, {"weight": 1, "cap": 0.01}, {"cap": 100, "priority": 0},
                          {"weight": 300}):
                daemon.rpc("mdev.qos", uuid=idents[1], **knobs)
                time.sleep(0.002)
        found = measured(daemon, idents)
        reports = [client.stop() for client in clients]
    assert share_error(found.shares(idents), (1, 3)) < CLOSE
    assert [report["errors"] for report in reports] == [0, 0]


GROUP = "00000000-0000-4000-8000-0000000000aa"


def start_grouped(daemon, *knobs) -> list:
    """As start(); the first mdev is in a group, beside one that nobody uses."""
    idents = start(daemon, *knobs[1:])
    words = [word for name, value in knobs[0].items() for word in ("--attr", f"mdev/{name}={value}")]
    grouped = [daemon.ok("start", "-p", "busy", "-t", "nvme-16m", "--group", GROUP, *words).strip() for _ in range(2)]
    return [grouped[0], *idents]


def test_group_competes_as_one(daemon):
    """Weight and cap of the whole count outside, whatever the members' own are; both may change live."""
    idents = start_grouped(daemon, {"weight": 10000}, {"weight": 100})
    with saturate(daemon, idents):
        settle(daemon, idents)
        assert share_error(measured(daemon, idents).shares(idents), (1, 1)) < CLOSE
        daemon.ok("group", "qos", GROUP, "--weight", "300")
        time.sleep(SETTLE_S)
        assert share_error(measured(daemon, idents).shares(idents), (3, 1)) < CLOSE
        daemon.ok("group", "qos", GROUP, "--cap", "20")
        time.sleep(SETTLE_S)
        assert keeps_cap(measured(daemon, idents), idents[0], 20)
        daemon.ok("group", "qos", GROUP, "--cap", "100", "--weight", "100")
        time.sleep(SETTLE_S)
        assert share_error(measured(daemon, idents).shares(idents), (1, 1)) < CLOSE


def test_group_settings_of_another_time(daemon):
    """What was set before the start holds from the first job."""
    daemon.ok("parent", "add", "other", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    daemon.ok("define", "-p", "other", "-t", "nvme-16m", "--group", GROUP)
    daemon.ok("group", "qos", GROUP, "--weight", "400")
    idents = start_grouped(daemon, {}, {})
    with saturate(daemon, idents):
        settle(daemon, idents)
        assert share_error(measured(daemon, idents).shares(idents), (4, 1)) < CLOSE
