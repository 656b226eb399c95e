# SPDX-License-Identifier: BSD-3-Clause
"""What a power cut may leave of the files of umdev, and whether umdevd can live with it.

    calls   every system call by which umdevd and its hosts changed files, from a trace
    disk    a disk that holds what reached it for certain, and what may have
    files   the table of all files that umdev owns
    story   a scripted life of a daemon, in which every method is called that writes
    stage   one state after a cut is put on disk, and a daemon starts on it
    judge   what that daemon shows, held against what had been answered before the cut
"""
