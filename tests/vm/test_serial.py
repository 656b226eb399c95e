# SPDX-License-Identifier: BSD-3-Clause
"""Serial ports in a machine with Debian's kernel and its own driver for 16550A UARTs on PCI.

UMDEV_SERIAL_MB   what the transfer moves each way on each port; less than one by default
"""

import concurrent.futures
import hashlib
import os
import random
import signal
import threading
import time

import pytest

from vmlib.serial import Line, SerialPorts

pytestmark = pytest.mark.umdev_only

TRANSFER_BYTES = int(float(os.environ.get("UMDEV_SERIAL_MB", "0.03125")) * (1 << 20))
TRANSFER_LIMIT_S = 60 + TRANSFER_BYTES // 500
ACCOUNTS = "printf 'root::0:0:root:/root:/bin/sh\\n' >/etc/passwd && printf '/bin/sh\\n' >/etc/shells"


@pytest.fixture(name="serial")
def fixture_serial(directory):
    """Makes serial devices, by a daemon of the test's own."""
    serial = SerialPorts(directory)
    try:
        yield serial
        serial.check()
    finally:
        serial.stop()


def lines_of(device) -> list:
    """The host's ends of its ports."""
    return [Line(path) for path in device.describe()["endpoints"]]


def guest_ports(guest, kind: str) -> list:
    """What the guest calls the ports of its device with so many of them, in the device's order."""
    names = guest.check(f"grep -l {dict(one='0x0002', two='0x0003')[kind]} /sys/bus/pci/devices/*/device | "
                        "while read f; do ls ${f%/device}/tty; done").split()
    return sorted(names, key=lambda name: int(name.removeprefix("ttyS")))


def statistics(device) -> dict:
    """Its counters; a host that has just begun has none yet."""
    return device.wait_until(lambda found: found.get("statistics"), "counters")["statistics"]


@pytest.mark.parametrize("backend", ["pty", "unix"])
def test_login(serial, boot, backend):
    """Somebody logs in on each port of a device with one and of one with two, and the kernel says what they are."""
    serial.parent("com", f"backend={backend}")
    devices = [serial.device("1", "com"), serial.device("2", "com")]
    guest = boot(*devices, kernel_options="8250.nr_uarts=8")
    lines = [line for device in devices for line in lines_of(device)]
    ports = guest_ports(guest, "one") + guest_ports(guest, "two")
    assert len(ports) == len(lines) == 3
    assert guest.dmesg().count("is a 16550A") == 5  # with the machine's own two
    guest.check(ACCOUNTS)
    for number, (port, line) in enumerate(zip(ports, lines)):
        guest.spawn(f"setsid getty -L 115200 {port} vt100")
        line.expect(b"login: ")
        line.send(b"root\n")
        line.expect(b"# ")
        line.send(f"echo sum=$(({number} + 40))\n".encode())
        line.expect(f"sum={number + 40}".encode())
        line.send(b"tty\n")
        line.expect(f"/dev/{port}".encode())
    for device in devices:
        assert statistics(device)["overruns"] == statistics(device)["lost_bytes"] == 0
    for line in lines:
        line.close()
    guest.kill()


# Before it is raw, a terminal makes of what comes in what it likes: nothing may be sent before GO.
OPEN = "exec 3<>/dev/{port}; stty raw -echo crtscts 115200 <&3; echo GO >&3"
EXCHANGE = """
set -e
%s
head -c {count} <&3 > /tmp/in.{port} &
cat /tmp/out.{port} >&3
wait
sha256sum < /tmp/in.{port}
""" % OPEN

SLOW_BYTES = 24_000
# More than the tty holds, so that it has to say stop.
SLOW_GUEST = """
set -e
%s
n=0
while [ $n -lt {count} ]; do
	dd bs=1000 count=1 <&3 2>/dev/null
	n=$(wc -c < /tmp/in)
	sleep 0.1
done > /tmp/in
sha256sum < /tmp/in
""" % OPEN


def digest(data: bytes) -> str:
    """What sha256sum prints of it."""
    return hashlib.sha256(data).hexdigest()


def receive_all(line: Line, count: int) -> bytes:
    """That many bytes of a line."""
    data = line.take()
    deadline = time.monotonic() + TRANSFER_LIMIT_S
    while len(data) < count:
        data += line.receive(deadline - time.monotonic())
    return data


def exchange(guest, device) -> float:
    """Both ports of a device carry data both ways at once, and nothing is lost or changed: how long it took."""
    lines = lines_of(device)
    ports = guest_ports(guest, "two")
    sent = [random.Random(number).randbytes(TRANSFER_BYTES) for number in range(2)]
    expected = [guest.check(f"head -c {TRANSFER_BYTES} /dev/urandom > /tmp/out.{port}; sha256sum < /tmp/out.{port}")
                for port in ports]
    began = time.monotonic()
    jobs = [guest.spawn(EXCHANGE.format(port=port, count=TRANSFER_BYTES)) for port in ports]
    for line in lines:
        line.expect(b"GO\n")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for line, data in zip(lines, sent):
            pool.submit(line.send, data, TRANSFER_LIMIT_S)
        received = list(pool.map(lambda line: receive_all(line, TRANSFER_BYTES), lines))
    results = [job.wait(TRANSFER_LIMIT_S) for job in jobs]
    took_s = time.monotonic() - began
    assert [digest(data) for data in received] == [text.split()[0] for text in expected]
    assert [(code, output.split()[0]) for code, output in results] == [(0, digest(data)) for data in sent]
    counters = statistics(device)
    assert counters["overruns"] == counters["lost_bytes"] == 0
    assert counters["rx_bytes"] == counters["tx_bytes"] - 2 * len("GO\n") == 2 * TRANSFER_BYTES
    for line in lines:
        line.close()
    return took_s


@pytest.mark.parametrize("backend", ["pty", "unix"])
def test_transfer(serial, boot, record_property, backend):
    """A device carries data both ways."""
    serial.parent("com", f"backend={backend}")
    device = serial.device("2", "com")
    took_s = exchange(boot(device), device)
    text = f"{backend}: {TRANSFER_BYTES} bytes each way on two ports in {took_s:.1f} s, " \
           f"{4 * TRANSFER_BYTES / took_s:.0f} bytes/s in all; {statistics(device)}"
    record_property("figures", text)
    print(text)


def kill_hosts(serial, rnd, stop) -> int:
    """Kills the host of a parent at random moments: how many."""
    kills = 0
    # One that dies younger than a second is held back.
    while not stop.wait(1 + rnd.random()):
        pid = serial.host("com")
        if pid:
            os.kill(pid, signal.SIGKILL)
            kills += 1
    return kills


@pytest.mark.parametrize("backend", ["pty", "unix"])
def test_transfer_killed(serial, boot, record_property, backend):
    """The same while the host dies again and again."""
    serial.parent("com", f"backend={backend}")
    device = serial.device("2", "com")
    guest = boot(device)
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill_hosts, serial, random.Random(4711), stop)
        try:
            took_s = exchange(guest, device)
        finally:
            stop.set()
    assert killed.result() > 0
    text = f"{backend}: {TRANSFER_BYTES} bytes each way on two ports in {took_s:.1f} s, {killed.result()} kills"
    record_property("figures", text)
    print(text)
    assert "nobody cared" not in guest.dmesg()
    guest.kill()


@pytest.mark.parametrize("backend", ["pty", "unix"])
def test_slow_readers(serial, boot, backend):
    """A guest that reads now and then, and a program that does: each holds the other up, nothing is lost."""
    serial.parent("com", f"backend={backend}")
    device = serial.device("1", "com")
    guest = boot(device)
    (line,) = lines_of(device)
    (port,) = guest_ports(guest, "one")
    data = random.Random(11).randbytes(SLOW_BYTES)
    job = guest.spawn(SLOW_GUEST.format(port=port, count=SLOW_BYTES))
    line.expect(b"GO\n")
    line.send(data, 60)
    code, output = job.wait()
    assert (code, output.split()[0]) == (0, digest(data))

    expected = guest.check(f"head -c {SLOW_BYTES} /dev/urandom > /tmp/out; sha256sum < /tmp/out").split()[0]
    job = guest.spawn(f"{OPEN.format(port=port)}; cat /tmp/out >&3")
    line.expect(b"GO\n")
    got = line.take()
    while len(got) < SLOW_BYTES:
        time.sleep(0.02)  # a reader that is slow, and not something that is waited for
        got += line.receive(60, most=701)
    assert digest(got) == expected
    assert job.wait().code == 0
    counters = statistics(device)
    assert counters["overruns"] == counters["lost_bytes"] == 0
    assert counters["rx_bytes"] == SLOW_BYTES
    line.close()
    guest.kill()
