/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes by /proc/PID/stat. See process.h. */
#include "broker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/fd.h"

#define PROCESS_STATE	3 /* numbers of fields, proc(5) */
#define PROCESS_STARTED 22

/* Field @number, from the third on, and what follows it; NULL when there is none. Owned by
 * *@ret_text. */
static const char *process_field(pid_t pid, int number, char **ret_text)
{
	char path[32];
	size_t len = 0;
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (pid <= 0 || fd_read_file(AT_FDCWD, path, 4096, ret_text, &len) < 0)
		return NULL;
	/* The name in the second field may hold anything; the third begins behind its last ')'. */
	at = strrchr(*ret_text, ')');
	for (int field = PROCESS_STATE - 1; at && field < number; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	return at;
}

uint64_t process_started(pid_t pid)
{
	umdev_autofree char *text = NULL;
	const char *at = process_field(pid, PROCESS_STARTED, &text);

	return at ? strtoull(at, NULL, 10) : 0;
}

bool process_ended(pid_t pid)
{
	umdev_autofree char *text = NULL;
	const char *at;

	if (pid <= 0)
		return false;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return true;
	at = process_field(pid, PROCESS_STATE, &text);
	return at && (*at == 'Z' || *at == 'X');
}
