# SPDX-License-Identifier: BSD-3-Clause
"""nvme-cli, as an administrator in the guest uses it."""

import json

import pytest

INVALID_FIELD = 2  # generic command status, NVM Express 1.4, figure 126

GIB = 1 << 30


def ask(guest, command: str):
    """The JSON that one nvme-cli command prints."""
    return json.loads(guest.check(f"nvme {command} -o json"))


def test_identify(drives, boot):
    """The controller names itself; the namespace has the size of its type."""
    guest = boot(drives.drive("1g"))
    controller = ask(guest, "id-ctrl /dev/nvme0")
    assert controller["mn"].strip().isprintable() and controller["mn"].strip()
    assert controller["sn"].strip() == guest.check("cat /sys/class/nvme/nvme0/serial").strip() != ""
    assert controller["fr"].strip()
    assert controller["ver"] >= 0x10300
    assert controller["nn"] >= 1
    # Entry sizes are powers of two; Linux uses 64 and 16 bytes.
    assert controller["sqes"] & 15 == 6 and controller["cqes"] & 15 == 4

    namespace = ask(guest, "id-ns /dev/nvme0n1")
    used_format = namespace["lbafs"][namespace["flbas"] & 15]
    assert namespace["nsze"] << used_format["ds"] == GIB
    assert namespace["ncap"] == namespace["nsze"] >= namespace["nuse"]
    assert int(guest.check("cat /sys/block/nvme0n1/size")) * 512 == GIB
    assert ask(guest, "list-ns /dev/nvme0")["nsid_list"] == [{"nsid": 1}]
    guest.poweroff()


def smart_log(guest) -> dict:
    """The health page, all numbers; nvme-cli prints the wide ones as text."""
    return {key: int(value) for key, value in ask(guest, "smart-log /dev/nvme0").items()}


def test_smart_log_counts(drives, boot):
    """The health page is that of a healthy drive, and its counters follow what the guest does."""
    guest = boot(drives.drive())
    before = smart_log(guest)
    assert before["critical_warning"] == 0
    assert 273 <= before["temperature"] <= 353
    assert before["avail_spare"] >= before["spare_thresh"]
    assert before["percent_used"] < 100
    assert before["media_errors"] == 0

    # A unit of these counters is 1000 blocks of 512 bytes.
    guest.check("dd if=/dev/zero of=/dev/nvme0n1 bs=1M count=16 oflag=direct")
    guest.check("dd if=/dev/nvme0n1 of=/dev/null bs=1M count=32 iflag=direct")
    after = smart_log(guest)
    assert 32 <= after["data_units_written"] - before["data_units_written"] <= 34
    assert 65 <= after["data_units_read"] - before["data_units_read"] <= 70
    assert after["host_write_commands"] > before["host_write_commands"]
    assert after["host_read_commands"] > before["host_read_commands"]
    guest.poweroff()


@pytest.mark.umdev_only
def test_firmware_log(drives, boot):
    """The active slot holds the revision of id-ctrl (QEMU's own drive says 1.0 there, whatever its revision)."""
    guest = boot(drives.drive())
    revision = ask(guest, "id-ctrl /dev/nvme0")["fr"]
    (log,) = ask(guest, "fw-log /dev/nvme0").values()
    slot = log["Active Firmware Slot (afi)"] & 7
    assert 1 <= slot <= 7
    # Printed as a number, and as text with dots for what it takes for unprintable.
    number = int(log[f"Firmware Rev Slot {slot}"].split()[0])
    assert number.to_bytes(8, "little").decode().strip() == revision.strip() != ""
    guest.poweroff()


def test_error_log(drives, boot):
    """A fresh drive logged no error, but for what Linux asks of newer drives and 1.4 refuses: Identify CNS 6."""
    guest = boot(drives.drive())
    errors = ask(guest, "error-log /dev/nvme0")["errors"]
    logged = [error for error in errors if error["error_count"] > 0]
    assert len(errors) > len(logged)
    for error in logged:
        assert error["sqid"] == 0 and error["status_field"] & 0x7ff == INVALID_FIELD, logged
    guest.poweroff()


def test_bad_requests_are_refused(drives, boot):
    """A namespace, a log page and a block that do not exist get their error, and nothing breaks."""
    guest = boot(drives.drive())
    beyond = ask(guest, "id-ctrl /dev/nvme0")["nn"] + 1
    for command, status in (
            (f"id-ns /dev/nvme0 -n {beyond}", "Invalid Namespace or Format"),
            ("get-log /dev/nvme0 -i 0xbe -l 512", "NVMe status"),
            ("read /dev/nvme0n1 -s 0xffffffff -c 0 -z 512", "LBA Out of Range"),
            ("read /dev/nvme0n1 -s 2097152 -c 0 -z 512", "LBA Out of Range")):
        code, output = guest.run(f"nvme {command}")
        assert code != 0 and status in output, (command, output)
    guest.check("nvme read /dev/nvme0n1 -s 2097151 -c 0 -z 512 > /dev/null")
    guest.poweroff()


def test_zeroes_and_trim(drives, boot):
    """Write Zeroes clears what it names and nothing beside it; Flush and Deallocate succeed."""
    guest = boot(drives.drive())
    guest.check("dd if=/dev/urandom of=/tmp/data bs=4k count=32")
    guest.check("dd if=/tmp/data of=/dev/nvme0n1 bs=64k oflag=direct")
    # 4 KiB from 8 KiB on.
    guest.check("nvme write-zeroes /dev/nvme0n1 -s 16 -c 7")
    guest.check("dd if=/dev/zero of=/tmp/data bs=4k seek=2 count=1 conv=notrunc")
    guest.check("dd if=/dev/nvme0n1 of=/tmp/read bs=64k count=2 iflag=direct && cmp /tmp/data /tmp/read")
    guest.check("nvme flush /dev/nvme0n1")
    guest.check("nvme dsm /dev/nvme0n1 -d -s 64 -b 64")
    guest.check("dd if=/dev/nvme0n1 of=/tmp/read bs=32k count=1 iflag=direct && cmp -n 32768 /tmp/data /tmp/read")
    guest.check("blkdiscard /dev/nvme0n1")
    guest.poweroff()


def test_reset_keeps_data(drives, boot):
    """A controller reset in the middle of work: the driver comes back, the data is whole."""
    guest = boot(drives.drive())
    guest.check("dd if=/dev/urandom of=/tmp/data bs=1M count=8")
    guest.check("dd if=/tmp/data of=/dev/nvme0n1 bs=1M oflag=direct")
    for _ in range(2):
        reader = guest.spawn("for i in 1 2 3 4; do dd if=/dev/nvme0n1 bs=64k count=128 iflag=direct | md5sum; done")
        guest.check("nvme reset /dev/nvme0")
        guest.wait_for("[ $(cat /sys/class/nvme/nvme0/state) = live ]")
        code, output = reader.wait()
        assert code == 0
        assert output.count(guest.check("md5sum < /tmp/data").strip()) == 4
    guest.check("dd if=/tmp/data of=/dev/nvme0n1 bs=1M seek=8 oflag=direct")
    assert guest.check("dd if=/dev/nvme0n1 bs=1M skip=8 count=8 iflag=direct 2>/dev/null | md5sum") == guest.check(
        "md5sum < /tmp/data")
    guest.poweroff()
