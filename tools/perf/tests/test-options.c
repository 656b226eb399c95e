/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of umdev-perf: what is understood, and how each mistake is named. */
#include "options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID "4b20d080-1b54-4048-85b3-a6a62d165c01"

/* Splits @line at blanks and parses it. */
static int parse(const char *line, struct perf_options *o, struct umdev_error *err)
{
	char copy[512];
	char *argv[40] = {(char *)(uintptr_t) "umdev-perf"};
	int argc = 1;
	char *save = NULL;

	memset(err, 0, sizeof(*err));
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return options_parse(argc, argv, o, err);
}

static void test_defaults(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	assert_int_equal(parse("--socket /tmp/s", &o, &err), 0);
	assert_string_equal(o.socket, "/tmp/s");
	assert_int_equal(o.pattern, PATTERN_RANDREAD);
	assert_int_equal(o.read_percent, 100);
	assert_int_equal(o.block_bytes, 4096);
	assert_int_equal(o.depth, 1);
	assert_int_equal(o.queues, 1);
	assert_int_equal(o.nsid, 1);
	assert_int_equal(o.runtime_ns, 10000000000ULL);
	assert_int_equal(o.count, 0);
	assert_int_equal(o.doorbells, DOORBELLS_AUTO);
	assert_int_equal(o.start_at_ns, 0);
	assert_true(o.rate >= 0 && o.rate <= 0);
	assert_false(o.poisson);
	assert_false(o.poll || o.json || o.verify || o.mixed || o.sgl || o.memcpy_baseline);
}

static void test_everything(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	assert_int_equal(
		parse("--socket=/s --rw rw --mix 70 --bs 128k --depth 1023 --queues 64 "
		      "--entries 1024 --runtime 2.5 --count 7 --size 1G --offset 1M --seed 0x10 --poll "
		      "--ramp 0.25 --json --doorbells trapped --sgl --nsid 2 --timeout 3 "
		      "--server-pid 42",
		      &o, &err),
		0);
	assert_int_equal(o.pattern, PATTERN_RW);
	assert_int_equal(o.read_percent, 70);
	assert_int_equal(o.block_bytes, 131072);
	assert_int_equal(o.depth, 1023);
	assert_int_equal(o.queues, 64);
	assert_int_equal(o.entries, 1024);
	assert_int_equal(o.runtime_ns, 2500000000ULL);
	assert_int_equal(o.count, 7);
	assert_int_equal(o.size_bytes, 1ULL << 30);
	assert_int_equal(o.offset_bytes, 1ULL << 20);
	assert_int_equal(o.seed, 16);
	assert_int_equal(o.ramp_ns, 250000000);
	assert_int_equal(o.timeout_ns, 3000000000ULL);
	assert_int_equal(o.doorbells, DOORBELLS_TRAPPED);
	assert_int_equal(o.nsid, 2);
	assert_int_equal(o.server_pid, 42);
	assert_true(o.poll && o.json && o.sgl);
}

static void test_location(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	unsetenv("UMDEV_ROOT");
	assert_int_equal(parse("--uuid " UUID, &o, &err), 0);
	assert_string_equal(o.socket, "/run/umdev/mdevs/" UUID "/vfio-user.sock");
	assert_int_equal(parse("--uuid 4B20D080-1b54-4048-85B3-A6A62D165C01 --root /r", &o, &err),
			 0);
	assert_string_equal(o.socket, "/r/run/umdev/mdevs/" UUID "/vfio-user.sock");
	setenv("UMDEV_ROOT", "/elsewhere", 1);
	assert_int_equal(parse("--uuid " UUID, &o, &err), 0);
	assert_string_equal(o.socket, "/elsewhere/run/umdev/mdevs/" UUID "/vfio-user.sock");
	assert_int_equal(parse("--socket /s", &o, &err), 0);
	assert_string_equal(o.socket, "/s");
	unsetenv("UMDEV_ROOT");
}

static void test_runtime_and_count(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	assert_int_equal(parse("--socket /s --count 100", &o, &err), 0);
	assert_int_equal(o.count, 100);
	assert_int_equal(o.runtime_ns, 0);
	assert_int_equal(parse("--socket /s --count 100 --runtime 1", &o, &err), 0);
	assert_int_equal(o.runtime_ns, 1000000000);
}

static void test_rate(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	assert_int_equal(parse("--socket /s --rate 250", &o, &err), 0);
	assert_true(o.rate > 249.999 && o.rate < 250.001);
	assert_false(o.poisson);
	assert_int_equal(parse("--socket /s --rate 0.001 --arrival poisson", &o, &err), 0);
	assert_true(o.rate > 0.00099 && o.rate < 0.00101);
	assert_true(o.poisson);
	assert_int_equal(parse("--socket /s --arrival fixed --rate 1000000000", &o, &err), 0);
	assert_true(o.rate > 999999999 && o.rate < 1000000001);
	assert_false(o.poisson);
	assert_int_equal(parse("--socket /s --start-at 18446744073709551615", &o, &err), 0);
	assert_int_equal(o.start_at_ns, UINT64_MAX);
}

static void test_verify(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	assert_int_equal(parse("--socket /s --mixed", &o, &err), 0);
	assert_true(o.verify && o.mixed);
	assert_int_equal(o.pattern, PATTERN_RANDRW);
	assert_int_equal(o.read_percent, 50);
	assert_int_equal(parse("--socket /s --verify --rw write", &o, &err), 0);
	assert_int_equal(o.pattern, PATTERN_WRITE);
	assert_int_equal(o.read_percent, 0);
	assert_int_equal(parse("--socket /s --verify --rw read --state /f", &o, &err), 0);
	assert_string_equal(o.state_file, "/f");
}

static void test_help_and_memcpy(void **state)
{
	struct perf_options o;
	struct umdev_error err;

	assert_int_equal(parse("--help", &o, &err), OPTIONS_HELP);
	assert_int_equal(parse("--bs 1k --version", &o, &err), OPTIONS_VERSION);
	assert_int_equal(parse("--memcpy --bs 8k", &o, &err), 0);
	assert_true(o.memcpy_baseline);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *line;
		const char *key;
		const char *message;
	} mistakes[] = {
		{"", "socket", "which device? give --uuid UUID or --socket PATH"},
		{"--socket /s --uuid " UUID, "socket",
		 "--socket and --uuid name the device twice; give one"},
		{"--socket /s --root /r", "root", "--root goes with --uuid"},
		{"--uuid 4b20d080", "uuid", "--uuid 4b20d080: must be a UUID"},
		{"--uuid " UUID "0", "uuid", "--uuid " UUID "0: must be a UUID"},
		{"--socket /s --rw reed", "rw",
		 "--rw reed: must be one of read, write, rw, randread, randwrite, randrw"},
		{"--socket /s --doorbells x", "doorbells",
		 "--doorbells x: must be one of auto, shadow, shared, trapped"},
		{"--socket /s --bs 1000", "bs", "--bs 1000: must be a multiple of 512, at most 1M"},
		{"--socket /s --bs 2M", "bs", "--bs 2M: must be a multiple of 512, at most 1M"},
		{"--socket /s --bs 0", "bs", "--bs 0: must be a multiple of 512, at most 1M"},
		{"--socket /s --depth 0", "depth", "--depth 0: must be 1 to 1023"},
		{"--socket /s --depth 1024", "depth", "--depth 1024: must be 1 to 1023"},
		{"--socket /s --depth 1x", "depth", "--depth 1x: must be 1 to 1023"},
		{"--socket /s --queues 65", "queues", "--queues 65: must be 1 to 64"},
		{"--socket /s --entries 1025", "entries", "--entries 1025: must be 2 to 1024"},
		{"--socket /s --entries 32 --depth 32", "entries",
		 "--entries 32: one more than --depth 32 is needed"},
		{"--socket /s --mix 101 --rw rw", "mix", "--mix 101: must be 0 to 100"},
		{"--socket /s --mix 50", "mix",
		 "--mix goes with --rw rw or --rw randrw, not randread"},
		{"--socket /s --runtime 0", "runtime", "--runtime 0: must be seconds above 0"},
		{"--socket /s --runtime -1", "runtime", "--runtime -1: must be seconds above 0"},
		{"--socket /s --runtime 1.", "runtime", "--runtime 1.: must be seconds above 0"},
		{"--socket /s --ramp x", "ramp", "--ramp x: must be seconds"},
		{"--socket /s --count 0", "count",
		 "--count 0: must be a number of commands above 0"},
		{"--socket /s --mixed --rw read", "mixed",
		 "--mixed writes; --rw read does not go with it"},
		{"--socket /s --verify --rw randread", "verify",
		 "--verify --rw randread has nothing to compare with; add --state FILE of a run "
		 "that wrote"},
		{"--socket /s --rate 0", "rate",
		 "--rate 0: must be commands a second, 0.001 to 1000000000"},
		{"--socket /s --rate 0.000999999", "rate",
		 "--rate 0.000999999: must be commands a second, 0.001 to 1000000000"},
		{"--socket /s --rate 1000000000.1", "rate",
		 "--rate 1000000000.1: must be commands a second, 0.001 to 1000000000"},
		{"--socket /s --rate -5", "rate",
		 "--rate -5: must be commands a second, 0.001 to 1000000000"},
		{"--socket /s --rate 5 --arrival uniform", "arrival",
		 "--arrival uniform: must be one of fixed, poisson"},
		{"--socket /s --arrival poisson", "arrival", "--arrival goes with --rate"},
		{"--socket /s --start-at 1.5", "start-at",
		 "--start-at 1.5: must be nanoseconds of the monotonic clock"},
		{"--socket /s --state /f", "state", "--state goes with --verify"},
		{"--socket /s now", "", "now: takes options only; see --help"},
		{"--socket", "", "--socket: needs a value"},
		{"--sockets /s", "", "--sockets: no such option; see --help"},
	};
	struct perf_options o;
	struct umdev_error err;

	for (unsigned i = 0; i < ARRAY_SIZE(mistakes); i++) {
		print_message("%s\n", mistakes[i].line);
		assert_int_equal(parse(mistakes[i].line, &o, &err), -EINVAL);
		assert_string_equal(err.message, mistakes[i].message);
		assert_string_equal(err.key, mistakes[i].key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_location),
		cmocka_unit_test(test_runtime_and_count),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_help_and_memcpy),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
