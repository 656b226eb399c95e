/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The broker between those it does not trust: files below etc/umdev, clients of the RPC, and hosts,
 * which may say anything.
 *
 * Input: flags, four files (configuration and map of a parent, a definition, settings of a group),
 * steps. Texts end with 0x00. Every call is answered once, at the latest when the broker ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/api.h"
#include "broker/broker.h"
#include "model/ident.h"
#include "rpc/methods.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#include "fuzz-clock.h"
#include "fuzz-host.h"
#include "fuzz.h"

#define STEPS_MAX 40
#define FILE_UUID "976d8cc2-4bfc-43b9-b9f9-f4af2de91ab9"

struct fuzz {
	struct fuzz_input in;
	struct reactor *reactor;
	struct broker *broker;
	uint32_t calls;
	uint32_t answers;
	bool booted;
	bool ended;
};

static char fuzz_dir[64];
static char fuzz_root[96];
static char fuzz_drivers[96];

/* Nothing here outlives the process, let alone the power. */
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

/* Closing one of these takes the kernel milliseconds, in which nothing is done: most inputs do
 * without being told of files that change. */
static bool fuzz_inotify;

int __real_inotify_init1(int flags);
int __wrap_inotify_init1(int flags);

int __wrap_inotify_init1(int flags)
{
	if (fuzz_inotify)
		return __real_inotify_init1(flags);
	errno = EMFILE;
	return -1;
}

/* UUIDs that nobody gave are the same each time. */
static uint8_t fuzz_uuids;

void __wrap_uuid_generate(unsigned char *out);

void __wrap_uuid_generate(unsigned char *out)
{
	memset(out, 0x55, 16);
	out[15] = ++fuzz_uuids;
}

/* ---- Files ---- */

static int fuzz_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void fuzz_clear_root(void)
{
	(void)nftw(fuzz_root, fuzz_remove, 8, FTW_DEPTH | FTW_PHYS);
}

__attribute__((destructor)) static void fuzz_clear_all(void)
{
	if (fuzz_dir[0])
		(void)nftw(fuzz_dir, fuzz_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void fuzz_make_dirs(void)
{
	char path[160];

	if (!fuzz_dir[0]) {
		/* Memory where there is some: no input waits for a disk. */
		snprintf(fuzz_dir, sizeof(fuzz_dir), "%s/umdev-fuzz-XXXXXX",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		fuzz_check(mkdtemp(fuzz_dir));
		snprintf(fuzz_root, sizeof(fuzz_root), "%s/root", fuzz_dir);
		snprintf(fuzz_drivers, sizeof(fuzz_drivers), "%s/drivers", fuzz_dir);
		fuzz_check(mkdir(fuzz_drivers, 0755) == 0);
		snprintf(path, sizeof(path), "%s/umdev-driver-nvme.so", fuzz_drivers);
		fuzz_check(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) == 0);
		signal(SIGPIPE, SIG_IGN);
		/* To see what an input does. */
		log_setup("fuzz", getenv("FUZZ_LOG") ? LOG_DEBUG : LOG_EMERG);
	}
	fuzz_check(mkdir(fuzz_root, 0755) == 0);
}

static void fuzz_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/etc/umdev/%s", fuzz_root, dir);
	fuzz_check(fd_mkdir_parents(AT_FDCWD, path, 0755) == 0);
	snprintf(path, sizeof(path), "%s/etc/umdev/%s/%s", fuzz_root, dir, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	fuzz_check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void fuzz_files(struct fuzz *f)
{
	static const char *const places[][2] = {{"parents.d", "p0.json"},
						{"parents.d", "p0.map"},
						{"mdevs.d/p0", FILE_UUID},
						{"groups.d", FILE_UUID}};

	for (size_t i = 0; i < 4; i++) {
		char *text = fuzz_text(&f->in, 0);

		if (text[0])
			fuzz_file(places[i][0], places[i][1], text);
		free(text);
	}
}

/* ---- Calls ---- */

static void fuzz_done(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	struct fuzz *f = call->arg;

	f->answers++;
	umdev_log(LOG_DEBUG, call->method, "call.answered", "%s", result ? "done" : err->message);
	fuzz_check(result || (err->word != ERROR_NONE && err->message[0]));
	fuzz_check(result || !strchr(err->message, '\n'));
	json_decref(result);
}

static void fuzz_call(struct fuzz *f, uint8_t how, const char *name, json_t *params)
{
	const struct rpc_method *method = rpc_method_find(name);
	const struct api_method *m = api_methods;
	struct api_call *call;

	while (m->name && strcmp(m->name, name) != 0)
		m++;
	/* The server lets nothing else pass. */
	if (!method || !m->name || rpc_method_check(method, params, NULL) < 0)
		return;
	call = api_call_new(f->broker, params, fuzz_done, f);
	fuzz_check(call);
	call->uid = how & 64 ? 1000 : getuid();
	call->pid = getpid();
	call->method = m->name;
	f->calls++;
	m->handler(call);
}

/* ---- Steps ---- */

static void fuzz_turn(struct fuzz *f)
{
	for (int i = 0; i < 12; i++) {
		fuzz_check(reactor_turn(f->reactor, 0) == 0);
		if (fuzz_hosts_work() == 0 && i > 2)
			break;
	}
}

static void fuzz_step(struct fuzz *f)
{
	uint8_t how = fuzz_byte(&f->in);
	char *name = fuzz_text(&f->in, 0);
	char *text = fuzz_text(&f->in, 0);
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	json_t *params = json_is_object(json) ? json : NULL;
	char uuid[IDENT_UUID_SIZE];

	switch (how & 15) {
	case 0:
		fuzz_host_notify(how >> 6, name, params, how >> 4 & 3);
		break;
	case 1:
		fuzz_host_ask(how >> 6, 1, name, params);
		break;
	case 2:
		fuzz_host_reply(how >> 6, json);
		break;
	case 3:
		fuzz_host_die(how >> 6);
		break;
	case 4:
		fuzz_host_hello(how >> 6, json);
		break;
	case 5:
		fuzz_hosts_behave(how & 16);
		break;
	case 6:
		fuzz_clock_pass(NS_PER_MS << (how >> 4));
		break;
	case 7:
		if (ident_uuid_parse(name, uuid) == 0 && strcmp(uuid, name) == 0)
			fuzz_file("mdevs.d/p0", name, text);
		break;
	default:
		fuzz_call(f, how, name, params);
		break;
	}
	if (!(how & 32) || (how & 15) < 8)
		fuzz_turn(f);
	json_decref(json);
	free(text);
	free(name);
}

/* ---- Life ---- */

static void fuzz_booted(struct broker *broker)
{
	struct fuzz *f = broker->booted_data;

	fuzz_check(!f->booted);
	f->booted = true;
}

static void fuzz_ended(struct broker *broker)
{
	struct fuzz *f = broker->booted_data;

	fuzz_check(!f->ended);
	f->ended = true;
}

static void fuzz_end(struct fuzz *f)
{
	fuzz_hosts_behave(true);
	fuzz_turn(f);
	broker_shutdown(f->broker);
	for (int i = 0; i < 100 && !f->ended; i++) {
		fuzz_turn(f);
		fuzz_clock_pass(100 * NS_PER_MS);
	}
	fuzz_check(f->ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = {.at = data, .left = size}};
	struct broker_config config = broker_defaults;
	struct umdev_error err = {0};
	uint8_t flags = fuzz_byte(&f.in);

	fuzz_uuids = 0;
	fuzz_inotify = (flags & 0xf0) == 0x10;
	fuzz_make_dirs();
	fuzz_files(&f);
	fuzz_clock_start();
	fuzz_hosts_behave(!(flags & 1));
	config.root = fuzz_root;
	config.host_path = "/bin/true";
	config.driver_dir = fuzz_drivers;
	config.keep_fds_max = 8;
	f.reactor = reactor_new();
	fuzz_check(f.reactor && broker_new(&config, f.reactor, &f.broker, &err) == 0);
	f.broker->booted = fuzz_booted;
	f.broker->booted_data = &f;
	f.broker->ended = fuzz_ended;
	fuzz_check(broker_boot(f.broker, &err) == 0);
	fuzz_turn(&f);
	for (int i = 0; i < STEPS_MAX && f.in.left > 0; i++)
		fuzz_step(&f);
	if (flags & 2)
		fuzz_end(&f);
	broker_free(f.broker);
	fuzz_check(fuzz_hosts_count() == 0 && f.calls == f.answers);
	reactor_free(f.reactor);
	fuzz_clock_stop();
	fuzz_clear_root();
	return 0;
}
