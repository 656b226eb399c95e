# SPDX-License-Identifier: BSD-3-Clause
"""Placement, promised shares and plans on a real daemon: figures worked out by hand, and what plan says, start does.

The rules themselves are in tests/unit/model/test-share.c, test-place.c and test-plan.c.
"""

import json
import os
import random

import pytest

from lib_system import fails, picture, refused
from umdevtest.daemon import NOBODY, new_uuid

KIND = "nvme-16m"
A1, A2, B1, B2 = (f"6f1c8a10-52d4-4a0e-9b61-0d7a3c1e000{n}" for n in range(1, 5))
GROUP = "00000000-0000-4000-8000-0000000000cc"


def add_parent(daemon, name, *options, types="16m,32m", size="64M") -> None:
    """An nvme parent in memory."""
    words = [word for option in (f"ram={size}", f"types={types}", *options) for word in ("--option", option)]
    daemon.ok("parent", "add", name, "--driver", "nvme", *words)


def start(daemon, parent, *attrs, ident=None, kind=KIND) -> str:
    """A transient mdev on a parent, with attributes."""
    words = [word for attr in attrs for word in ("--attr", f"mdev/{attr}")]
    ident = ident or new_uuid()
    daemon.ok("start", "-u", ident, "-p", parent, "-t", kind, *words)
    return ident


@pytest.fixture
def two(daemon):
    """Weights 100 and 300 on a, 50 and 50 on b; two more fit on each."""
    for name in ("a", "b"):
        add_parent(daemon, name)
    for ident, parent, weight in ((A1, "a", 100), (A2, "a", 300), (B1, "b", 50), (B2, "b", 50)):
        start(daemon, parent, f"weight={weight}", ident=ident)
    return daemon


def plan(daemon, *wants, **params) -> dict:
    """The daemon's plan."""
    return daemon.rpc("plan", mdevs=list(wants), **params)


def want(**more) -> dict:
    """A wanted mdev."""
    return {"type": KIND, **more}


def table(of) -> dict:
    """Shares before and after, by UUID."""
    return {row["uuid"]: (row["share_now"], row["share_then"]) for row in of["mdevs"]}


def shares(answer) -> dict:
    """The table of each parent at the end of a plan."""
    return {parent["parent"]: table(parent) for parent in answer["shares"]}


# ---- figures by hand


def test_spread(two):
    """100 beside 100 and 300 is a fifth, beside 50 and 50 a half: b."""
    before = picture(two)
    answer = plan(two, want())
    assert answer["fits"] and answer["placement"] == "spread" and "change" not in answer
    mdev, = answer["mdevs"]
    assert (mdev["uuid"], mdev["parent"], mdev["share"]) == ("new#1", "b", 50)
    assert mdev["arithmetic"] == "100 / (100 + 50 + 50) = 50 %"
    on_a, on_b = mdev["candidates"]
    assert (on_a["parent"], on_a["fits"], on_a["share"], on_a["instances"]) == ("a", True, 20, 2)
    assert on_a["arithmetic"] == "100 / (100 + 100 + 300) = 20 %"
    assert table(on_a) == {A1: (25, 20), A2: (75, 60), "new#1": (0, 20)}
    assert table(on_b) == {B1: (50, 25), B2: (50, 25), "new#1": (0, 50)}
    assert shares(answer) == {"a": {A1: (25, 25), A2: (75, 75)}, "b": {B1: (50, 25), B2: (50, 25), "new#1": (0, 50)}}
    text = two.ok("plan", "--type", KIND)
    for line in ("new#1  nvme-16m  on b with 50 % of it", "    a                    2 left  100 / (100 + 100 + 300) = 20 %",
                 "  * b                    2 left  100 / (100 + 50 + 50) = 50 %", "75 % -> 75 %", "50 % -> 25 %", "- -> 50 %"):
        assert line in text, text
    assert json.loads(two.ok("plan", "--type", KIND, "--json")) == answer
    assert picture(two) == before, "a plan has touched something"


def test_cap(two):
    """What a cap leaves goes to the others; a cap of the newcomer makes both parents worth the same."""
    two.ok("qos", A2, "--cap", "10")
    mdev, = plan(two, want())["mdevs"]
    on_a = mdev["candidates"][0]
    assert on_a["arithmetic"] == "(100 % - 10 % that caps bound) x 100 / (100 + 100) = 45 %"
    assert table(on_a) == {A1: (90, 45), A2: (10, 10), "new#1": (0, 45)}
    mdev, = plan(two, want(cap=12.5, weight=1000))["mdevs"]
    assert (mdev["parent"], mdev["share"], mdev["arithmetic"]) == ("a", 12.5, "its cap = 12.5 %")
    start(two, "a")
    mdev, = plan(two, want(cap=12.5, weight=1000))["mdevs"]
    assert mdev["parent"] == "b", "of equal shares that with more instances left"
    mdev, = plan(two, want(cap=12.5, weight=1000), placement="pack")["mdevs"]
    assert mdev["parent"] == "a", "the fuller one"


def test_thirds(two):
    """Numbers that do not divide: 10^-7 of a percent, cut in words."""
    answer = plan(two, want(parent="b", weight=50))
    assert shares(answer) == {"b": {B1: (50, 33.3333334), B2: (50, 33.3333333), "new#1": (0, 33.3333333)}}
    assert "50 / (50 + 50 + 50) = 33.33 %" in two.ok("plan", "-t", KIND, "-p", "b", "--weight", "50")


def test_min_share_that_one_gives(two):
    """A quarter is not to be had on a."""
    mdev, = plan(two, want(min_share=25))["mdevs"]
    on_a, on_b = mdev["candidates"]
    assert mdev["parent"] == "b" and on_b["fits"] and not on_a["fits"] and on_a["word"] == "NO_SHARE"
    assert on_a["message"] == ("mdev new#1 would get 20 % of a, less than its min_share of 25 %: "
                               "100 / (100 + 100 + 300) = 20 %; raise its weight or lower mdev/min_share")
    assert plan(two, want(min_share=50))["fits"] and not plan(two, want(min_share=50.01))["fits"]


def test_min_share_that_none_gives(two):
    """The refusal says each candidate with its arithmetic; the plan says the way out, too."""
    before = picture(two)
    text = fails(two, "start", "-t", KIND, "--min-share", "60",
                 says="a: 100 / (100 + 100 + 300) = 20 %, less than 60 %; b: 100 / (100 + 50 + 50) = 50 %, less than 60 %")
    assert text.startswith("umdevctl: mdev new fits on none of 2 parents: ")
    assert refused(two, "NO_SHARE", "mdev.start", type=KIND, min_share=60).errno == 28
    refused(two, "NO_SHARE", "mdev.start", type=KIND, parent="b", min_share=60)
    result = two.ctl("plan", "-t", KIND, "--min-share", "60")
    assert result.rc == 1 and result.err == ""
    assert result.out.endswith("It does not fit. The smallest change with which it would: lower the min_share of new#1 "
                               "from 60 % to 50 %.\nOr instead: raise the weight of new#1 from 100 to 150.\n"
                               f"            stop {B1}.\n"), result.out
    assert picture(two) == before


# ---- what plan says, start does


def agree(daemon, params, count=1) -> list:
    """Plans and then starts without a parent; both must say the same. Returns what was started, or None."""
    policy = {"placement": params["placement"]} if "placement" in params else {}
    knobs = {key: value for key, value in params.items() if key in ("weight", "cap", "priority")}
    other = {key: value for key, value in params.items() if key not in knobs and key != "placement"}
    answer = plan(daemon, {**other, **knobs, "count": count}, **policy)
    started = []
    for mdev in answer["mdevs"]:
        attrs = [{f"mdev/{name}": f"{value}"} for name, value in knobs.items()]
        if mdev["parent"] is None:
            error = refused(daemon, mdev["word"], "mdev.start", attrs=attrs, **other, **policy)
            assert error.message == mdev["message"].replace(mdev["uuid"], "new")
            continue
        made = daemon.rpc("mdev.start", attrs=attrs, **other, **policy)
        placement = made["placement"]
        assert made["parent"] == placement["parent"] == mdev["parent"]
        assert placement["share"] == mdev["share"] and placement["arithmetic"] == mdev["arithmetic"]
        assert [(c["parent"], c["fits"], c.get("share")) for c in placement["candidates"]] == [
            (c["parent"], c["fits"], c.get("share")) for c in mdev["candidates"]]
        started.append(made["uuid"])
    # The tables of the end are those of the beginning of the next plan.
    now = {row["uuid"]: row["share_now"] for parent in plan(daemon, {**other, **knobs}, **policy)["shares"]
           for row in parent["mdevs"] if row["state"] != "new"}
    then = sorted(row["share_then"] for parent in answer["shares"] for row in parent["mdevs"])
    assert sorted(now.values()) == pytest.approx(then, abs=1e-6), "shares differ by more than what does not divide"
    return started


def test_start_does_what_plan_says(two):
    """One by one, by either policy, and until nothing is left."""
    for params in ({}, {"weight": 400, "placement": "pack"}, {"cap": 10}, {"min_share": 10}, {"weight": 200}, {}):
        agree(two, {"type": KIND, **params})
    assert two.rpc("type.list", parent="a")["types"][0]["available_instances"] == 0


@pytest.mark.parametrize("seed", [None, 620694226])  # that one has a refusal that is too long for one of both
def test_start_does_what_plan_says_at_random(make_daemon, seed):
    """Whatever is asked for, while others come and go; and nobody ever loses what was promised."""
    seed = seed or int(os.environ.get("UMDEV_TEST_SEED", random.randrange(2**32)))
    print("seed", seed)
    dice = random.Random(seed)
    daemon = make_daemon()
    daemon.start()
    for name in ("a", "b", "c"):
        add_parent(daemon, name, f"admission={dice.choice(['lend', 'reserve'])}", size="128M")
    active = []
    for _ in range(40):
        if active and dice.random() < 0.35:
            daemon.ok("stop", "-u", active.pop(dice.randrange(len(active))))
        params = {"type": dice.choice([KIND, KIND, "nvme-32m"]), "weight": dice.choice([20, 100, 100, 300, 777])}
        if dice.random() < 0.4:
            params["cap"] = dice.choice([5, 12.5, 33.33, 80])
        if dice.random() < 0.4:
            params["min_share"] = min(dice.choice([1, 7.77, 20, 45]), params.get("cap", 100))
        if dice.random() < 0.5:
            params["placement"] = dice.choice(["spread", "pack"])
        if dice.random() < 0.2:
            params["group"] = GROUP
        active += agree(daemon, params)
        for parent in plan(daemon, want(weight=1), want(type="nvme-32m") | {"weight": 1})["shares"]:
            for row in parent["mdevs"]:
                if row["state"] != "new":
                    assert row["share_now"] >= row["min_share"], (seed, parent)
    assert len(active) > 3


def test_several(two):
    """Several are admitted one after the other; count, file and standard input say the same."""
    answer = plan(two, want(count=5))
    assert [mdev["parent"] for mdev in answer["mdevs"]] == ["b", "b", "a", "a", None]
    assert [mdev.get("share") for mdev in answer["mdevs"]] == [50, 33.3333333, 20, 16.6666666, None]
    assert answer["mdevs"][4]["word"] == "NO_INSTANCES"
    assert shares(answer)["a"] == {A1: (25, 16.6666667), A2: (75, 50), "new#3": (0, 16.6666667), "new#4": (0, 16.6666666)}
    wanted = json.dumps([want(count=2), want(weight=300)])
    path = two.directory / "wanted.json"
    path.write_text(wanted)
    path.chmod(0o644)
    answer = plan(two, want(count=2), want(weight=300))
    assert [(mdev["uuid"], mdev["entry"], mdev["parent"]) for mdev in answer["mdevs"]] == [
        ("new#1", 0, "b"), ("new#2", 0, "b"), ("new#3", 1, "a")]
    assert json.loads(two.ok("plan", "--file", str(path), "--json")) == answer
    assert json.loads(two.ok("plan", "--file", "-", "--json", stdin=wanted)) == answer
    assert json.loads(two.ok("plan", "--file", "-", "--json", stdin=json.dumps(want()))) == plan(two, want())


def test_group(two):
    """A group counts once; its own weight counts, also where nobody of it is yet."""
    mdev, = plan(two, want(group=GROUP))["mdevs"]
    assert (mdev["parent"], mdev["share"]) == ("b", 50)
    two.rpc("mdev.start", type=KIND, group=GROUP, attrs=[{"mdev/weight": "300"}])
    mdev, = plan(two, want(group=GROUP, parent="b"))["mdevs"]
    assert mdev["arithmetic"] == "its group 100 / (100 + 50 + 50) = 50 %, of it 50 % x 100 / (100 + 300) = 12.5 %"
    two.ok("group", "qos", GROUP, "--weight", "400")
    on_a, on_b = plan(two, want(group=GROUP))["mdevs"][0]["candidates"]
    assert (on_a["share"], on_b["share"]) == (50, 20)
    agree(two, {"type": KIND, "group": GROUP})


# ---- the smallest change, done


def done(daemon, params, change) -> None:
    """Starts as the change says, which must work."""
    params = dict(params)
    count = params.pop("count", 1)
    knobs = {key: params.pop(key) for key in ("weight", "cap") if key in params}
    kind = change["kind"]
    if kind in ("weight", "cap"):
        knobs[kind] = change["to"]
    elif kind == "count":
        count = change["to"]
    elif kind == "remove":
        for mdev in change["mdevs"]:
            for verb in mdev["action"].split(" and "):
                daemon.ok(verb, "-u", mdev["uuid"])
    else:
        params[kind] = change["to"]
    attrs = [{f"mdev/{name}": f"{value}"} for name, value in knobs.items()]
    for _ in range(count):
        daemon.rpc("mdev.start", attrs=attrs, **params)


def changes(answer) -> dict:
    """The changes by kind; the smallest first."""
    assert not answer["fits"] and answer["searched"]
    found = [answer["change"], *answer["other_changes"]]
    assert [change["relative"] for change in found] == sorted(change["relative"] for change in found)
    return {change["kind"]: change for change in found}


@pytest.mark.parametrize("kind, params, to", [
    ("min_share", {"min_share": 60}, 50), ("weight", {"min_share": 60}, 150), ("remove", {"min_share": 60}, None),
    ("cap", {"weight": 10000, "cap": 59, "min_share": 60}, 60), ("parent", {"parent": "a", "min_share": 50}, "b"),
    ("count", {"count": 6}, 4), ("type", {"type": "nvme-32m", "parent": "a"}, KIND),
])
def test_change_works(two, kind, params, to):
    """Each kind of change is the smallest of its kind, and works when it is done."""
    params = want(**params)
    if kind == "type":
        start(two, "a")
    found = changes(plan(two, params))
    assert kind in found, found
    assert found[kind].get("to") == to
    if kind in ("min_share", "weight", "cap"):
        step = -1 if kind == "weight" else -0.01 if kind == "cap" else 0.01
        assert not plan(two, {**params, kind: to + step})["fits"], "there was a smaller change"
    done(two, params, found[kind])


def test_change_for_the_promise_of_another(two):
    """A newcomer that is too heavy is told how heavy it may be; or the one in its way."""
    two.ok("stop", "-u", B1)
    start(two, "b", "weight=50", "min_share=40", ident=B1)
    params = want(parent="b", weight=26)
    found = changes(plan(two, params))
    assert found["weight"]["message"] == "lower the weight of new#1 from 26 to 25"
    assert found["parent"]["relative"] == 0 and next(iter(found)) == "parent", "elsewhere it costs nothing"
    done(two, params, found["weight"])


def test_change_of_what_is_defined(daemon):
    """One that is only defined keeps its piece, so that is named, before one that is in use."""
    add_parent(daemon, "a", types="32m")
    ident = new_uuid()
    daemon.ok("define", "-u", ident, "-p", "a", "-t", "nvme-32m")
    daemon.ok("start", "-u", ident)
    other = start(daemon, "a", kind="nvme-32m")
    found = changes(plan(daemon, {"type": "nvme-32m"}))
    assert found["remove"]["mdevs"] == [{"uuid": other, "parent": "a", "action": "stop"}]
    daemon.ok("stop", "-u", ident)
    found = changes(plan(daemon, {"type": "nvme-32m"}))
    assert found["remove"]["mdevs"] == [{"uuid": ident, "parent": "a", "action": "undefine"}]
    done(daemon, {"type": "nvme-32m"}, found["remove"])


def test_no_change_helps(two):
    """Nothing at all, where no parent has it."""
    result = two.ctl("plan", "-t", "nvme-17m")
    assert result.rc == 1 and "nearest: nvme-16m (umdev NVMe 16 MiB)" in result.out
    assert result.out.endswith("It does not fit, and no single change makes it fit.\n")


# ---- promises


def test_a_promise_is_kept(two):
    """Nothing is started or changed that would leave it less, and the refusal names it."""
    promised = start(two, "b", "min_share=40")  # of 100 / 200
    says = [f"mdev {promised} on b", "of the 40 % that it was promised"]
    fails(two, "start", "-u", new_uuid(), "-p", "b", "-t", KIND, says=[*says, "100 / (100 + 50 + 50 + 100) = 33.33 %"])
    fails(two, "qos", B1, "--weight", "101", says=says)
    fails(two, "qos", promised, "--weight", "66", says=["less than its min_share of 40 %"])
    fails(two, "qos", promised, "--cap", "39.99", says=["less than its min_share of 40 %", "its cap = 39.99 %"])
    error = refused(two, "NO_SHARE", "mdev.set", uuid=B1, name="mdev/weight", value="1000")
    assert promised in error.message
    refused(two, "NO_SHARE", "mdev.modify", uuid=B1, live=True, definition={
        "mdev_type": KIND, "start": "manual", "attrs": [{"mdev/weight": "1000"}]})
    # As far as it goes.
    two.ok("qos", B1, "--weight", "100")
    two.ok("qos", B1, "--weight", "50")
    two.ok("qos", promised, "--weight", "67")
    two.ok("qos", promised, "--weight", "100", "--cap", "40")
    two.ok("qos", promised, "--cap", "100")
    ident = start(two, "b", "weight=50")
    fails(two, "qos", ident, "--weight", "51", says=says)
    # Once it is gone, so is the promise.
    two.ok("stop", "-u", promised)
    two.ok("qos", ident, "--weight", "5000")


def test_a_promise_against_a_group(two):
    """Cap and weight of a group are held against it, too."""
    promised = start(two, "b", "min_share=40")
    two.ok("start", "-p", "b", "-t", KIND, "--group", GROUP, "--attr", "mdev/cap=10")
    two.ok("group", "qos", GROUP, "--weight", "500")  # the cap of its only member
    fails(two, "qos", two.rpc("group.list", group=GROUP)["groups"][0]["mdevs"][0]["uuid"], "--cap", "50", says=promised)
    two.ok("group", "qos", GROUP, "--weight", "50", "--cap", "20")
    two.ok("qos", two.rpc("group.list", group=GROUP)["groups"][0]["mdevs"][0]["uuid"], "--cap", "100")
    fails(two, "group", "qos", GROUP, "--weight", "51", "--cap", "100", says=[GROUP, promised])
    two.ok("group", "qos", GROUP, "--weight", "50", "--cap", "100")


def test_min_share_is_an_attribute(two):
    """Defined, started, made anew while nobody uses it; by its rules."""
    ident = two.ok("define", "-p", "b", "-t", KIND, "--min-share", "12.5").strip()
    assert {"mdev/min_share": "12.5"} in two.mdev(ident, defined=True)["attrs"]
    two.ok("start", "-u", ident)
    two.rpc("mdev.set", uuid=ident, name="mdev/min_share", value="50")
    error = refused(two, "NO_SHARE", "mdev.set", uuid=ident, name="mdev/min_share", value="50.01")
    assert ident in error.message and "50.01 %" in error.message
    for value in ("100.01", "-1", "half", "0.001"):
        fails(two, "start", "-p", "b", "-t", KIND, "--attr", f"mdev/min_share={value}", says="mdev/min_share")
    fails(two, "start", "-p", "b", "-t", KIND, "--min-share", "101", says="from 0 to 100", rc=2)
    refused(two, "INVALID", "mdev.start", uuid=ident, min_share=3)


# ---- admission


def test_lend_and_reserve(daemon):
    """What is only defined counts where the parent reserves, and from its definition on."""
    add_parent(daemon, "lend")
    add_parent(daemon, "reserve", "admission=reserve")
    idents = {}
    for name in ("lend", "reserve"):
        assert daemon.parent(name)["admission"] == name
        idents[name] = daemon.ok("define", "-p", name, "-t", KIND, "--attr", "mdev/weight=300", "--min-share", "60").strip()
    mdev, = plan(daemon, want())["mdevs"]
    on_lend, on_reserve = mdev["candidates"]
    assert mdev["parent"] == "lend" and table(on_lend) == {"new#1": (0, 100)}
    assert table(on_reserve) == {idents["reserve"]: (100, 75), "new#1": (0, 25)}
    assert on_reserve["mdevs"][0]["state"] == "reserved"
    # On the one that lends, whoever comes first is there; on the other one the promise counts.
    start(daemon, "lend", "weight=201")
    fails(daemon, "start", "-u", idents["lend"], says="less than its min_share of 60 %")
    fails(daemon, "start", "-p", "reserve", "-t", KIND, "-u", new_uuid(), "--attr", "mdev/weight=201",
          says=[f"mdev {idents['reserve']} on reserve", "of the 60 % that it was promised"])
    daemon.ok("start", "-u", idents["reserve"])
    # A definition, or a change of one, that would break it is refused then.
    daemon.ok("stop", "-u", idents["reserve"])
    heavy = ("-p", "reserve", "-t", KIND, "-u", new_uuid(), "--attr", "mdev/weight=201")
    fails(daemon, "define", *heavy, says=idents["reserve"])
    light = daemon.ok("define", "-p", "reserve", "-t", KIND, "--attr", "mdev/weight=200").strip()
    fails(daemon, "qos", light, "--weight", "201", "--defined", says=idents["reserve"])
    fails(daemon, "modify", "-u", light, "--addattr", "mdev/weight", "--value", "201", says=idents["reserve"])
    daemon.ok("undefine", "-u", idents["reserve"])
    daemon.ok("qos", light, "--weight", "10000", "--defined")


def test_admission_is_an_option_of_every_parent(daemon):
    """It is checked, shown and kept, and no driver sees it."""
    add_parent(daemon, "a", "admission=reserve")
    daemon.ok("parent", "add", "n", "--driver", "null", "--option", "admission=lend")
    assert daemon.parent("a")["options"]["admission"] == "reserve"
    fails(daemon, "parent", "add", "b", "--driver", "null", "--option", "admission=maybe", says=["admission", "lend reserve"])
    fails(daemon, "parent", "add", "b", "--driver", "null", "--option", "no=1", says="admission")
    daemon.restart()
    assert daemon.parent("a")["admission"] == "reserve" and daemon.parent("n")["admission"] == "lend"


# ---- define and start without a parent


def test_define_without_a_parent(two):
    """The same choice, stored; an active UUID still brings its parent along."""
    result = two.ctl("define", "-t", KIND, "--min-share", "25")
    assert result.rc == 0 and result.err == "umdevctl: placed on b, of 2 parents by spread: 100 / (100 + 50 + 50) = 50 %\n"
    ident = result.out.strip()
    assert two.mdev(ident, defined=True)["parent"] == "b"
    assert json.loads(two.definition("b", ident).read_text())["mdev_type"] == KIND
    two.ok("define", "-u", A1, "-t", KIND)
    assert two.mdev(A1, defined=True)["parent"] == "a"
    packed = two.rpc("mdev.define", type_name="umdev NVMe 16 MiB", placement="pack", uuid=new_uuid())
    assert packed["placement"]["policy"] == "pack" and packed["parent"] == "a"
    assert "placement" not in two.rpc("mdev.define", type=KIND, parent="a", uuid=new_uuid())
    fails(two, "define", "-t", "nvme-17m", says=["nvme-17m", "nearest: nvme-16m (umdev NVMe 16 MiB)"])


def test_start_without_a_parent(two):
    """By id or name; both must match. A defined mdev is started where it is defined."""
    ident = new_uuid()
    result = two.ctl("start", "-u", ident, "--type-name", "umdev NVMe 16 MiB")
    assert (result.rc, result.out) == (0, "") and result.err.startswith("umdevctl: placed on b, of 2 parents by spread: ")
    assert two.mdev(ident)["parent"] == "b"
    refused(two, "UNKNOWN_TYPE", "mdev.start", type=KIND, type_name="umdev NVMe 32 MiB")
    refused(two, "INVALID", "mdev.start", type=KIND, placement="best")
    refused(two, "INVALID", "mdev.start", type=KIND, parent="a", placement="pack")
    defined = two.ok("define", "-p", "a", "-t", KIND).strip()
    refused(two, "INVALID", "mdev.start", uuid=defined, type=KIND, placement="pack")
    result = two.ctl("start", "-u", defined, "-t", KIND)
    assert (result.rc, result.err) == (0, "") and two.mdev(defined)["parent"] == "a"
    refused(two, "EXISTS", "mdev.start", uuid=A1, type=KIND)
    made = two.rpc("mdev.start", definition={"mdev_type": KIND, "start": "manual", "attrs": [{"mdev/cap": "5"}]})
    assert made["placement"]["share"] == 5


def test_start_without_any_parent(daemon):
    """There is nothing to choose from."""
    fails(daemon, "start", "-t", KIND, says="no parent is ready")


# ---- what a plan refuses


@pytest.mark.parametrize("wants, word, says", [
    ([], "INVALID", "no mdev is wanted"), ([1], "INVALID", "mdevs[0]"), ([{}], "INVALID", "mdevs[0]: a type is needed"),
    ([want(colour="red")], "INVALID", "there is no 'colour'"), ([want(), want(weight=0)], "INVALID", "mdevs[1]: mdev/weight"),
    ([want(weight="heavy")], "INVALID", "weight must be a number"), ([want(cap=0)], "INVALID", "mdev/cap"),
    ([want(min_share=100.01)], "INVALID", "mdev/min_share"), ([want(priority=8)], "INVALID", "mdev/priority"),
    ([want(count=0)], "INVALID", "count"), ([want(count=257)], "LIMIT", "at most 256"),
    ([want(count=200), want(count=57)], "LIMIT", "mdevs[1]"), ([want(uuid="x")], "INVALID", "'x' is no UUID"),
    ([want(group="x")], "INVALID", "'x' is no UUID"), ([want(uuid=A1)], "EXISTS", "active already, on a"),
    ([want(uuid=GROUP), want(uuid=GROUP)], "INVALID", "wanted twice"), ([want(uuid=GROUP, count=2)], "INVALID", "one UUID"),
    ([want(type=None)], "INVALID", "type must be a text"),
])
def test_bad_plans(two, wants, word, says):
    """Whatever is malformed is refused with its place."""
    assert says in refused(two, word, "plan", mdevs=wants).message


def test_plan_of_what_is_defined(two):
    """It starts as its definition says, where that says."""
    ident = two.ok("define", "-p", "a", "-t", KIND, "--attr", "mdev/weight=600").strip()
    mdev, = plan(two, {"uuid": ident})["mdevs"]
    assert (mdev["uuid"], mdev["parent"], mdev["share"], mdev["weight"]) == (ident, "a", 60, 600)
    assert len(mdev["candidates"]) == 1
    refused(two, "INVALID", "plan", mdevs=[{"uuid": ident, "weight": 5}])
    refused(two, "TYPE_MISMATCH", "plan", mdevs=[{"uuid": ident, "type": "nvme-32m"}])


def test_plan_needs_no_rights(two):
    """Nothing is touched, so anybody who may ask may plan."""
    if os.geteuid() != 0:
        pytest.skip("skip: needs another user")
    assert plan(two, want(count=256))["fits"] is False
    assert two.ctl("plan", "-t", KIND, uid=NOBODY).rc in (0, 1)
