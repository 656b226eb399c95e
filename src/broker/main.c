/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevd: the daemon. Options, signals, and telling whoever started it that it is ready: a line on
 * stdout in the foreground, systemd's notification socket, or the end of the program that was run
 * when it went to the background.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/control.h"
#include "broker/fdstore.h"
#include "broker/paths.h"
#include "broker/sandbox.h"
#include "broker/tree.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/notify.h"
#include "util/parse.h"

#define EXIT_USAGE	     2
#define DAEMON_DEATHS_MAX    1000000u
#define DAEMON_ORPHAN_MS_MAX 86400000u

static const char daemon_usage[] =
	"usage: umdevd [--root DIR] [--foreground] [--no-tree] [--driver-dir DIR] [--host-path FILE]\n"
	"              [--sysfs-path FILE] [--host-deaths N] [--orphan-ms N]\n"
	"              [--fd-store N] [--no-sandbox] [--debug]\n"
	"Shares physical devices between virtual machines. See umdevd(8).\n";

struct daemon_options {
	char *root; /* absolute */
	char *host_path;
	char *driver_dir;
	char *sysfs_path;
	uint64_t host_deaths;
	bool no_tree;
	bool no_sandbox;
	bool foreground;
	bool debug;
	char **argv;
	char *program; /* the file of this one */
	int start_dir; /* where it was started */
	bool again;    /* ... by itself */
	uint64_t orphan_ms;
	uint64_t fd_store;
};

#define DAEMON_LEAVE_WAIT_NS (5 * NS_PER_S)
#define DAEMON_LEAVE_LOOK_NS (5 * NS_PER_MS)
/* Set for the program that replaces this one: it is where it shall be. */
#define DAEMON_AGAIN "UMDEVD_AGAIN"

struct daemon {
	struct broker_config config;
	char **argv;
	const char *program; /* its file when it was started: another one may be there now */
	int start_dir;	     /* where that was */
	bool again;	     /* this one was started by the one before it */
	struct reactor_timer leave_timer; /* looks whether nothing is under way */
	uint64_t leave_deadline_ns;
	struct umdev_error failure; /* why it ends */
	size_t fd_store; /* descriptors that the service manager stores, where it does not say so */
	struct reactor *reactor;
	struct broker *broker;
	struct control control;
	struct tree_server tree;
	const char *sysfs_path; /* NULL: no tree */
	struct reactor_fd signals;
	bool foreground;
	int ready_fd; /* tells the program that was run, when in the background; else -1 */
};

/* ---- Options --------------------------------------------------------------------------------- */

static int daemon_usage_error(void)
{
	fputs(daemon_usage, stderr);
	return EXIT_USAGE;
}

static void daemon_options_done(struct daemon_options *o)
{
	free(o->root);
	free(o->host_path);
	free(o->driver_dir);
	free(o->sysfs_path);
	free(o->program);
	fd_close(&o->start_dir);
}

/* Reads the argument of @option, a number from 1 on; says what is wrong with it. */
static bool daemon_number(const char *option, uint64_t max, uint64_t *ret)
{
	if (parse_u64(optarg, ret) == 0 && *ret >= 1 && *ret <= max)
		return true;
	fprintf(stderr, "umdevd: %s is a number from 1 to %llu, not '%s'\n", option,
		(unsigned long long)max, optarg);
	return false;
}

/* Returns -1 to go on, or the exit code. */
static int daemon_parse(int argc, char **argv, struct daemon_options *o, const char **ret_root)
{
	static const struct option longs[] = {
		{"root", required_argument, NULL, 'r'},
		{"foreground", no_argument, NULL, 'f'},
		{"driver-dir", required_argument, NULL, 'D'},
		{"host-path", required_argument, NULL, 'H'},
		{"no-tree", no_argument, NULL, 'n'},
		{"orphan-ms", required_argument, NULL, 'o'},
		{"fd-store", required_argument, NULL, 'F'},
		{"sysfs-path", required_argument, NULL, 'S'},
		{"host-deaths", required_argument, NULL, 'N'},
		{"no-sandbox", no_argument, NULL, 'X'},
		{"debug", no_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			*ret_root = optarg;
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'D':
			free(o->driver_dir);
			o->driver_dir = strdup(optarg);
			break;
		case 'H':
			free(o->host_path);
			o->host_path = strdup(optarg);
			break;
		case 'n':
			o->no_tree = true;
			break;
		case 'o':
			if (!daemon_number("--orphan-ms", DAEMON_ORPHAN_MS_MAX, &o->orphan_ms))
				return daemon_usage_error();
			break;
		case 'F':
			if (!daemon_number("--fd-store", FDSTORE_MAX, &o->fd_store))
				return daemon_usage_error();
			break;
		case 'S':
			free(o->sysfs_path);
			o->sysfs_path = strdup(optarg);
			break;
		case 'N':
			if (!daemon_number("--host-deaths", DAEMON_DEATHS_MAX, &o->host_deaths))
				return daemon_usage_error();
			break;
		case 'X':
			o->no_sandbox = true;
			break;
		case 'd':
			o->debug = true;
			break;
		case 'h':
			fputs(daemon_usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("umdevd " UMDEV_VERSION);
			return EXIT_SUCCESS;
		default:
			return daemon_usage_error();
		}
	}
	if (optind < argc) {
		fprintf(stderr, "umdevd: unexpected argument '%s'\n", argv[optind]);
		return daemon_usage_error();
	}
	return -1;
}

/* Makes @*path absolute, or the one that @otherwise finds. */
static int daemon_path(char **path, char *(*otherwise)(void))
{
	char *absolute = *path ? realpath(*path, NULL) : otherwise();

	if (!absolute) {
		fprintf(stderr, "umdevd: cannot use %s: %s\n", *path ? *path : "what is installed",
			strerror(errno));
		return -1;
	}
	free(*path);
	*path = absolute;
	return 0;
}

/* Makes every path absolute: the daemon may leave the directory it was started in. */
static int daemon_paths(struct daemon_options *o, const char *root)
{
	bool made = false;
	int r;

	if (!root || !root[0])
		root = "/";
	if (mkdir(root, 0755) == 0) {
		made = true;
	} else if (errno != EEXIST) {
		fprintf(stderr, "umdevd: cannot make the root %s: %s\n", root, strerror(errno));
		return -errno;
	}
	o->root = realpath(root, NULL);
	if (!o->root) {
		fprintf(stderr, "umdevd: cannot use the root %s: %s\n", root, strerror(errno));
		return -errno;
	}
	/* A root that was there may lie where we can look at nothing, and that is fine. */
	r = fd_sync_dir_of(AT_FDCWD, o->root);
	if (r < 0 && made) {
		fprintf(stderr, "umdevd: cannot write the root %s to its disk: %s\n", o->root,
			strerror(-r));
		return r;
	}
	if (daemon_path(&o->host_path, paths_host) < 0 ||
	    daemon_path(&o->driver_dir, paths_driver_dir) < 0)
		return -1;
	/* There need not be a tree: what is not there is told of, and done without. */
	if (o->sysfs_path && o->sysfs_path[0] == '/' && access(o->sysfs_path, F_OK) < 0)
		return 0;
	return daemon_path(&o->sysfs_path, paths_sysfs);
}

/* ---- Being ready ----------------------------------------------------------------------------- */

/* Tells systemd, if it asked. */
static void daemon_notify(const char *state)
{
	int r = notify_say(state);

	if (r < 0)
		umdev_log(LOG_WARNING, "umdevd", "daemon.notify", "cannot tell systemd: %s",
			  strerror(-r));
}

static void daemon_booted(struct broker *broker)
{
	struct daemon *d = broker->booted_data;

	daemon_notify("READY=1");
	if (d->foreground) {
		puts("ready");
		fflush(stdout);
	}
	if (d->ready_fd >= 0 && write(d->ready_fd, "r", 1) < 0)
		umdev_log(LOG_WARNING, "umdevd", "daemon.ready", "nobody waits for it");
	fd_close(&d->ready_fd);
	umdev_log(LOG_INFO, "umdevd", "daemon.ready", "serves %s", broker->config.root);
}

/*
 * Goes to the background. In the program that was run, waits until the daemon is ready or has
 * failed and returns its exit code; in the daemon, returns -1 and the fd to report to.
 */
static int daemon_background(int *ret_ready_fd)
{
	int pipe_fds[2];
	int null;
	char byte;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return EXIT_FAILURE;
	pid = fork();
	if (pid < 0)
		return EXIT_FAILURE;
	if (pid > 0) {
		close(pipe_fds[1]);
		do {
			n = read(pipe_fds[0], &byte, 1);
		} while (n < 0 && errno == EINTR);
		return n == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	close(pipe_fds[0]);
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    chdir("/") < 0)
		return EXIT_FAILURE;
	close(null);
	*ret_ready_fd = pipe_fds[1];
	return -1;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void daemon_ended(struct broker *broker)
{
	reactor_stop(broker->reactor);
}

/* Becomes the program anew; hosts go on meanwhile. Returns when that fails. */
static void daemon_again(struct daemon *d)
{
	umdev_log(LOG_INFO, "umdevd", "daemon.again", "starting anew from %s", d->program);
	/* Where its arguments mean what they meant. */
	if (d->start_dir >= 0 && fchdir(d->start_dir) < 0)
		umdev_log(LOG_WARNING, "umdevd", "daemon.again", "%s", strerror(errno));
	daemon_notify("RELOADING=1");
	/* It could not mount where the old one is. */
	tree_server_stop(&d->tree);
	fdstore_hand_on(d->broker->fdstore, true);
	setenv(DAEMON_AGAIN, "1", 1);
	execv(d->program, d->argv);
	umdev_log(LOG_ERR, "umdevd", "daemon.again", "%s cannot be run, going on as before: %s",
		  d->program, strerror(errno));
	unsetenv(DAEMON_AGAIN);
	fdstore_hand_on(d->broker->fdstore, false);
	tree_server_start(&d->tree, d->broker, d->sysfs_path);
	daemon_notify("READY=1");
}

static void daemon_leave_look(struct reactor_timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, leave_timer);
	uint64_t now = clock_now_ns();

	if (d->broker->ending)
		return;
	/* What does not end in time the next one ends. */
	if (broker_quiet(d->broker) || now >= d->leave_deadline_ns)
		daemon_again(d);
	else
		reactor_timer_set(d->reactor, timer, now + DAEMON_LEAVE_LOOK_NS);
}

static void daemon_leave(struct broker *broker)
{
	struct daemon *d = broker->booted_data;

	d->leave_deadline_ns = clock_now_ns() + DAEMON_LEAVE_WAIT_NS;
	d->leave_timer.expired = daemon_leave_look;
	reactor_timer_set(d->reactor, &d->leave_timer, clock_now_ns());
}

static void daemon_signalled(struct reactor_fd *source, uint32_t events)
{
	struct daemon *d = container_of(source, struct daemon, signals);
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR2) {
		daemon_leave(d->broker);
		return;
	}
	umdev_log(LOG_INFO, "umdevd", "daemon.stop", "signal %u: stopping", info.ssi_signo);
	daemon_notify("STOPPING=1");
	broker_shutdown(d->broker);
}

static int daemon_watch_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	d->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	d->signals.events = EPOLLIN;
	d->signals.ready = daemon_signalled;
	return reactor_fd_add(d->reactor, &d->signals);
}

/* Each guest needs descriptors for its memory and interrupts; the hard limit is the bound. */
static void daemon_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* What is active is known: whoever asks now is told the truth. */
static void daemon_taken(struct broker *broker)
{
	struct daemon *d = broker->booted_data;

	/* Hosts that died while there was no program to see it. */
	while (d->again && waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (control_open(&d->control, broker, &d->failure) < 0)
		reactor_stop(broker->reactor);
	else
		tree_server_start(&d->tree, broker, d->sysfs_path);
}

static int daemon_start(struct daemon *d, struct umdev_error *err)
{
	int r;

	d->reactor = reactor_new();
	r = d->reactor ? daemon_watch_signals(d) : -errno;
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "cannot begin: %s", strerror(-r));
	r = broker_new(&d->config, d->reactor, &d->broker, err);
	if (r < 0)
		return r;
	d->broker->booted = daemon_booted;
	d->broker->booted_data = d;
	d->broker->ended = daemon_ended;
	d->broker->taken = daemon_taken;
	d->broker->again = daemon_leave;
	r = fdstore_open(d->reactor, d->fd_store, &d->broker->fdstore);
	if (r < 0)
		umdev_log(LOG_WARNING, "umdevd", "daemon.fdstore",
			  "the service manager's store is not used: %s", strerror(-r));
	r = broker_boot(d->broker, err);
	if (r == 0 && d->failure.word != ERROR_NONE) {
		*err = d->failure;
		r = -error_word_errno(err->word);
	}
	return r;
}

static int daemon_run(const struct daemon_options *o, int ready_fd)
{
	struct daemon d = {
		.config = broker_defaults,
		.argv = o->argv,
		.program = o->program,
		.start_dir = o->start_dir,
		.again = o->again,
		.foreground = o->foreground,
		.ready_fd = ready_fd,
		.signals.fd = -1,
	};
	char host_user[SANDBOX_USER_TEXT];
	struct umdev_error err = {0};
	int r;

	sandbox_find_user(host_user);
	d.config.host_user = host_user;
	d.config.no_sandbox = o->no_sandbox;
	d.config.root = o->root;
	d.config.host_path = o->host_path;
	d.config.driver_dir = o->driver_dir;
	if (o->host_deaths)
		d.config.restart_deaths_max = (unsigned)o->host_deaths;
	d.config.orphan_ns = o->orphan_ms * NS_PER_MS;
	d.fd_store = (size_t)o->fd_store;
	d.sysfs_path = o->no_tree ? NULL : o->sysfs_path;
	r = daemon_start(&d, &err);
	if (r < 0) {
		umdev_log(LOG_ERR, "umdevd", "daemon.start", "%s", err.message);
	} else {
		r = reactor_run(d.reactor);
		if (r < 0)
			umdev_log(LOG_ERR, "umdevd", "daemon.run", "%s", strerror(-r));
		if (r == 0 && d.failure.word != ERROR_NONE) {
			umdev_log(LOG_ERR, "umdevd", "daemon.start", "%s", d.failure.message);
			r = -error_word_errno(d.failure.word);
		}
	}
	control_close(&d.control);
	tree_server_stop(&d.tree);
	/* A daemon that fails is no reason for its guests to. */
	if (r < 0)
		broker_leave(d.broker);
	else
		broker_free(d.broker);
	fd_close(&d.signals.fd);
	fd_close(&d.ready_fd);
	reactor_free(d.reactor);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct daemon_options o = {
		.argv = argv,
		.program =
			strchr(argv[0], '/') ? strdup(argv[0]) : realpath("/proc/self/exe", NULL),
		.start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.again = getenv(DAEMON_AGAIN),
	};
	const char *root = getenv("UMDEV_ROOT");
	int ready_fd = -1;
	int code = daemon_parse(argc, argv, &o, &root);

	if (code < 0 && daemon_paths(&o, root) < 0)
		code = EXIT_FAILURE;
	if (code < 0) {
		log_setup("umdevd", o.debug ? LOG_DEBUG : LOG_INFO);
		signal(SIGPIPE, SIG_IGN);
		if (!o.foreground && !getenv("NOTIFY_SOCKET") && !o.again)
			code = daemon_background(&ready_fd);
		unsetenv(DAEMON_AGAIN);
	}
	if (code < 0) {
		daemon_raise_limits();
		code = daemon_run(&o, ready_fd);
	}
	daemon_options_done(&o);
	return code;
}
