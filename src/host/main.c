/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev-host: serves the mdevs of one parent. Started by umdevd with the link at descriptor 3; not
 * for people.
 *
 * The process gets what it needs as descriptors. It gives up gaining privileges before it loads a
 * driver, and it ends when the link closes.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/given.h"
#include "host/host.h"
#include "host/values.h"
#include "util/log.h"

static const char host_usage[] = "usage: umdev-host --driver NAME --driver-dir DIR --name PARENT\n"
				 "Serves one parent for umdevd, which starts it. See umdevd(8).\n";

struct host_options {
	const char *driver;
	const char *driver_dir;
	const char *name;
};

/* Returns 0, or the exit code + 1. */
static int host_parse(int argc, char **argv, struct host_options *ret_options)
{
	static const struct option longs[] = {
		{"driver", required_argument, NULL, 'd'},
		{"driver-dir", required_argument, NULL, 'D'},
		{"name", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			ret_options->driver = optarg;
			break;
		case 'D':
			ret_options->driver_dir = optarg;
			break;
		case 'n':
			ret_options->name = optarg;
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

/* Guests decide how many descriptors are needed; the hard limit is the bound. */
static void host_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		umdev_log(LOG_WARNING, "host", "host.sandbox", "no_new_privs: %s", strerror(errno));
}

static int host_load(struct umdev_parent *parent, const struct host_options *options)
{
	struct umdev_error err = {0};
	char path[4096];
	int r;

	if (strchr(options->driver, '/') ||
	    snprintf(path, sizeof(path), "%s/umdev-driver-%s.so", options->driver_dir,
		     options->driver) >= (int)sizeof(path))
		r = error_set(&err, ERROR_UNKNOWN_DRIVER, "no driver can have this name");
	else
		r = driver_load(path, options->driver, &host_ops, &parent->driver, &err);
	if (r < 0)
		/* The exit code says it too, should the link be gone. */
		link_notify_sync(&parent->link, LINK_FAILED,
				 json_pack("{s:s,s:s}", "word", error_word_name(err.word),
					   "message", err.message),
				 NULL, 0, UINT64_C(1000000000));
	else
		r = link_notify(
			&parent->link, LINK_HELLO,
			host_describe_driver(&parent->driver,
					     page_size_for(parent->driver.table.state_size)),
			NULL, 0);
	return r;
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
	list_init(&parent->watches);
	snprintf(parent->name, sizeof(parent->name), "%s", options->name);
	parent->reactor = reactor_new();
	r = parent->reactor ? 0 : -errno;
	if (r == 0)
		r = link_init(&parent->link, parent->reactor, LINK_HOST_FD, &host_link_ops, parent);
	if (r == 0)
		r = host_load(parent, options);
	if (r == 0)
		r = reactor_run(parent->reactor);
	alarm(0);
	host_watches_free(parent);
	host_given_free_all(parent);
	link_done(&parent->link);
	host_values_free(parent->values, parent->driver.option_count);
	reactor_free(parent->reactor);
	free(parent);
	return r;
}

int main(int argc, char **argv)
{
	struct host_options options = {0};
	int r = host_parse(argc, argv, &options);

	if (r > 0)
		return r - 1;
	log_setup("umdev-host", LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	/* A terminal's interrupt goes to the broker, which ends its hosts in order. */
	signal(SIGINT, SIG_IGN);
	host_limits();
	r = host_serve(&options);
	if (r < 0)
		umdev_log(LOG_ERR, options.name, "host.end", "%s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
