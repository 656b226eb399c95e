# SPDX-License-Identifier: BSD-3-Clause
"""SeaBIOS boots from a drive, with its own nvme driver, which polls and knows no interrupt."""

import base64
import string
import struct
import time

LIMIT_S = 60
TEXT_BLOCK = 2048
TEXT_BLOCKS = 8
TEXT_BYTES = TEXT_BLOCKS * 512 - 1


def boot_sector() -> bytes:
    """Reads TEXT_BLOCKS blocks through the BIOS and prints them on the first serial port, up to a zero byte."""
    load_at, text_at = 0x7C00, 0x7E00
    code = bytes.fromhex(
        "31c0 8ed8 8ec0"     # xor ax,ax; mov ds,ax; mov es,ax
        "b442 be{packet} cd13"  # mov ah,42h; mov si,packet; int 13h: extended read
        "be{text} baf803"    # mov si,text; mov dx,3f8h
        "ac 84c0 7403 ee ebf8"  # next: lodsb; test al,al; jz stop; out dx,al; jmp next
        "f4 ebfd"            # stop: hlt; jmp stop
        .format(packet=struct.pack("<H", load_at + 64).hex(), text=struct.pack("<H", text_at).hex()))
    packet = struct.pack("<BBHHHQ", 16, 0, TEXT_BLOCKS, text_at, 0, TEXT_BLOCK)
    return code.ljust(64, b"\0") + packet.ljust(446, b"\0") + b"\x55\xaa"


def test_firmware_boots(drives, boot):
    """A boot sector that the guest wrote is started by the firmware, and reads through it what stands further on."""
    assert len(boot_sector()) == 512
    drive = drives.drive()
    text = "".join(string.ascii_letters[(index * index // 7) % 52] for index in range(TEXT_BYTES))
    guest = boot(drive)
    for content, block in ((boot_sector(), 0), (text.encode() + b"\0", TEXT_BLOCK)):
        guest.check(f"echo {base64.b64encode(content).decode()} | base64 -d | "
                    f"dd of=/dev/nvme0n1 bs=512 seek={block} conv=fsync")
    guest.poweroff()

    machine = boot(drive, own_kernel=False)
    deadline = time.monotonic() + LIMIT_S
    while len(machine.console()) < TEXT_BYTES and time.monotonic() < deadline:
        time.sleep(0.05)
    assert machine.console() == text
    assert not machine.errors()
