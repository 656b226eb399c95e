/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Structured log lines on stderr: "<N>" prefix under systemd, else the level's name.
 *
 * A line has a scope (module or device) and a stable event id; the text is for people. Writing
 * never blocks: a line that stderr does not take at once is counted as dropped, and the count is
 * told with the next line that goes through. Levels are syslog's.
 */
#pragma once

#include <stdint.h>
#include <syslog.h>

/* Sets the highest level that is written (LOG_ERR..LOG_DEBUG) and the program's name in each line.
 */
void log_setup(const char *program, int max_level);

/* Writes one line. @scope names the module or the device, @event is a stable id such as
 * "host.died". */
void umdev_log(int level, const char *scope, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The number of lines lost since the start because stderr was full. */
uint64_t log_dropped(void);
