/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of the command line. See options.h. */
#include "options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "pace.h"
#include "util/clock.h"
#include "util/parse.h"

#define OPTIONS_RUNTIME_DEFAULT_NS (10 * NS_PER_S)
#define OPTIONS_SECONDS_MAX	   1000000000ULL

enum options_id {
	OPTION_SOCKET = 256,
	OPTION_UUID,
	OPTION_ROOT,
	OPTION_RW,
	OPTION_MIX,
	OPTION_BS,
	OPTION_DEPTH,
	OPTION_QUEUES,
	OPTION_ENTRIES,
	OPTION_RUNTIME,
	OPTION_COUNT,
	OPTION_SIZE,
	OPTION_OFFSET,
	OPTION_SEED,
	OPTION_POLL,
	OPTION_RAMP,
	OPTION_TIMEOUT,
	OPTION_RATE,
	OPTION_ARRIVAL,
	OPTION_START_AT,
	OPTION_JSON,
	OPTION_VERIFY,
	OPTION_MIXED,
	OPTION_STATE,
	OPTION_DOORBELLS,
	OPTION_SGL,
	OPTION_NSID,
	OPTION_SERVER_PID,
	OPTION_MEMCPY,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options_long[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"uuid", required_argument, NULL, OPTION_UUID},
	{"root", required_argument, NULL, OPTION_ROOT},
	{"rw", required_argument, NULL, OPTION_RW},
	{"mix", required_argument, NULL, OPTION_MIX},
	{"bs", required_argument, NULL, OPTION_BS},
	{"depth", required_argument, NULL, OPTION_DEPTH},
	{"queues", required_argument, NULL, OPTION_QUEUES},
	{"entries", required_argument, NULL, OPTION_ENTRIES},
	{"runtime", required_argument, NULL, OPTION_RUNTIME},
	{"count", required_argument, NULL, OPTION_COUNT},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"offset", required_argument, NULL, OPTION_OFFSET},
	{"seed", required_argument, NULL, OPTION_SEED},
	{"poll", no_argument, NULL, OPTION_POLL},
	{"ramp", required_argument, NULL, OPTION_RAMP},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"arrival", required_argument, NULL, OPTION_ARRIVAL},
	{"start-at", required_argument, NULL, OPTION_START_AT},
	{"json", no_argument, NULL, OPTION_JSON},
	{"verify", no_argument, NULL, OPTION_VERIFY},
	{"mixed", no_argument, NULL, OPTION_MIXED},
	{"state", required_argument, NULL, OPTION_STATE},
	{"doorbells", required_argument, NULL, OPTION_DOORBELLS},
	{"sgl", no_argument, NULL, OPTION_SGL},
	{"nsid", required_argument, NULL, OPTION_NSID},
	{"server-pid", required_argument, NULL, OPTION_SERVER_PID},
	{"memcpy", no_argument, NULL, OPTION_MEMCPY},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char *const options_patterns[] = {
	[PATTERN_READ] = "read",
	[PATTERN_WRITE] = "write",
	[PATTERN_RW] = "rw",
	[PATTERN_RANDREAD] = "randread",
	[PATTERN_RANDWRITE] = "randwrite",
	[PATTERN_RANDRW] = "randrw",
};
static_assert(ARRAY_SIZE(options_patterns) == PATTERN_COUNT, "every pattern has a name");

static const char *const options_doorbell_kinds[] = {
	[DOORBELLS_AUTO] = "auto",
	[DOORBELLS_SHADOW] = "shadow",
	[DOORBELLS_SHARED] = "shared",
	[DOORBELLS_TRAPPED] = "trapped",
};
static_assert(ARRAY_SIZE(options_doorbell_kinds) == DOORBELLS_COUNT,
	      "every kind of doorbell has a name");

static const char *const options_arrivals[] = {"fixed", "poisson"};

/* What the command line says and struct perf_options does not keep. */
struct options_raw {
	const char *socket;
	const char *uuid;
	const char *root;
	bool mix_given;
	bool arrival_given;
	bool runtime_given;
};

const char *options_pattern_name(enum options_pattern pattern)
{
	return options_patterns[pattern];
}

const char *options_doorbells_name(enum options_doorbells doorbells)
{
	return options_doorbell_kinds[doorbells];
}

bool options_pattern_random(enum options_pattern pattern)
{
	return pattern >= PATTERN_RANDREAD;
}

void options_usage(FILE *out)
{
	fputs("usage: umdev-perf --socket PATH | --uuid UUID [--root DIR] [OPTION]...\n"
	      "       umdev-perf --memcpy [--bs SIZE] [--size SIZE] [--runtime S] [--json]\n"
	      "\n"
	      "  --rw MODE        read, write, rw, randread, randwrite, randrw (randread)\n"
	      "  --mix PERCENT    reads in rw and randrw (50)\n"
	      "  --bs SIZE        bytes of one command (4k)\n"
	      "  --depth N        commands in flight on each queue, 1..1023 (1)\n"
	      "  --queues N       queue pairs, 1..64 (1)\n"
	      "  --entries N      entries of their rings, 2..1024 (1024, or as many as there are)\n"
	      "  --runtime S      seconds to run (10)\n"
	      "  --count N        commands to run, instead of or besides a runtime\n"
	      "  --ramp S         seconds to run before measuring (0)\n"
	      "  --rate N         start so many commands a second, --depth in flight at most\n"
	      "  --arrival KIND   when they come: fixed, poisson (fixed)\n"
	      "  --start-at NS    begin to measure then, in nanoseconds of the monotonic clock\n"
	      "  --offset SIZE    where the used region begins (0)\n"
	      "  --size SIZE      how long it is (to the end of the namespace)\n"
	      "  --seed N         seed of the random numbers (1)\n"
	      "  --poll           spin on the completion queues instead of taking interrupts\n"
	      "  --verify         check every block read against what was last written there\n"
	      "  --mixed          verify with write zeroes, flush, deallocate and varied sizes, too\n"
	      "  --state FILE     keep what was written in FILE, to verify it in a later run\n"
	      "  --doorbells KIND auto, shadow, shared, trapped (auto)\n"
	      "  --sgl            describe data by SGL instead of PRP\n"
	      "  --nsid N         namespace (1)\n"
	      "  --timeout S      give up when nothing completes for so long (30)\n"
	      "  --server-pid PID whose CPU time to report as the server's (found by itself)\n"
	      "  --memcpy         measure copying of random blocks by one core instead\n"
	      "  --json           report as JSON\n"
	      "  --help, --version\n",
	      out);
}

static int options_bad(struct umdev_error *err, const char *name, const char *value,
		       const char *rule)
{
	return error_set_key(err, ERROR_INVALID, name, "--%s %s: must be %s", name, value, rule);
}

/* Seconds with up to nine decimals. */
static int options_seconds(const char *text, uint64_t *ret_ns)
{
	char whole[32];
	const char *dot = strchr(text, '.');
	size_t len = dot ? (size_t)(dot - text) : strlen(text);
	uint64_t seconds;
	uint64_t fraction = 0;
	uint64_t unit = NS_PER_S;

	if (len == 0 || len >= sizeof(whole))
		return -EINVAL;
	memcpy(whole, text, len);
	whole[len] = 0;
	if (parse_u64(whole, &seconds) < 0 || seconds > OPTIONS_SECONDS_MAX)
		return -EINVAL;
	if (dot && (!dot[1] || strlen(dot + 1) > 9))
		return -EINVAL;
	for (const char *p = dot ? dot + 1 : ""; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		unit /= 10;
		fraction += (uint64_t)(*p - '0') * unit;
	}
	*ret_ns = seconds * NS_PER_S + fraction;
	return 0;
}

static int options_range(const char *name, const char *text, uint32_t min, uint32_t max,
			 uint32_t *ret_value, struct umdev_error *err)
{
	uint64_t value;

	if (parse_u64(text, &value) < 0 || value < min || value > max)
		return error_set_key(err, ERROR_INVALID, name, "--%s %s: must be %u to %u", name,
				     text, min, max);
	*ret_value = (uint32_t)value;
	return 0;
}

static int options_word(const char *name, const char *text, const char *const *words,
			unsigned count, unsigned *ret_index, struct umdev_error *err)
{
	char list[128] = "";

	for (unsigned i = 0; i < count; i++) {
		size_t used = strlen(list);

		if (strcmp(text, words[i]) == 0) {
			*ret_index = i;
			return 0;
		}
		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", words[i]);
	}
	return error_set_key(err, ERROR_INVALID, name, "--%s %s: must be one of %s", name, text,
			     list);
}

static bool options_is_uuid(const char *text)
{
	for (unsigned i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return text[36] == 0;
}

static int options_rate(const char *text, double *ret_rate)
{
	uint64_t nano; /* the same notation */
	double rate;

	if (options_seconds(text, &nano) < 0)
		return -EINVAL;
	rate = (double)nano / 1e9;
	if (rate < PACE_RATE_MIN || rate > PACE_RATE_MAX)
		return -EINVAL;
	*ret_rate = rate;
	return 0;
}

/* The amounts. Returns 1 when @id is none of them. */
static int options_amount(struct perf_options *o, int id, const char *name, const char *arg,
			  struct umdev_error *err)
{
	uint64_t bytes;

	switch (id) {
	case OPTION_BS:
		if (parse_bytes(arg, &bytes) < 0 || bytes == 0 || bytes % 512 != 0 ||
		    bytes > OPTIONS_BLOCK_MAX)
			return options_bad(err, name, arg, "a multiple of 512, at most 1M");
		o->block_bytes = (uint32_t)bytes;
		return 0;
	case OPTION_SIZE:
		return parse_bytes(arg, &o->size_bytes) < 0 || o->size_bytes == 0
			       ? options_bad(err, name, arg, "a size such as 512M")
			       : 0;
	case OPTION_OFFSET:
		return parse_bytes(arg, &o->offset_bytes) < 0
			       ? options_bad(err, name, arg, "a size such as 512M")
			       : 0;
	case OPTION_COUNT:
		return parse_u64(arg, &o->count) < 0 || o->count == 0
			       ? options_bad(err, name, arg, "a number of commands above 0")
			       : 0;
	case OPTION_SEED:
		return parse_u64(arg, &o->seed) < 0 ? options_bad(err, name, arg, "a number") : 0;
	case OPTION_RUNTIME:
		return options_seconds(arg, &o->runtime_ns) < 0 || o->runtime_ns == 0
			       ? options_bad(err, name, arg, "seconds above 0")
			       : 0;
	case OPTION_RAMP:
		return options_seconds(arg, &o->ramp_ns) < 0
			       ? options_bad(err, name, arg, "seconds")
			       : 0;
	case OPTION_TIMEOUT:
		return options_seconds(arg, &o->timeout_ns) < 0 || o->timeout_ns == 0
			       ? options_bad(err, name, arg, "seconds above 0")
			       : 0;
	case OPTION_START_AT:
		return parse_u64(arg, &o->start_at_ns) < 0
			       ? options_bad(err, name, arg, "nanoseconds of the monotonic clock")
			       : 0;
	case OPTION_RATE:
		return options_rate(arg, &o->rate) < 0
			       ? options_bad(err, name, arg,
					     "commands a second, 0.001 to 1000000000")
			       : 0;
	default:
		return 1;
	}
}

/* Small numbers, words and switches. */
static int options_choice(struct perf_options *o, int id, const char *name, const char *arg,
			  struct umdev_error *err)
{
	uint32_t value = 0;
	int r = 0;

	switch (id) {
	case OPTION_RW:
		r = options_word(name, arg, options_patterns, PATTERN_COUNT, &value, err);
		o->pattern = value;
		return r;
	case OPTION_DOORBELLS:
		r = options_word(name, arg, options_doorbell_kinds, DOORBELLS_COUNT, &value, err);
		o->doorbells = value;
		return r;
	case OPTION_ARRIVAL:
		r = options_word(name, arg, options_arrivals, ARRAY_SIZE(options_arrivals), &value,
				 err);
		o->poisson = value == 1;
		return r;
	case OPTION_MIX:
		return options_range(name, arg, 0, 100, &o->read_percent, err);
	case OPTION_DEPTH:
		return options_range(name, arg, 1, OPTIONS_DEPTH_MAX, &o->depth, err);
	case OPTION_QUEUES:
		return options_range(name, arg, 1, OPTIONS_QUEUES_MAX, &o->queues, err);
	case OPTION_ENTRIES:
		return options_range(name, arg, 2, OPTIONS_ENTRIES, &o->entries, err);
	case OPTION_NSID:
		return options_range(name, arg, 1, UINT32_MAX - 1, &o->nsid, err);
	case OPTION_SERVER_PID:
		r = options_range(name, arg, 1, INT32_MAX, &value, err);
		o->server_pid = (int32_t)value;
		return r;
	case OPTION_MIXED:
		o->mixed = true;
		o->verify = true;
		return 0;
	case OPTION_VERIFY:
		o->verify = true;
		return 0;
	case OPTION_POLL:
		o->poll = true;
		return 0;
	case OPTION_JSON:
		o->json = true;
		return 0;
	case OPTION_SGL:
		o->sgl = true;
		return 0;
	default:
		o->memcpy_baseline = true;
		return 0;
	}
}

static int options_one(struct perf_options *o, struct options_raw *raw, int id, const char *name,
		       struct umdev_error *err)
{
	const char *arg = optarg;
	int r;

	switch (id) {
	case OPTION_SOCKET:
		raw->socket = arg;
		return 0;
	case OPTION_UUID:
		if (!options_is_uuid(arg))
			return options_bad(err, name, arg, "a UUID");
		raw->uuid = arg;
		return 0;
	case OPTION_ROOT:
		raw->root = arg;
		return 0;
	case OPTION_STATE:
		if (strlen(arg) >= sizeof(o->state_file) || !*arg)
			return options_bad(err, name, arg, "a path");
		snprintf(o->state_file, sizeof(o->state_file), "%s", arg);
		return 0;
	case OPTION_MIX:
		raw->mix_given = true;
		break;
	case OPTION_RUNTIME:
		raw->runtime_given = true;
		break;
	case OPTION_ARRIVAL:
		raw->arrival_given = true;
		break;
	default:
		break;
	}
	r = options_amount(o, id, name, arg, err);
	return r == 1 ? options_choice(o, id, name, arg, err) : r;
}

/* The socket, from whichever way it was named. */
static int options_locate(struct perf_options *o, const struct options_raw *raw,
			  struct umdev_error *err)
{
	char uuid[37];
	const char *root = raw->root ? raw->root : getenv("UMDEV_ROOT");
	int n;

	if (raw->socket && raw->uuid)
		return error_set_key(err, ERROR_INVALID, "socket",
				     "--socket and --uuid name the device twice; give one");
	if (raw->root && !raw->uuid)
		return error_set_key(err, ERROR_INVALID, "root", "--root goes with --uuid");
	if (!raw->socket && !raw->uuid)
		return error_set_key(err, ERROR_INVALID, "socket",
				     "which device? give --uuid UUID or --socket PATH");
	if (raw->socket) {
		n = snprintf(o->socket, sizeof(o->socket), "%s", raw->socket);
	} else {
		for (unsigned i = 0; i < sizeof(uuid); i++)
			uuid[i] = (char)tolower((unsigned char)raw->uuid[i]);
		n = snprintf(o->socket, sizeof(o->socket), "%s/run/umdev/mdevs/%s/vfio-user.sock",
			     root ? root : "", uuid);
	}
	if (n <= 0 || (size_t)n >= sizeof(o->socket))
		return error_set_key(err, ERROR_INVALID, "socket",
				     "the path of the socket is empty or too long");
	return 0;
}

/* Rules that concern more than one option. */
static int options_check(struct perf_options *o, const struct options_raw *raw,
			 struct umdev_error *err)
{
	if (raw->mix_given && o->pattern != PATTERN_RW && o->pattern != PATTERN_RANDRW)
		return error_set_key(err, ERROR_INVALID, "mix",
				     "--mix goes with --rw rw or --rw randrw, not %s",
				     options_pattern_name(o->pattern));
	if (raw->arrival_given && o->rate <= 0)
		return error_set_key(err, ERROR_INVALID, "arrival", "--arrival goes with --rate");
	if (o->entries && o->entries <= o->depth)
		return error_set_key(err, ERROR_INVALID, "entries",
				     "--entries %u: one more than --depth %u is needed", o->entries,
				     o->depth);
	if (o->state_file[0] && !o->verify)
		return error_set_key(err, ERROR_INVALID, "state", "--state goes with --verify");
	if (o->mixed && (o->pattern == PATTERN_READ || o->pattern == PATTERN_RANDREAD))
		return error_set_key(err, ERROR_INVALID, "mixed",
				     "--mixed writes; --rw %s does not go with it",
				     options_pattern_name(o->pattern));
	if (o->verify && !o->state_file[0] &&
	    (o->pattern == PATTERN_READ || o->pattern == PATTERN_RANDREAD))
		return error_set_key(err, ERROR_INVALID, "verify",
				     "--verify --rw %s has nothing to compare with; add --state "
				     "FILE of a run that wrote",
				     options_pattern_name(o->pattern));
	if (!raw->runtime_given && o->count)
		o->runtime_ns = 0;
	if (o->pattern == PATTERN_READ || o->pattern == PATTERN_RANDREAD)
		o->read_percent = 100;
	if (o->pattern == PATTERN_WRITE || o->pattern == PATTERN_RANDWRITE)
		o->read_percent = 0;
	return o->memcpy_baseline ? 0 : options_locate(o, raw, err);
}

int options_parse(int argc, char **argv, struct perf_options *ret_options, struct umdev_error *err)
{
	struct perf_options o = {
		.pattern = PATTERN_RANDREAD,
		.read_percent = 50,
		.block_bytes = 4096,
		.depth = 1,
		.queues = 1,
		.nsid = 1,
		.seed = 1,
		.runtime_ns = OPTIONS_RUNTIME_DEFAULT_NS,
		.timeout_ns = 30 * NS_PER_S,
	};
	struct options_raw raw = {0};
	bool pattern_given = false;
	int index = 0;
	int id;
	int r;

	optind = 0;
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", options_long, &index)) != -1) {
		if (id == ':')
			return error_set(err, ERROR_INVALID, "%s: needs a value", argv[optind - 1]);
		if (id == '?')
			return error_set(err, ERROR_INVALID, "%s: no such option; see --help",
					 argv[optind - 1]);
		if (id == OPTION_HELP)
			return OPTIONS_HELP;
		if (id == OPTION_VERSION)
			return OPTIONS_VERSION;
		pattern_given = pattern_given || id == OPTION_RW;
		r = options_one(&o, &raw, id, options_long[index].name, err);
		if (r < 0)
			return r;
	}
	if (optind < argc)
		return error_set(err, ERROR_INVALID, "%s: takes options only; see --help",
				 argv[optind]);
	if (o.verify && !pattern_given)
		o.pattern = PATTERN_RANDRW;
	r = options_check(&o, &raw, err);
	if (r < 0)
		return r;
	*ret_options = o;
	return 0;
}
