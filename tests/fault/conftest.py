# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what breaks around umdev."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
