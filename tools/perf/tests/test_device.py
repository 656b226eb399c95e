#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""umdev-perf against a device that is right, and against devices that are wrong in one way each."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fake_nvme import Behaviour, FakeNvme  # noqa: E402

PROGRAM = Path(os.environ["UMDEV_BUILD"]) / "bin/umdev-perf"


class DeviceTest(unittest.TestCase):
    """Each test has a device of its own."""

    def perf(self, behaviour, *arguments, status=0):
        """Runs umdev-perf on such a device: what it printed, or what it complained of."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vfio-user.sock"
            device = FakeNvme(path, behaviour)
            done = subprocess.run([PROGRAM, "--socket", path, "--json", *arguments], capture_output=True, text=True,
                                  timeout=60, check=False)
            device.thread.join(10)
        if device.error:
            raise device.error
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr

    def mixed(self, behaviour, *arguments, status=0):
        """The same in verify mode."""
        return self.perf(behaviour, "--mixed", "--depth", "8", "--queues", "3", "--count", "600", "--size", "256k",
                         "--bs", "16k", "--entries", "9", *arguments, status=status)

    def test_verify(self):
        """All is well with a right device, however it interrupts and however its doorbells work."""
        for interrupts in ("msix", "msi", "intx", "none"):
            for shadow in (False, True):
                with self.subTest(interrupts=interrupts, shadow=shadow):
                    poll = ["--poll"] if interrupts == "none" else []
                    report = self.mixed(Behaviour(interrupts=interrupts, shadow=shadow), *poll)
                    self.assertEqual(report["commands"], 600)
                    self.assertEqual(report["mismatches"], 0)
                    self.assertGreater(report["verified_blocks"], 512)
                    self.assertEqual(report["doorbells"], "shadow" if shadow else "trapped")
                    self.assertEqual(report["interrupts"], "polling" if poll else interrupts)
                    self.assertEqual(len(report["operations"]), 5)

    def test_sgl(self):
        """Data described by SGL arrives, too."""
        self.assertEqual(self.mixed(Behaviour(), "--sgl")["mismatches"], 0)

    def test_fragments(self):
        """Replies in single bytes are put together."""
        self.assertEqual(self.mixed(Behaviour(fragments=True))["mismatches"], 0)

    def test_messages(self):
        """Memory is served by message to a device that cannot map it."""
        behaviour = Behaviour(messages=True)
        self.assertEqual(self.mixed(behaviour, "--poll")["mismatches"], 0)

    def test_large(self):
        """Commands of 1 MiB, described by a list."""
        report = self.perf(Behaviour(), "--verify", "--rw", "rw", "--bs", "1M", "--count", "20")
        self.assertEqual(report["mismatches"], 0)
        self.assertEqual(report["bs"], 1 << 20)

    def test_corrupt_read(self):
        """A bit that flips on the way is found."""
        message = self.mixed(Behaviour(fault="corrupt"), status=1)
        self.assertRegex(message, r"^umdev-perf: mismatch: LBA \d+: expected (generation \d+|zeros), got data whose checksum")

    def test_wrong_write(self):
        """So is a write that is lost, or goes elsewhere, even if it is the last one."""
        for fault in ("lose", "misplace"):
            with self.subTest(fault=fault):
                message = self.perf(Behaviour(fault=fault, at=100), "--verify", "--rw", "randwrite", "--bs", "16k",
                                    "--depth", "4", "--count", "100", status=1)
                self.assertRegex(message, r"^umdev-perf: mismatch: LBA \d+: expected generation 100, got ")

    def test_status(self):
        """A command that fails is named and is a failure, and the run goes on."""
        message = self.mixed(Behaviour(fault="status"), status=1)
        self.assertRegex(message, r"umdev-perf: [a-z ]+ failed: queue \d, id \d+, LBA \d+, \d+ blocks: "
                                  r"status 0x281, unrecovered read error\n$")

    def test_hangup(self):
        """A server that goes away ends the run at once."""
        for poll in ([], ["--poll"]):
            with self.subTest(poll=poll):
                self.assertRegex(self.mixed(Behaviour(fault="hangup"), *poll, status=1),
                                 "^umdev-perf: the server hung up: ")

    def test_stall(self):
        """Commands that never end do, in a way."""
        self.assertRegex(self.mixed(Behaviour(fault="stall"), "--timeout", "0.5", status=1),
                         r"nothing completes: \d+ commands in flight, the oldest for \d+ ms \(")

    def test_foreign_completion(self):
        """A completion for a command that is not in flight is not believed."""
        self.assertIn("a completion for a command that is not in flight (queue ",
                      self.mixed(Behaviour(fault="foreign"), status=1))

    def test_protocol_errors(self):
        """Replies that nobody asked for, refusals and a controller that fails."""
        self.assertIn("the server broke the protocol: a reply that nobody asked for",
                      self.mixed(Behaviour(fault="unwanted"), status=1))
        self.assertEqual("umdev-perf: DMA_MAP: the server answers: Cannot allocate memory\n",
                         self.mixed(Behaviour(fault="refuse"), status=1))
        self.assertEqual("umdev-perf: the controller failed while it should become ready (CSTS 0x2)\n",
                         self.mixed(Behaviour(fault="fatal"), status=1))

    def test_rate(self):
        """At most so many commands a second, started one by one, whether it sleeps, polls or checks data."""
        for arguments in ([], ["--poll"], ["--arrival", "poisson"], ["--verify"], ["--queues", "3"]):
            with self.subTest(arguments=arguments):
                report = self.perf(Behaviour(), "--rate", "200", "--depth", "8", "--runtime", "1", *arguments)
                self.assertEqual(report["rate"], 200)
                self.assertEqual(report["arrival"], "poisson" if "poisson" in arguments else "fixed")
                most = 260 if "poisson" in arguments else 202
                self.assertTrue(most // 4 < report["commands"] <= most, report)
                self.assertEqual(report["mismatches"], 0)
                self.assertGreaterEqual(report["response_ns"]["max"], report["lat_ns"]["max"])
                self.assertAlmostEqual(report["end_ns"] - report["begin_ns"], report["runtime_ns"])

    def test_rate_and_count(self):
        """A count of commands ends it; the last one is not due before its time."""
        report = self.perf(Behaviour(), "--rate", "100.5", "--count", "51")
        self.assertEqual(report["commands"], 51)
        self.assertGreaterEqual(report["runtime_ns"], 50 / 100.5 * 1e9)

    def test_sleeping_at_a_rate(self):
        """Between two commands nothing is burnt."""
        report = self.perf(Behaviour(), "--rate", "2", "--count", "3")
        self.assertLess(report["client_cpu"], 20)

    def test_slow_device_at_a_rate(self):
        """What had to wait since the depth was reached says so in its latency."""
        report = self.perf(Behaviour(delay_s=0.02), "--rate", "500", "--count", "25")
        self.assertGreaterEqual(report["held"], 20)
        # The last of them was due after 48 ms, and ended when 25 commands had taken their time one by one.
        self.assertGreater(report["lat_ns"]["max"], 0.4e9)
        self.assertLess(report["lat_ns"]["min"], 0.1e9)

    def test_rate_is_no_stall(self):
        """Nothing in flight between two commands is not mistaken for a device that hangs."""
        self.assertEqual(self.perf(Behaviour(), "--rate", "2", "--count", "3", "--timeout", "0.3")["commands"], 3)

    def test_start_at(self):
        """Measuring begins when it is told to, after the ramp; at once when that time has passed."""
        for poll in ([], ["--poll"]):
            for ramp in ("0", "0.1", "5"):
                with self.subTest(poll=poll, ramp=ramp):
                    begin = time.monotonic_ns() + 400_000_000
                    report = self.perf(Behaviour(), "--start-at", str(begin), "--ramp", ramp, "--count", "20", *poll)
                    self.assertGreaterEqual(report["begin_ns"], begin)
                    self.assertLess(report["begin_ns"], begin + 2_000_000_000)
                    # What was in flight when the ramp ended counts, too.
                    self.assertIn(report["commands"], (20,) if ramp == "0" else (20, 21))
                    self.assertEqual(report["total_commands"] > 20, ramp != "0")
        before = time.monotonic_ns()
        report = self.perf(Behaviour(), "--start-at", "1", "--count", "20", "--rate", "1000")
        self.assertGreater(report["begin_ns"], before)

    def test_start_at_ends_by_signal(self):
        """Waiting for its time, it still answers to a signal."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vfio-user.sock"
            device = FakeNvme(path, Behaviour())
            process = subprocess.Popen([PROGRAM, "--socket", path, "--json", "--start-at", str(1 << 62)],
                                       stdout=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 30
            while not device.queues.get(1, {}).get("sq") and time.monotonic() < deadline:
                time.sleep(0.01)
            process.terminate()
            report = json.loads(process.communicate(timeout=30)[0])
            device.thread.join(10)
        self.assertEqual((process.returncode, report["total_commands"]), (0, 0))

    def test_limits(self):
        """What the device does not grant is said before anything is written."""
        for arguments, message in ((["--queues", "9"], "--queues 9: the controller grants 8"),
                                   (["--doorbells", "shadow"], "--doorbells shadow: the controller does not offer"),
                                   (["--doorbells", "shared"], "--doorbells shared: the device offers no"),
                                   (["--size", "9M"], "reach beyond the namespace of 8388608 bytes"),
                                   (["--offset", "8M"], "reach beyond the namespace of 8388608 bytes"),
                                   (["--offset", "100"], "must be multiples of the block size, 512"),
                                   (["--depth", "1023", "--queues", "64", "--bs", "1M"], "are the limit")):
            with self.subTest(arguments=arguments):
                if arguments[0] != "--depth":
                    self.assertIn(message, self.perf(Behaviour(queues=8), *arguments, status=1))
                else:
                    done = subprocess.run([PROGRAM, "--socket", "/nonexistent", *arguments], capture_output=True,
                                          text=True, check=False, timeout=60)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(message, done.stderr)

    def test_state(self):
        """What one run wrote, another one verifies; and notices when it is gone."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vfio-user.sock"
            state = Path(directory) / "state"
            common = ["--socket", path, "--json", "--verify", "--state", state, "--size", "1M"]
            first = FakeNvme(path, Behaviour())
            subprocess.run([PROGRAM, *common, "--count", "100"], check=True, stdout=subprocess.DEVNULL, timeout=60)
            first.thread.join(10)
            for disk, status in ((first.disk, 0), (bytearray(len(first.disk)), 1)):
                path.unlink()
                device = FakeNvme(path, Behaviour())
                device.disk = disk
                done = subprocess.run([PROGRAM, *common, "--rw", "read", "--count", "1"], capture_output=True,
                                      text=True, timeout=60, check=False)
                device.thread.join(10)
                self.assertEqual(done.returncode, status, done.stderr)
                if status == 0:
                    self.assertGreater(json.loads(done.stdout)["verified_blocks"], 100)
                else:
                    self.assertIn("got zeros", done.stderr)

    def test_no_device(self):
        """Nothing there to connect to."""
        done = subprocess.run([PROGRAM, "--socket", "/nonexistent/" + "x" * 200 + "/s"], capture_output=True, text=True,
                              check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"No such file or directory; is the mdev started\?\n$")

    def test_long_path(self):
        """Sockets below a path longer than a socket address are reached."""
        with tempfile.TemporaryDirectory() as directory:
            deep = Path(directory) / ("d" * 100) / ("e" * 100)
            deep.mkdir(parents=True)
            os.chdir(deep)
            FakeNvme("s", Behaviour())
            os.chdir("/")
            subprocess.run([PROGRAM, "--socket", deep / "s", "--count", "10"], check=True, stdout=subprocess.DEVNULL,
                           timeout=60)


if __name__ == "__main__":
    unittest.main()
