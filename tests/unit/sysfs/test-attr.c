/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes: every row shows itself in any room, and takes what the kernel would take. */
#include "mirror.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr.h"

struct stage {
	struct tree tree;
	struct subject mdev; /* with its parent and type */
	struct subject parent;
	json_t *answers[7]; /* good ones and such as no daemon gives */
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	static const char *const answers[] = {
		"{'types':[{'id':'nvme-1','available_instances':2,'attributes':{'capacity':'9'}}]}",
		"{'jobs':1,'queued':2,'in_flight':3,'owned_ns':9223372036854775807,'wait_ns':10,"
		"'wait_by_cause_ns':{'cap':1,'turn':2,'priority':3,'engine':4}}",
		"{'types':{'id':'nvme-1'},'jobs':'1','wait_ns':-1,'wait_by_cause_ns':[1]}",
		"{'types':[7,null,{'id':7},{'id':'nvme-1','available_instances':'x',"
		"'attributes':['capacity']}]}",
		"[]",
		"'text'",
	};

	assert_non_null(stage);
	tree_init(&stage->tree);
	stage->parent = (struct subject){.tree = &stage->tree};
	stage->parent.parent = mirror_put_parent(&stage->tree, "store", "nvme", "nvme-1");
	stage->mdev = stage->parent;
	stage->mdev.mdev =
		mirror_put_member(&stage->tree, MIRROR_A, "store", "nvme-1", 7, MIRROR_G);
	stage->mdev.type = stage->mdev.mdev->type;
	stage->mdev.group = stage->mdev.mdev->group;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		stage->answers[i + 1] = mirror_json(answers[i]);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	for (size_t i = 0; i < ARRAY_SIZE(stage->answers); i++)
		json_decref(stage->answers[i]);
	tree_done(&stage->tree);
	free(stage);
	return 0;
}

/* A row by its name; fails the test when there is none. */
static const struct attr *row(const struct subject *s, enum node_kind kind, const char *name,
			      struct attr *made)
{
	uint32_t n = attr_find(s, kind, name);
	const struct attr *attr;

	if (n == 0)
		fail_msg("there is no attribute %s", name);
	attr = attr_of(s, (struct node){kind, n, 0}, made);
	assert_non_null(attr);
	assert_string_equal(attr->name, name);
	return attr;
}

/* ---- Showing --------------------------------------------------------------------------------- */

/* Shows with exactly @size bytes of room; a sanitizer watches the end, and so do we. */
static int show_in(const struct subject *s, const struct attr *attr, const json_t *answer,
		   size_t size)
{
	char *text = malloc(size + 16);
	char *exact = malloc(size);
	int n;

	assert_non_null(text);
	assert_non_null(exact);
	memset(text, 0x5a, size + 16);
	n = attr->show(s, attr, answer, text, size);
	if (n > 0 && (size_t)n > size)
		fail_msg("%s: %d bytes in a room of %zu", attr->name, n, size);
	for (size_t i = size; i < size + 16; i++)
		assert_int_equal(text[i], 0x5a);
	assert_int_equal(attr->show(s, attr, answer, exact, size), n);
	free(exact);
	free(text);
	return n;
}

static void show_row(struct stage *stage, const struct subject *s, const struct attr *attr)
{
	for (size_t a = 0; a < ARRAY_SIZE(stage->answers); a++) {
		int whole = show_in(s, attr, stage->answers[a], ATTR_SIZE);

		for (size_t size = 1; size <= 20; size++) {
			int n = show_in(s, attr, stage->answers[a], size);

			if (n >= 0 && n > whole)
				fail_msg("%s says more in less room", attr->name);
		}
		if (whole < 0 && (whole != -EAGAIN || attr->from != ATTR_FROM_QOS))
			fail_msg("%s: %d", attr->name, whole);
	}
}

static void test_every_row(void **state)
{
	struct stage *stage = *state;
	static const enum node_kind kinds[] = {NODE_PARENT, NODE_TYPE, NODE_MDEV,
					       NODE_MDEV_STANDARD, NODE_MDEV_DRIVER};
	unsigned shown = 0;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		const struct subject *s = kinds[k] == NODE_PARENT ? &stage->parent : &stage->mdev;
		uint32_t count = attr_count(s, kinds[k]);

		for (uint32_t n = 1; n <= count + 3; n++) {
			struct attr made;
			const struct attr *attr = attr_of(s, (struct node){kinds[k], n, 0}, &made);

			if (!attr)
				continue;
			assert_true(n <= count);
			assert_int_equal(attr_find(s, kinds[k], attr->name), n);
			assert_true(S_ISREG(attr->mode) || S_ISLNK(attr->mode));
			/* What can be read can be shown, what can be written stored. */
			assert_int_equal(!!(attr->mode & 0444), attr->show != NULL);
			assert_int_equal(S_ISREG(attr->mode) && attr->mode & 0222,
					 attr->store != NULL);
			assert_int_equal(attr->mode & 0022 && S_ISREG(attr->mode), 0);
			if (!attr->show)
				continue;
			show_row(stage, s, attr);
			shown++;
		}
	}
	assert_true(shown > 40);
}

static void expect_text(const struct subject *s, enum node_kind kind, const char *name,
			const json_t *answer, const char *expected)
{
	char text[ATTR_SIZE];
	struct attr made;
	const struct attr *attr = row(s, kind, name, &made);
	int n = attr->show(s, attr, answer, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void test_texts(void **state)
{
	struct stage *stage = *state;
	const struct subject *m = &stage->mdev;
	const json_t *types = stage->answers[1];
	const json_t *qos = stage->answers[2];
	struct attr made;
	const struct attr *attr = row(m, NODE_MDEV_STANDARD, "jobs", &made);
	char text[16];

	expect_text(m, NODE_TYPE, "name", NULL, "a name\n");
	expect_text(m, NODE_TYPE, "device_api", NULL, "vfio-pci\n");
	expect_text(m, NODE_TYPE, "available_instances", types, "2\n");
	expect_text(m, NODE_TYPE, "available_instances", NULL, "0\n");
	expect_text(m, NODE_TYPE, "max_instances", NULL, "4\n");
	expect_text(m, NODE_TYPE, "requires_group", NULL, "0\n");
	expect_text(m, NODE_TYPE, "group_hotplug", NULL, "1\n");
	expect_text(m, NODE_TYPE, "qos", NULL, "cap weight\n");
	expect_text(m, NODE_TYPE, "capacity", types, "9\n");
	expect_text(m, NODE_TYPE, "capacity", NULL, "1024\n");
	assert_int_equal(attr_find(m, NODE_TYPE, "description"), 0);
	expect_text(m, NODE_MDEV_STANDARD, "weight", NULL, "100\n");
	expect_text(m, NODE_MDEV_STANDARD, "cap", NULL, "\n");
	expect_text(m, NODE_MDEV_STANDARD, "note", NULL, "\n");
	expect_text(m, NODE_MDEV_STANDARD, "socket", NULL, "/run/x.sock\n");
	expect_text(m, NODE_MDEV_STANDARD, "in_use", NULL, "0\n");
	expect_text(m, NODE_MDEV_STANDARD, "owned_ns", qos, "9223372036854775807\n");
	expect_text(m, NODE_MDEV_STANDARD, "wait_turn_ns", qos, "2\n");
	expect_text(m, NODE_MDEV_DRIVER, "queues", NULL, "4\n");
	expect_text(m, NODE_MDEV, "uevent", NULL, "DRIVER=nvme\n");
	expect_text(&stage->parent, NODE_PARENT, "numa_node", NULL, "-1\n");
	/* Numbers that the daemon does not say are not 0. */
	assert_int_equal(attr->show(m, attr, stage->answers[3], text, sizeof(text)), -EAGAIN);
	assert_int_equal(attr->show(m, attr, NULL, text, sizeof(text)), -EAGAIN);
}

/* What libvirt and udev take a parent for. */
static void test_pci_looks(void **state)
{
	struct stage *stage = *state;
	struct subject s = stage->parent;
	unsigned char config[ATTR_SIZE];
	struct attr made;
	const struct attr *attr;

	s.parent = mirror_put_parent(&stage->tree, "0000:86:00.0", "nvme", "nvme-1");
	expect_text(&s, NODE_PARENT, "uevent", NULL,
		    "DRIVER=nvme\nPCI_CLASS=10802\nPCI_ID=1B36:0010\nPCI_SUBSYS_ID=1B36:0010\n"
		    "PCI_SLOT_NAME=0000:86:00.0\n"
		    "MODALIAS=pci:v00001B36d00000010sv00001B36sd00000010bc01sc08i02\n");
	expect_text(&s, NODE_PARENT, "class", NULL, "0x010802\n");
	expect_text(&s, NODE_PARENT, "vendor", NULL, "0x1b36\n");
	expect_text(&s, NODE_PARENT, "subsystem_device", NULL, "0x0010\n");
	expect_text(&s, NODE_PARENT, "revision", NULL, "0x01\n");
	attr = row(&s, NODE_PARENT, "config", &made);
	assert_int_equal(attr->size, 256);
	assert_int_equal(attr->show(&s, attr, NULL, (char *)config, sizeof(config)), 256);
	assert_memory_equal(config, "\x36\x1b\x10\x00\x00\x00\x00\x00\x01\x02\x08\x01", 12);
	assert_memory_equal(config + 0x2c, "\x36\x1b\x10\x00", 4);
	attr = row(&s, NODE_PARENT, "resource", &made);
	assert_int_equal(attr->show(&s, attr, NULL, (char *)config, sizeof(config)), 13 * 57);
}

/* ---- Storing --------------------------------------------------------------------------------- */

/* Stores exactly @len bytes, with the NUL behind them that is promised. */
static int store(const struct subject *s, const struct attr *attr, const char *text, size_t len,
		 struct attr_action *ret_action)
{
	char *exact = malloc(len + 1);
	int r;

	assert_non_null(exact);
	memcpy(exact, text, len);
	exact[len] = '\0';
	memset(ret_action, 0, sizeof(*ret_action));
	r = attr->store(s, attr, exact, len, ret_action);
	free(exact);
	if (r < 0)
		assert_null(ret_action->params);
	return r;
}

#define UPPER "83B8F4F2-509F-382F-3C1E-E6BFE0FA1001"

/* @group: NULL when none is asked for. */
static void expect_create_in(struct stage *stage, const char *text, size_t len, const char *group,
			     int error)
{
	struct attr made;
	const struct attr *attr = row(&stage->mdev, NODE_TYPE, "create", &made);
	struct attr_action action;
	int r = store(&stage->mdev, attr, text, len, &action);

	if (r != error)
		fail_msg("create of %zu bytes '%.80s': %d", len, text, r);
	if (r < 0)
		return;
	assert_int_equal(action.deed, ATTR_DEED_CREATE);
	assert_string_equal(action.method, "mdev.start");
	assert_string_equal(tree_text(action.params, "uuid"), MIRROR_A);
	assert_string_equal(tree_text(action.params, "parent"), "store");
	assert_string_equal(tree_text(action.params, "type"), "nvme-1");
	if (group)
		assert_string_equal(tree_text(action.params, "group"), group);
	assert_int_equal(json_object_size(action.params), group ? 4 : 3);
	json_decref(action.params);
}

static void expect_create(struct stage *stage, const char *text, size_t len, int error)
{
	expect_create_in(stage, text, len, NULL, error);
}

static void test_create(void **state)
{
	struct stage *stage = *state;
	static const char bad[] = "gGzZ/: -_\n\t\x7f\xc3\x00";

	expect_create(stage, MIRROR_A, 35, -EINVAL);
	expect_create(stage, MIRROR_A, 36, 0);
	expect_create(stage, UPPER, 36, 0);
	/* The byte that may follow can be any. */
	for (int c = 0; c < 256; c++) {
		char text[40] = MIRROR_A;

		text[36] = (char)c;
		expect_create(stage, text, 37, 0);
		expect_create(stage, text, 38, -EINVAL);
	}
	expect_create(stage, MIRROR_A "\n\n", 38, -EINVAL);
	expect_create(stage, MIRROR_A ",aggregate=2", 48, -EINVAL);
	expect_create(stage, "", 0, -EINVAL);
	expect_create(stage, "83b8f4f2509f382f3c1ee6bfe0fa10010000", 36, -EINVAL);
	for (size_t at = 0; at < 36; at++) {
		for (size_t i = 0; i < sizeof(bad) - 1; i++) {
			char text[40] = MIRROR_A;

			if (text[at] == bad[i])
				continue;
			text[at] = bad[i];
			expect_create(stage, text, 36, -EINVAL);
			expect_create(stage, text, 37, -EINVAL);
		}
	}
}

/* UUID:GROUP, by the same rules, in 73 or 74 bytes and no other number. */
static void test_create_in_group(void **state)
{
	struct stage *stage = *state;
	static const char bad[] = "gGzZ/: _\n\t\x7f\xc3";
	static const char good[] = MIRROR_A ":" MIRROR_G;

	expect_create_in(stage, good, 73, MIRROR_G, 0);
	expect_create_in(stage, UPPER ":0C5B5BA6-2F0C-4A33-B3C6-3C1EE6BFE0FA", 73, MIRROR_G, 0);
	for (size_t len = 0; len < 80; len++) {
		char text[81] = MIRROR_A ":" MIRROR_G "\n\n\n\n\n\n\n";
		bool alone = len == 36 || len == 37;
		bool group = len == 73 || len == 74;

		expect_create_in(stage, text, len, group ? MIRROR_G : NULL,
				 alone || group ? 0 : -EINVAL);
	}
	for (int c = 0; c < 256; c++) {
		char text[80] = MIRROR_A ":" MIRROR_G;

		text[73] = (char)c;
		expect_create_in(stage, text, 74, MIRROR_G, 0);
		text[36] = (char)c; /* what is between them cannot be anything */
		expect_create_in(stage, text, 73, MIRROR_G, c == ':' ? 0 : -EINVAL);
		expect_create_in(stage, text, 37, NULL, 0);
	}
	for (size_t at = 0; at < 73; at++) {
		for (size_t i = 0; i < sizeof(bad) - 1; i++) {
			char text[80] = MIRROR_A ":" MIRROR_G;

			if (text[at] == bad[i])
				continue;
			text[at] = bad[i];
			expect_create_in(stage, text, 73, NULL, -EINVAL);
			expect_create_in(stage, text, 74, NULL, -EINVAL);
		}
	}
}

/* What is asked for when @text is written into @name of a group; NULL: it is EINVAL. */
static void expect_knob(struct stage *stage, const char *name, const char *text, const char *want)
{
	struct subject s = {.tree = &stage->tree, .group = stage->mdev.group};
	struct attr made;
	const struct attr *attr = row(&s, NODE_GROUP, name, &made);
	struct attr_action action;
	int r = store(&s, attr, text, strlen(text), &action);
	char *params;

	if (!want) {
		assert_int_equal(r, -EINVAL);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(action.deed, ATTR_DEED_SET);
	assert_string_equal(action.method, "group.qos");
	params = json_dumps(action.params, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(params, want);
	free(params);
	json_decref(action.params);
}

static void test_group(void **state)
{
	struct stage *stage = *state;
	static const char *const names[] = {"cap", "weight", "scope", "state"};
	static const char *const texts[] = {"12.5\n", "300\n", "driver\n", "in-use\n"};
	json_t *answer = mirror_json("{'groups':[{'group':'" MIRROR_G "','cap':12.5,'weight':300,"
				     "'scope':'driver','state':'in-use'}]}");
	json_t *none = mirror_json("{'groups':[]}");
	struct subject s = {.tree = &stage->tree, .group = stage->mdev.group};
	struct attr made;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct attr *attr = row(&s, NODE_GROUP, names[i], &made);
		char text[64] = "";

		assert_int_equal(attr->from, ATTR_FROM_GROUP);
		assert_int_equal(attr->show(&s, attr, answer, text, sizeof(text)),
				 strlen(texts[i]));
		assert_string_equal(text, texts[i]);
		assert_int_equal(attr->show(&s, attr, none, text, sizeof(text)), -ENODEV);
		assert_int_equal(attr->show(&s, attr, NULL, text, sizeof(text)), -ENODEV);
	}
	json_decref(answer);
	json_decref(none);
	expect_knob(stage, "cap", "12.5\n", "{\"cap\":12.5,\"group\":\"" MIRROR_G "\"}");
	expect_knob(stage, "cap", "100", "{\"cap\":100,\"group\":\"" MIRROR_G "\"}");
	expect_knob(stage, "cap", "12.555", NULL);
	expect_knob(stage, "cap", "", NULL);
	expect_knob(stage, "cap", "-1", NULL);
	expect_knob(stage, "weight", "300\n", "{\"group\":\"" MIRROR_G "\",\"weight\":300}");
	expect_knob(stage, "weight", "3.5", NULL);
	expect_knob(stage, "weight", "300\n\n", NULL);
	expect_knob(stage, "weight", "18446744073709551615", NULL);
	expect_knob(stage, "weight", "1111111111111111111111111111111111111111111", NULL);
}

/* @deed: what shall come of it, or a negative errno. */
static void expect_remove(struct stage *stage, const char *text, size_t len, int deed)
{
	struct attr made;
	const struct attr *attr = row(&stage->mdev, NODE_MDEV, "remove", &made);
	struct attr_action action;
	int r = store(&stage->mdev, attr, text, len, &action);

	if (r < 0 ? r != deed : (int)action.deed != deed)
		fail_msg("remove '%s': %d, deed %d", text, r, (int)action.deed);
	if (r == 0 && deed == ATTR_DEED_REMOVE) {
		assert_string_equal(action.method, "mdev.stop");
		assert_string_equal(tree_text(action.params, "uuid"), MIRROR_A);
		assert_int_equal(json_object_size(action.params), 1); /* above all no force */
	}
	json_decref(action.params);
}

static void test_remove(void **state)
{
	struct stage *stage = *state;
	static const char *const zero[] = {"0", "0\n", "00", "0x0", "+0\n"};
	static const char *const good[] = {"1",
					   "1\n",
					   "0x1",
					   "0X1f\n",
					   "01",
					   "+1",
					   "07",
					   "10",
					   "18446744073709551615",
					   "0xffffffffffffffff"};
	/* As kstrtoul() says, of which remove makes EINVAL whatever the reason. */
	static const char *const bad[] = {"",
					  "\n",
					  "-1",
					  "-0",
					  "- 1",
					  "+",
					  "-",
					  "+-1",
					  " 1",
					  "1 ",
					  "1\n\n",
					  "1\n1",
					  "\n1",
					  "0x",
					  "0x\n",
					  "08",
					  "0xg",
					  "1x",
					  "x",
					  "yes",
					  "1.0",
					  "1\r\n",
					  "18446744073709551616",
					  "0x10000000000000000",
					  "99999999999999999999999"};

	for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
		expect_remove(stage, zero[i], strlen(zero[i]), ATTR_DEED_NOTHING);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		expect_remove(stage, good[i], strlen(good[i]), ATTR_DEED_REMOVE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_remove(stage, bad[i], strlen(bad[i]), -EINVAL);
	expect_remove(stage, "1\0", 2, -EINVAL);
	expect_remove(stage, "\0001", 2, -EINVAL);
	/* Whoever comes second has nothing left to do, but must still write a number. */
	stage->mdev.mdev->removing = true;
	expect_remove(stage, "1", 1, ATTR_DEED_NOTHING);
	expect_remove(stage, "x", 1, -EINVAL);
}

static void expect_stored(struct stage *stage, const char *text, size_t len, const char *value,
			  size_t value_len)
{
	struct attr made;
	const struct attr *attr = row(&stage->mdev, NODE_MDEV_DRIVER, "queues", &made);
	struct attr_action action;
	int r = store(&stage->mdev, attr, text, len, &action);

	if (!value) {
		assert_int_equal(r, -EINVAL);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(action.deed, ATTR_DEED_SET);
	assert_string_equal(action.method, "mdev.set");
	assert_string_equal(tree_text(action.params, "uuid"), MIRROR_A);
	assert_string_equal(tree_text(action.params, "name"), "nvme/queues");
	assert_int_equal(json_string_length(json_object_get(action.params, "value")), value_len);
	assert_memory_equal(tree_text(action.params, "value"), value, value_len);
	json_decref(action.params);
}

static void test_values(void **state)
{
	struct stage *stage = *state;
	static char large[ATTR_SIZE];

	expect_stored(stage, "8", 1, "8", 1);
	expect_stored(stage, "8\n", 2, "8", 1);
	expect_stored(stage, "8\n\n", 3, "8\n", 2);
	expect_stored(stage, "", 0, "", 0);
	expect_stored(stage, "\n", 1, "", 0);
	expect_stored(stage, " 8 ", 3, " 8 ", 3);
	expect_stored(stage, "\"\\{", 3, "\"\\{", 3);
	expect_stored(stage, "\xc3\xa4", 2, "\xc3\xa4", 2);
	memset(large, 'v', sizeof(large));
	expect_stored(stage, large, sizeof(large), large, sizeof(large));
	large[sizeof(large) - 1] = '\n';
	expect_stored(stage, large, sizeof(large), large, sizeof(large) - 1);
	expect_stored(stage, "8\0", 2, NULL, 0);
	expect_stored(stage, "\0", 1, NULL, 0);
	expect_stored(stage, "8\0\n", 3, NULL, 0);
	large[100] = '\0';
	expect_stored(stage, large, sizeof(large), NULL, 0);
	expect_stored(stage, "\xff", 1, NULL, 0);
	expect_stored(stage, "a\xc3", 2, NULL, 0);
	expect_stored(stage, "\xed\xa0\x80", 3, NULL, 0); /* half of a pair */
	expect_stored(stage, "\xc0\x80", 2, NULL, 0);	  /* a NUL in disguise */
}

static void test_uevent_words(void **state)
{
	struct stage *stage = *state;
	static const char *const words[] = {"add",    "remove",	 "change", "move",
					    "online", "offline", "bind",   "unbind"};
	static const char *const bad[] = {"",	  "\n",	  "ad",	     "add2",  "ADD",
					  " add", "add ", "add\n\n", "add 1", "MDEV_STATE=x"};
	const struct subject *const both[] = {&stage->mdev, &stage->parent};

	for (size_t b = 0; b < ARRAY_SIZE(both); b++) {
		enum node_kind kind = b == 0 ? NODE_MDEV : NODE_PARENT;
		struct attr made;
		const struct attr *attr = row(both[b], kind, "uevent", &made);
		struct attr_action action;

		for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
			char line[16];
			size_t len = (size_t)snprintf(line, sizeof(line), "%s\n", words[i]);

			for (size_t less = 0; less < 2; less++) {
				assert_int_equal(store(both[b], attr, line, len - less, &action),
						 0);
				assert_int_equal(action.deed, ATTR_DEED_UEVENT);
				assert_string_equal(action.word, words[i]);
				assert_null(action.method);
			}
		}
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			assert_int_equal(store(both[b], attr, bad[i], strlen(bad[i]), &action),
					 -EINVAL);
		assert_int_equal(store(both[b], attr, "add\0", 4, &action), -EINVAL);
	}
}

/* ---- Errors ---------------------------------------------------------------------------------- */

/* Every word of the daemon, and what a writer gets. */
static void test_errno(void **state)
{
	static const int expected[] = {
		[ERROR_INTERNAL] = EIO,	       [ERROR_NO_MEMORY] = ENOMEM,
		[ERROR_INVALID] = EINVAL,      [ERROR_NOT_FOUND] = ENODEV,
		[ERROR_EXISTS] = EEXIST,       [ERROR_UNKNOWN_DRIVER] = ENOENT,
		[ERROR_UNKNOWN_TYPE] = ENODEV, [ERROR_UNKNOWN_METHOD] = ENOSYS,
		[ERROR_NO_INSTANCES] = EUSERS, [ERROR_NO_SPACE] = ENOSPC,
		[ERROR_NO_PARENT] = ENODEV,    [ERROR_DEVICE_BUSY] = EBUSY,
		[ERROR_NOT_ACTIVE] = ENODEV,   [ERROR_NOT_DEFINED] = ENODEV,
		[ERROR_NOT_PERMITTED] = EPERM, [ERROR_LOCKED] = EBUSY,
		[ERROR_READ_ONLY] = EROFS,     [ERROR_TYPE_MISMATCH] = EINVAL,
		[ERROR_DRIVER_FAILED] = EIO,   [ERROR_HOST_FAILED] = EIO,
		[ERROR_LIMIT] = EDQUOT,	       [ERROR_TIMEOUT] = ETIMEDOUT,
		[ERROR_UNREACHABLE] = ENODEV,  [ERROR_NO_SHARE] = ENOSPC,
	};
	static const enum attr_deed deeds[] = {ATTR_DEED_NOTHING, ATTR_DEED_CREATE,
					       ATTR_DEED_REMOVE, ATTR_DEED_SET};
	struct umdev_error busy = {.word = ERROR_DEVICE_BUSY, .key = "group"};

	(void)state;
	assert_int_equal(ARRAY_SIZE(expected), ERROR_WORD_COUNT);
	assert_int_equal(attr_errno(ATTR_DEED_CREATE, &busy), -EBUSY); /* the UUID is not taken */
	for (size_t d = 0; d < ARRAY_SIZE(deeds); d++) {
		for (enum error_word word = ERROR_INTERNAL; word < ERROR_WORD_COUNT; word++) {
			int error = expected[word];

			if (deeds[d] == ATTR_DEED_CREATE && word == ERROR_DEVICE_BUSY)
				error = EEXIST;
			struct umdev_error err = {.word = word};

			if (attr_errno(deeds[d], &err) != -error)
				fail_msg("deed %d, %s: %d", (int)deeds[d], error_word_name(word),
					 attr_errno(deeds[d], &err));
		}
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_every_row),	    WITH(test_texts),
		WITH(test_pci_looks),	    WITH(test_create),
		WITH(test_create_in_group), WITH(test_group),
		WITH(test_remove),	    WITH(test_values),
		WITH(test_uevent_words),    cmocka_unit_test(test_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
