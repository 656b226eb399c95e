# SPDX-License-Identifier: BSD-3-Clause
"""Virtual machines for umdev's tests: what they are made of, and how to drive them.

archive, elf, kernel, initramfs and cache make QEMU and a guest out of Debian
packages, without installing anything.  qmp and guest run one.  umdev and
emulated provide the drives that guests use.
"""


class VmError(Exception):
    """Something a person can act on; its text is one line."""
