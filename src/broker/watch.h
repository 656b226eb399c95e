/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes of definition files that somebody else makes: mdevctl, an editor, a configuration tool.
 *
 * A file that is good is taken at once; one that equals what is known, as our own writes do,
 * changes nothing. A file that is gone or cannot be read is looked at again after a moment, since
 * others replace files by removing or emptying them first, and only then counts. All of it runs on
 * the reactor, some files at a time.
 */
#pragma once

struct broker;
struct watch;

/* Begins to watch the directories of definitions. NULL when that is not possible, which is told. */
struct watch *watch_new(struct broker *broker);

/* Ends it. NULL is fine. */
void watch_free(struct watch *watch);
