/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes by /proc/PID/stat. See process.h. */
#include "broker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

#define PROCESS_STATE	  3 /* numbers of fields, proc(5) */
#define PROCESS_STARTED	  22
#define PROCESS_STAT_SIZE 1024 /* all numbers at their longest have less */

/* Field @number of @stat, from the third on, and what follows it; NULL when there is none. */
static const char *process_field(pid_t pid, int number, char stat[PROCESS_STAT_SIZE])
{
	umdev_autoclose int fd = -1;
	const char *at;
	ssize_t n;

	snprintf(stat, PROCESS_STAT_SIZE, "/proc/%d/stat", (int)pid);
	fd = open(stat, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, stat, PROCESS_STAT_SIZE - 1);
	if (pid <= 0 || n < 0)
		return NULL;
	stat[n] = '\0';
	/* The name in the second field may hold anything; the third begins behind its last ')'. */
	at = strrchr(stat, ')');
	for (int field = PROCESS_STATE - 1; at && field < number; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	return at;
}

uint64_t process_started(pid_t pid)
{
	char stat[PROCESS_STAT_SIZE];
	const char *at = process_field(pid, PROCESS_STARTED, stat);

	return at ? strtoull(at, NULL, 10) : 0;
}

bool process_ended(pid_t pid)
{
	char stat[PROCESS_STAT_SIZE];
	const char *at;

	if (pid <= 0)
		return false;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return true;
	at = process_field(pid, PROCESS_STATE, stat);
	return at && (*at == 'Z' || *at == 'X');
}
