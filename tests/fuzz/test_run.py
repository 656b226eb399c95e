#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/fuzz/run with a program in the place of a fuzzer, which does what a plan says: what counts as a finding."""

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parent / "run"
ONE_SECOND = "1"

# Each start takes the next step of the plan: what it writes, what it prints, and how it ends.
PROGRAM = """#!/usr/bin/python3
import json, sys
from pathlib import Path
here = Path(__file__).parent
plan = json.loads((here / "plan").read_text())
step = plan.pop(0)
(here / "plan").write_text(json.dumps(plan))
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
prefix = [word.split("=")[1] for word in sys.argv if word.startswith("-artifact_prefix=")]
directories = [word for word in sys.argv[1:] if not word.startswith("-")]
if "finding" in step:
    Path(prefix[0] + step["finding"]).write_bytes(b"x")
for name, text in step.get("writes", {}).items():
    (Path(directories[0]) / name).write_text(text)
print(step.get("says", ""))
sys.exit(step.get("status", 0))
"""
DONE = {"says": "#500\tDONE   cov: 40 ft: 60"}
CRASH = {"finding": "crash-1", "status": 77, "says": "#70\tNEW    cov: 30 ft: 50"}
SLOW = {"finding": "timeout-1", "status": 70}


class RunTest(unittest.TestCase):
    """Each test has a tree of its own, in which `run` finds itself."""

    def setUp(self):
        self.tree = Path(tempfile.mkdtemp(prefix="umdev-test-fuzz-run-"))
        self.addCleanup(shutil.rmtree, self.tree)
        self.run_path = self.tree / "tests/fuzz/run"
        self.programs = self.tree / "build/tests/fuzz"
        self.work = self.tree / "found"
        self.run_path.parent.mkdir(parents=True)
        self.programs.mkdir(parents=True)
        shutil.copy(RUN, self.run_path)

    def fuzz(self, plan, *words, target="thing", status=0):
        """Runs the target, which does @plan. Returns what was said."""
        program = self.programs / f"fuzz-{target}"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        (self.programs / "plan").write_text(json.dumps(plan))
        done = subprocess.run([self.run_path, "--build", self.tree / "build", "--work", self.work, *words],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def kept(self, what, target="thing"):
        """The names of the files below the work directory."""
        directory = self.work / target / what
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []

    def left_of_plan(self):
        """The steps that were not taken."""
        return json.loads((self.programs / "plan").read_text())

    def calls(self):
        """The arguments of every start."""
        return [json.loads(line) for line in (self.programs / "calls").read_text().splitlines()]

    def test_nothing_found(self):
        """It says what came of it; new inputs are kept below the work directory."""
        said = self.fuzz([DONE | {"writes": {"unit": "u"}}], ONE_SECOND)
        self.assertRegex(said, r"^thing: 0 s of CPU, 500 runs, coverage 40, 1 new inputs, 0 findings\n$")
        self.assertEqual(self.kept("units"), ["unit"])
        self.assertIn("-max_total_time=1", self.calls()[0])

    def test_inputs_of_the_tree(self):
        """Corpus, regressions and dictionary are given where they exist."""
        for name in ("corpus/thing", "regressions/thing", "dict"):
            (self.run_path.parent / name).mkdir(parents=True)
        (self.run_path.parent / "dict/thing.dict").write_text("")
        self.fuzz([DONE], ONE_SECOND)
        words = self.calls()[0]
        self.assertEqual(words[-3:], [str(self.work / "thing/units"), str(self.run_path.parent / "corpus/thing"),
                                      str(self.run_path.parent / "regressions/thing")])
        self.assertIn(f"-dict={self.run_path.parent}/dict/thing.dict", words)

    def test_crash(self):
        """A finding is kept and told, and the target goes on."""
        said = self.fuzz([CRASH, DONE], "3", status=1)
        self.assertRegex(said, r"570 runs, coverage 40, 0 new inputs, 1 findings in .*/found/thing/findings")
        self.assertEqual(self.kept("findings"), ["crash-1"])
        self.assertEqual(self.left_of_plan(), [])

    def test_ends_badly(self):
        """A program that fails without an input is a finding."""
        self.assertIn("1 findings", self.fuzz([{"status": 1}, DONE], "3", status=1))

    def test_slow_once(self):
        """An input that ends in time in ten tries is no finding, and is kept."""
        said = self.fuzz([SLOW, DONE] + 10 * [{}], "3")
        self.assertIn(" 0 findings", said)
        self.assertEqual((self.kept("findings"), self.kept("slow-once")), ([], ["timeout-1"]))
        self.assertEqual(self.left_of_plan(), [])

    def test_slow_again(self):
        """One that fails in its last try stays a finding."""
        self.assertIn(" 1 findings", self.fuzz([SLOW, DONE] + 9 * [{}] + [{"status": 70}], "3", status=1))
        self.assertEqual((self.kept("findings"), self.kept("slow-once")), (["timeout-1"], []))

    def test_slow_with_threads(self):
        """Of a target with threads a slow input is not tried again."""
        said = self.fuzz([SLOW, DONE], "3", target="nvme", status=1)
        self.assertIn("nvme: ", said)
        self.assertIn(" 1 findings", said)
        self.assertEqual(self.kept("findings", "nvme"), ["timeout-1"])

    def test_too_ill(self):
        """It is given up after as many findings as anybody would read."""
        plan = [CRASH | {"finding": f"crash-{i}"} for i in range(30)]
        self.assertIn("20 findings", self.fuzz(plan, "60", status=1))
        self.assertEqual(len(self.left_of_plan()), 10)

    def test_totals(self):
        """Runs add up; coverage is that of the best."""
        self.fuzz([DONE], ONE_SECOND)
        self.fuzz([CRASH, DONE | {"says": "#30\tDONE cov: 50"}], "3", status=1)
        self.assertRegex(self.fuzz([], "--totals"), r"600 runs, coverage 50, 0 new inputs, 1 findings")

    def test_merge(self):
        """What reaches something new replaces the corpus; what is too much for the tree does not."""
        corpus = self.run_path.parent / "corpus/thing"
        corpus.mkdir(parents=True)
        (corpus / "old").write_text("old")
        self.fuzz([{"writes": {"new": "1234"}}], "--merge")
        self.assertEqual([path.name for path in corpus.iterdir()], ["new"])
        self.assertIn("-set_cover_merge=1", self.calls()[0])
        said = self.fuzz([{"writes": {f"i{i}": "x" for i in range(201)}}], "--merge")
        self.assertIn("too many for the tree", said)
        self.assertEqual([path.name for path in corpus.iterdir()], ["new"])

    def test_unknown_target(self):
        """The message names those that there are."""
        self.assertIn("there is no target else; there are thing", self.fuzz([], "else", status=2))

    def test_not_built(self):
        """The message says how to build them."""
        done = subprocess.run([self.run_path, "--build", self.tree / "build"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("run make build-fuzz first", done.stderr)


if __name__ == "__main__":
    unittest.main()
