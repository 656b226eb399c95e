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

/*
 * Somebody asks for something to be done with @uuid: looks at what is on disk about it now, events
 * that are still to be read included. A definition that is gone counts at once then. @watch may be
 * NULL. May free mdevs.
 */
void watch_catch_up(struct watch *watch, const char *uuid);

/* Ends it. NULL is fine. */
void watch_free(struct watch *watch);
