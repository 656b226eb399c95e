/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev-host: serves the mdevs of one parent. Started by umdevd with the link at descriptor 3; not
 * for people.
 *
 * The process gets what it needs as descriptors. It loads its driver, enters the sandbox and says
 * hello; before that it reads nothing from outside. It ends when the broker says so;
 * or, without --handover or as long as another host serves (--next), when the link closes.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/baton.h"
#include "host/calls.h"
#include "host/given.h"
#include "host/handover.h"
#include "host/host.h"
#include "host/values.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

static const char host_usage[] =
	"usage: umdev-host --driver NAME --driver-dir DIR --name PARENT [--user UID:GID]\n"
	"                  [--handover] [--next] [--orphan-ms N] [--no-sandbox]\n"
	"       umdev-host --calls\n"
	"Serves one parent for umdevd, which starts it. See umdevd(8).\n";

struct host_options {
	const char *driver;
	const char *driver_dir;
	const char *name;
	struct sandbox_options sandbox;
	bool handover;
	bool next;
	uint64_t orphan_ns;
};

/* Reads UID:GID. */
static bool host_parse_user(const char *text, struct sandbox_options *ret_sandbox)
{
	char *end;
	unsigned long uid = strtoul(text, &end, 10);
	unsigned long gid = *end == ':' ? strtoul(end + 1, &end, 10) : UINT32_MAX;

	if (*end || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return false;
	ret_sandbox->has_user = true;
	ret_sandbox->uid = (uid_t)uid;
	ret_sandbox->gid = (gid_t)gid;
	return true;
}

/* Returns 0, or the exit code + 1. */
static int host_parse(int argc, char **argv, struct host_options *ret_options)
{
	static const struct option longs[] = {
		{"driver", required_argument, NULL, 'd'},
		{"driver-dir", required_argument, NULL, 'D'},
		{"name", required_argument, NULL, 'n'},
		{"user", required_argument, NULL, 'u'},
		{"no-sandbox", no_argument, NULL, 'N'},
		{"calls", no_argument, NULL, 'c'},
		{"handover", no_argument, NULL, 'H'},
		{"next", no_argument, NULL, 'x'},
		{"orphan-ms", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 'u':
			if (host_parse_user(optarg, &ret_options->sandbox))
				break;
			fputs(host_usage, stderr);
			return 3;
		case 'N':
			ret_options->sandbox.off = true;
			break;
		case 'c':
			calls_print();
			return 1;
		case 'd':
			ret_options->driver = optarg;
			break;
		case 'D':
			ret_options->driver_dir = optarg;
			break;
		case 'n':
			ret_options->name = optarg;
			break;
		case 'H':
			ret_options->handover = true;
			break;
		case 'x':
			ret_options->next = true;
			break;
		case 'o':
			ret_options->orphan_ns = strtoull(optarg, NULL, 10) * NS_PER_MS;
			break;
		case 'h':
			fputs(host_usage, stdout);
			return 1;
		case 'V':
			puts("umdev-host " UMDEV_VERSION);
			return 1;
		default:
			fputs(host_usage, stderr);
			return 3;
		}
	}
	if (!ret_options->driver || !ret_options->driver_dir || !ret_options->name ||
	    optind < argc) {
		fputs(host_usage, stderr);
		return 3;
	}
	return 0;
}

static int host_load(struct umdev_parent *parent, const struct host_options *options)
{
	struct umdev_error err = {0};
	char path[4096];
	int r;

	json_object_seed(0); /* opens /dev/urandom, which it must not do later */
	if (strchr(options->driver, '/') ||
	    snprintf(path, sizeof(path), "%s/umdev-driver-%s.so", options->driver_dir,
		     options->driver) >= (int)sizeof(path))
		r = error_set(&err, ERROR_UNKNOWN_DRIVER, "no driver can have this name");
	else
		r = driver_load(path, options->driver, &host_ops, &parent->driver, &err);
	if (r < 0) {
		/* The exit code says it too, should the link be gone. */
		link_notify_sync(&parent->link, LINK_FAILED,
				 json_pack("{s:s,s:s}", "word", error_word_name(err.word),
					   "message", err.message),
				 NULL, 0, UINT64_C(1000000000));
		return r;
	}
	sandbox_enter(&options->sandbox, parent->driver.needs, &parent->sandbox);
	return host_hello(parent);
}

static int host_serve(const struct host_options *options)
{
	struct umdev_parent *parent = calloc(1, sizeof(*parent));
	int r;

	if (!parent)
		return -ENOMEM;
	list_init(&parent->mdevs);
	list_init(&parent->groups);
	list_init(&parent->given);
	parent->baton = -1;
	list_init(&parent->watches);
	snprintf(parent->name, sizeof(parent->name), "%s", options->name);
	parent->reactor = reactor_new();
	r = parent->reactor ? 0 : -errno;
	if (r == 0)
		r = link_init(&parent->link, parent->reactor, LINK_HOST_FD, &host_link_ops, parent);
	if (r == 0 && options->handover)
		r = host_handover_init(parent, LINK_LISTEN_FD, options->orphan_ns);
	if (r == 0 && options->next)
		host_baton_wait(parent, NULL);
	if (r == 0)
		r = host_load(parent, options);
	if (r == 0)
		r = reactor_run(parent->reactor);
	alarm(0);
	host_watches_free(parent);
	host_given_free_all(parent);
	fd_close(&parent->baton);
	host_handover_done(parent);
	link_done(&parent->link);
	host_values_free(parent->values, parent->driver.option_count);
	reactor_free(parent->reactor);
	free(parent);
	return r;
}

int main(int argc, char **argv)
{
	struct host_options options = {.orphan_ns = HOST_ORPHAN_NS};
	int r = host_parse(argc, argv, &options);

	if (r > 0)
		return r - 1;
	log_setup("umdev-host", LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	/* A terminal's interrupt goes to the broker, which ends its hosts in order. */
	signal(SIGINT, SIG_IGN);
	r = host_serve(&options);
	if (r < 0)
		umdev_log(LOG_ERR, options.name, "host.end", "%s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
