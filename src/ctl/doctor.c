/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl doctor: what stands in the way. Checks on this side come first and work without a
 * daemon; the daemon's own follow. Exit code 1 when a check failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/run.h"
#include "util/clock.h"
#include "util/fd.h"

#define DOCTOR_QEMU_TIME (20 * NS_PER_S)
#define DOCTOR_TEXT_MAX	 (1024 * 1024)

static void doctor_add(json_t *checks, const char *name, const char *status, const char *detail,
		       const char *hint)
{
	json_t *check =
		json_pack("{s:s, s:s, s:s}", "name", name, "status", status, "detail", detail);

	if (hint)
		json_object_set_new(check, "hint", json_string(hint));
	json_array_append_new(checks, check);
}

/* Whether the daemon answers; the client is connected afterwards if so. */
static void doctor_check_socket(struct ctl *ctl, json_t *checks)
{
	char detail[512];

	if (ctl_connect_quiet(ctl) == CTL_OK) {
		snprintf(detail, sizeof(detail), "umdevd answers below %s",
			 ctl->root		? ctl->root
			 : getenv("UMDEV_ROOT") ? getenv("UMDEV_ROOT")
						: "/");
		doctor_add(checks, "client.socket", "ok", detail, NULL);
		return;
	}
	doctor_add(checks, "client.socket", "failed", umdev_client_error_message(NULL),
		   "start umdevd, or name its root with --root or UMDEV_ROOT");
}

static void doctor_check_daemon_program(json_t *checks)
{
	bool beside = false;
	umdev_autofree char *path = run_daemon_program(&beside);

	if (path && beside)
		doctor_add(checks, "client.umdevd", "ok", path, NULL);
	else
		doctor_add(checks, "client.umdevd", "warning",
			   "umdevd is not installed beside umdevctl",
			   "'umdevctl run' looks for it on PATH");
}

/* Reads what a child writes until it closes, the time is over, or @max bytes came. */
static void doctor_read(int fd, char *text, size_t max)
{
	uint64_t end_ns = clock_now_ns() + DOCTOR_QEMU_TIME;
	size_t len = 0;

	while (len < max) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now_ns = clock_now_ns();
		ssize_t n;

		if (now_ns >= end_ns)
			break;
		n = poll(&p, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		n = read(fd, text + len, max - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
}

/* What `PROGRAM -device help` prints; freed by the caller; NULL when it cannot be run. */
static char *doctor_device_help(const char *program)
{
	umdev_autofree char *text = malloc(DOCTOR_TEXT_MAX + 1);
	umdev_autoclose int reader = -1;
	umdev_autoclose int writer = -1;
	const char *const argv[] = {program, "-device", "help", NULL};
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid;
	int r;

	if (!text || pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	reader = ends[0];
	writer = ends[1];
	if (posix_spawn_file_actions_init(&actions) != 0)
		return NULL;
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, writer, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(&pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return NULL;
	fd_close(&writer);
	doctor_read(reader, text, DOCTOR_TEXT_MAX);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return umdev_steal_ptr(&text);
}

static void doctor_check_qemu(json_t *checks)
{
	umdev_autofree char *devices = NULL;
	struct utsname host;
	char program[128];
	char detail[256];

	if (uname(&host) < 0)
		return;
	snprintf(program, sizeof(program), "qemu-system-%.64s", host.machine);
	devices = doctor_device_help(program);
	if (!devices) {
		snprintf(detail, sizeof(detail), "there is no %s on PATH", program);
		doctor_add(checks, "client.qemu", "warning", detail,
			   "QEMU 10.1 or later uses mdevs; other vfio-user clients need none");
	} else if (!strstr(devices, "\"vfio-user-pci\"")) {
		snprintf(detail, sizeof(detail), "%s has no device vfio-user-pci", program);
		doctor_add(checks, "client.qemu", "warning", detail,
			   "it came with QEMU 10.1; install a later one");
	} else {
		snprintf(detail, sizeof(detail), "%s has vfio-user-pci", program);
		doctor_add(checks, "client.qemu", "ok", detail, NULL);
	}
}

/* Prints and tells whether a check failed. */
static bool doctor_print(const struct ctl *ctl, const json_t *checks)
{
	bool failed = false;
	json_t *check;
	size_t i;

	json_array_foreach (checks, i, check) {
		failed = failed || strcmp(ctl_text(check, "status"), "failed") == 0;
		if (ctl->json)
			continue;
		printf("%-8s %s: %s\n", ctl_text(check, "status"), ctl_text(check, "name"),
		       ctl_text(check, "detail"));
		if (ctl_text(check, "hint")[0])
			printf("%-8s %s\n", "", ctl_text(check, "hint"));
	}
	if (ctl->json)
		ctl_print_json(checks, "\n");
	return failed;
}

int ctl_doctor(struct ctl *ctl)
{
	json_t *checks = json_array();
	json_t *result = NULL;
	bool failed;
	int r = CTL_OK;

	doctor_check_socket(ctl, checks);
	doctor_check_daemon_program(checks);
	doctor_check_qemu(checks);
	if (ctl->client)
		r = ctl_call(ctl, "doctor", NULL, &result);
	json_array_extend(checks, json_object_get(result, "checks"));
	json_decref(result);
	failed = doctor_print(ctl, checks);
	json_decref(checks);
	return failed ? CTL_FAILED : r;
}
