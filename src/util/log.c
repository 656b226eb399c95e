/* SPDX-License-Identifier: BSD-3-Clause */
/* Non-blocking log lines. See log.h. Owned by the process's main thread; no lock. */
#include "util/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
	char program[32];
	int max_level;
	bool systemd;
	uint64_t dropped;
	uint64_t dropped_told;
} log_state = {.program = "umdev", .max_level = LOG_INFO};

static const char *const log_level_names[] = {
	"emerg", "alert", "crit", "error", "warning", "notice", "info", "debug",
};

void log_setup(const char *program, int max_level)
{
	snprintf(log_state.program, sizeof(log_state.program), "%s", program);
	log_state.max_level = max_level;
	log_state.systemd = getenv("JOURNAL_STREAM") != NULL;
}

uint64_t log_dropped(void)
{
	return log_state.dropped;
}

/* True when a line of up to PIPE_BUF bytes can be written to stderr without waiting, and without
 * the signal that a pipe nobody reads sends. */
static bool log_writable(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLOUT | POLLERR)) == POLLOUT;
}

static void log_write(char *line, size_t len)
{
	ssize_t n;

	if (!log_writable()) {
		log_state.dropped++;
		return;
	}
	line[len] = '\n';
	n = write(STDERR_FILENO, line, len + 1);
	if (n < 0)
		log_state.dropped++;
}

void umdev_log(int level, const char *scope, const char *event, const char *fmt, ...)
{
	char line[1024];
	size_t len;
	int saved = errno;
	va_list ap;

	if (level < 0 || level > LOG_DEBUG || level > log_state.max_level)
		return;
	if (log_state.dropped != log_state.dropped_told && log_writable()) {
		len = (size_t)snprintf(
			line, sizeof(line) - 1, "%s: log: %llu lines dropped", log_state.program,
			(unsigned long long)(log_state.dropped - log_state.dropped_told));
		log_state.dropped_told = log_state.dropped;
		log_write(line, len);
	}
	if (log_state.systemd)
		len = (size_t)snprintf(line, sizeof(line), "<%d>%s: ", level, scope);
	else
		len = (size_t)snprintf(line, sizeof(line), "%s: %s: %s: ", log_state.program,
				       log_level_names[level], scope);
	if (len < sizeof(line) - 1) {
		int n;

		va_start(ap, fmt);
		n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
		va_end(ap);
		len += n > 0 ? (size_t)n : 0;
	}
	if (len < sizeof(line) - 1) {
		int n = snprintf(line + len, sizeof(line) - len, " [%s]", event);

		len += n > 0 ? (size_t)n : 0;
	}
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20)
			line[i] = ' ';
	}
	log_write(line, len);
	errno = saved;
}
