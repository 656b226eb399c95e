/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the next broker has to know and neither the disk nor a host can tell: for each mdev that is
 * not idle a record { definition, number, since_ns, claimed, parent, client?, asked, with?,
 * changing?, was?, before? }, for each parent { autostarted, restarts, started_ns, remakes,
 * values?, files? }.
 *
 *   definition  what the device was created as, or shows since its last change
 *   number      of its IOMMU group; since_ns: mdev->counts_since_ns
 *   parent      whose it is; client and asked: who uses it, and whether as one of the group. A host
 *               knows these, a service manager that stored the record does not (stored.h)
 *   values      the options that the parent was opened with, and files: option -> [ device, inode
 * ], or for memory its number among the backings; where there is a store with        it is being
 * started with these, itself included: whether it was announced, the names of their sockets tell
 * claimed     ... and its piece is of this start changing    a change that does not end in
 * "definition" may be half done: set all of it again was, before a change that the definition on
 * disk is to say, too: as long as that is "before", (null: there is none) it is not done, and "was"
 * holds remakes     uuid -> definition of mdevs that are being made anew, should there be no device
 *
 * A record that cannot be written is logged: the mdev works, and the next broker takes the record
 * before for true.
 */
#pragma once

#include "broker/mdev.h"

/* The record of a start that begins; without one the start cannot go on. */
int journal_begin(struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* What it runs as is settled. */
void journal_settled(struct mdev *mdev);

/* A live change begins. */
void journal_changing(struct mdev *mdev);

/* It is through at the host: mdev->running will be @next once the definition on disk says so. */
void journal_redefines(struct mdev *mdev, const struct definition *next);

/* @mdev is going to be made anew; it was, or it is gone. */
void journal_remakes(struct mdev *mdev);
void journal_remade(struct mdev *mdev);

/* Makes the record of a parent that has none; writes what it says. */
int journal_parent_new(struct parent *parent) umdev_warn_unused;
void journal_parent(struct parent *parent);

/* Notes that what starts by itself on @parent was started, once that is so. */
void journal_autostarted(struct parent *parent);
