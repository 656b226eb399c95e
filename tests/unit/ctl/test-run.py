#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""umdevctl run: what the command gets, exit codes, and that nothing stays, whoever is killed.

usage: test-run.py UMDEVCTL
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.abspath(sys.argv.pop(1))
UUID = "976d8cc2-4bfc-43b9-b9f9-f4af2de91ab9"


class Run(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ur", dir="/tmp")
        # A copy, so that the fake lies beside it.
        self.program = shutil.copy(PROGRAM, self.dir + "/umdevctl")
        self.fake = shutil.copy(HERE + "/fake-umdevd", self.dir + "/umdevd")
        self.tmp = self.dir + "/tmp"
        os.mkdir(self.tmp)

    def tearDown(self):
        shutil.rmtree(self.dir)

    def start(self, *words, fake="", **kw):
        env = dict(os.environ, TMPDIR=self.tmp, FAKE=fake)
        env.pop("UMDEV_ROOT", None)
        return subprocess.Popen([self.program, "run", *words], env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def run_it(self, *words, fake=""):
        p = self.start(*words, fake=fake)
        out, err = p.communicate(timeout=60)
        return p.returncode, out, err

    def processes(self):
        """Those that run anything in our directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as cmdline:
                    words = cmdline.read().split("\0")
            except OSError:
                continue
            if any(w.startswith(self.dir) for w in words):
                found.append((pid, words))
        return found

    def assert_clean(self, wait_s=0):
        end = time.monotonic() + wait_s
        while time.monotonic() < end and (os.listdir(self.tmp) or self.processes()):
            time.sleep(0.02)
        self.assertEqual(os.listdir(self.tmp), [])
        self.assertEqual(self.processes(), [])

    def wait_for_command(self, p):
        """The command prints one line when it runs."""
        self.assertEqual(p.stdout.readline(), "running\n")

    def test_environment_and_calls(self):
        code, out, err = self.run_it(
            "--parent", "driver=nvme,path=/a,,b", "--parent", "name=ram,driver=nvme,ram=1G",
            "--mdev", f"type=nvme-1g,parent=p0,uuid={UUID},attr.x=1", "-m", "type=t,parent=ram",
            "--memory", "1G", "--", "sh", "-c",
            'cat $UMDEV_ROOT/calls; for w in $UMDEV_QEMU_ARGS; do echo "$w"; done;'
            ' echo $UMDEV_MDEV_0 $UMDEV_MDEV_1 ${UMDEV_SOCKET_1#$UMDEV_ROOT/}')
        self.assertEqual((code, err), (0, ""))
        lines = out.splitlines()
        calls = [json.loads(line) for line in lines[:4]]
        self.assertEqual([c["method"] for c in calls],
                         ["parent.add", "parent.add", "mdev.start", "mdev.start"])
        self.assertEqual(calls[0]["params"],
                         {"name": "p0", "driver": "nvme", "options": {"path": "/a,b"}})
        self.assertEqual(calls[1]["params"]["name"], "ram")
        self.assertEqual(calls[2]["params"], {"type": "nvme-1g", "parent": "p0", "uuid": UUID,
                                              "attrs": [{"x": "1"}]})
        self.assertEqual(lines[4:8], ["-object",
                                      "memory-backend-memfd,id=umdev-mem,size=1073741824,share=on",
                                      "-machine", "memory-backend=umdev-mem"])
        self.assertEqual(lines[8], "-device")
        device = json.loads(lines[9])
        self.assertEqual(device["driver"], "vfio-user-pci")
        self.assertTrue(device["socket"]["path"].endswith(UUID + ".sock"))
        other = "11111111-2222-3333-4444-555555555555"
        self.assertEqual(lines[12], f"{UUID} {other} {other}.sock")
        self.assert_clean()

    def test_exit_codes(self):
        for words, want in ((["true"], 0), (["sh", "-c", "exit 7"], 7),
                            (["sh", "-c", "kill -9 $$"], 128 + 9), (["/nonexistent"], 127),
                            (["/etc/passwd"], 126)):
            self.assertEqual(self.run_it("--", *words)[0], want, words)
            self.assert_clean()

    def test_one_parent_needs_no_name(self):
        code, out, _ = self.run_it("-p", "driver=a", "-m", "type=t", "--", "sh", "-c",
                                   "cat $UMDEV_ROOT/calls")
        self.assertEqual(code, 0)
        self.assertEqual(json.loads(out.splitlines()[1])["params"]["parent"], "p0")
        code, _, err = self.run_it("-p", "driver=a", "-p", "driver=a", "-m", "type=t", "--", "true")
        self.assertEqual(code, 2)
        self.assertIn("parent= is missing", err)

    def test_daemon_refuses(self):
        code, out, err = self.run_it("-p", "driver=a", "-m", "type=bad", "--", "echo", "no")
        self.assertEqual((code, out, err), (1, "", "umdevctl: there is no type 'bad'\n"))
        self.assert_clean()

    def test_daemon_does_not_start(self):
        code, out, err = self.run_it("--", "echo", "no", fake="fail")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, "fake: cannot start\n"
                              "umdevctl: the private umdevd did not become ready\n")
        self.assert_clean()

    def test_stubborn_daemon_is_killed(self):
        self.assertEqual(self.run_it("--", "true", fake="stubborn")[0], 0)
        self.assert_clean()

    def test_signal_is_passed_on(self):
        p = self.start("--", "sh", "-c", "trap 'echo got; exit 5' USR1; echo running;"
                                         " while :; do sleep 0.05; done")
        self.wait_for_command(p)
        p.send_signal(signal.SIGUSR1)
        out, _ = p.communicate(timeout=30)
        self.assertEqual((p.returncode, out), (5, "got\n"))
        self.assert_clean()

    def test_terminated(self):
        p = self.start("--", "sh", "-c", "echo running; exec sleep 1000")
        self.wait_for_command(p)
        p.terminate()
        p.communicate(timeout=30)
        self.assertEqual(p.returncode, 128 + signal.SIGTERM)
        self.assert_clean()

    def test_killed(self):
        p = self.start("--", "sh", "-c", "echo running; while :; do sleep 0.05; done", self.dir)
        self.wait_for_command(p)
        p.kill()
        p.communicate(timeout=30)
        self.assert_clean(wait_s=20)

    def test_interrupted_before_the_command(self):
        p = self.start("--", "echo", "no", fake="silent")
        while not os.listdir(self.tmp):
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=30)
        self.assertEqual((p.returncode, out), (-signal.SIGINT, ""))
        self.assert_clean(wait_s=20)

    @unittest.skipUnless(shutil.which("strace"), "there is no strace")
    def test_interrupted_as_its_directory_is_made(self):
        program = shutil.move(self.program, self.dir + "/traced")
        with open(self.program, "w") as script:
            script.write(f'#!/bin/sh\nexec strace -o /dev/null -e "inject=/^mkdir:signal=INT" -- {program} "$@"\n')
        os.chmod(self.program, 0o755)
        p = self.start("--", "echo", "no", fake="silent")
        out, _ = p.communicate(timeout=30)
        self.assertEqual((p.returncode, out), (-signal.SIGINT, ""))
        self.assert_clean(wait_s=20)

    def test_root_is_its_own(self):
        code, _, err = self.run_it("--root", self.dir, "--", "true")
        self.assertEqual(code, 2)
        self.assertIn("leave --root out", err)


if __name__ == "__main__":
    # A shell that runs this in the background has it ignored, and so would what we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main()
