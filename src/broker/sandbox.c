/* SPDX-License-Identifier: BSD-3-Clause */
/* What hosts say of their sandboxes. See sandbox.h. */
#include "broker/sandbox.h"

#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/ident.h"

#define SANDBOX_NOBODY	 65534 /* whom the kernel shows where a user is not known */
#define SANDBOX_WORD_MAX 32
#define SANDBOX_ROWS_MAX 256

void sandbox_find_user(char text[SANDBOX_USER_TEXT])
{
	const struct passwd *user;

	text[0] = '\0';
	if (geteuid() != 0)
		return;
	user = getpwnam(SANDBOX_USER);
	snprintf(text, SANDBOX_USER_TEXT, "%u:%u", user ? user->pw_uid : SANDBOX_NOBODY,
		 user ? user->pw_gid : SANDBOX_NOBODY);
}

static bool sandbox_needs_ok(json_t *needs)
{
	json_t *need;
	size_t i;

	if (!json_is_array(needs) || json_array_size(needs) > SANDBOX_ROWS_MAX)
		return false;
	json_array_foreach (needs, i, need) {
		if (!ident_line_ok(json_string_value(json_object_get(need, "name")),
				   SANDBOX_WORD_MAX) ||
		    !ident_line_ok(json_string_value(json_object_get(need, "reason")),
				   IDENT_TEXT_MAX))
			return false;
	}
	return true;
}

static bool sandbox_missing_ok(json_t *missing)
{
	json_t *text;
	size_t i;

	if (!json_is_array(missing) || json_array_size(missing) > SANDBOX_ROWS_MAX)
		return false;
	json_array_foreach (missing, i, text) {
		if (!ident_line_ok(json_string_value(text), IDENT_TEXT_MAX))
			return false;
	}
	return true;
}

json_t *sandbox_take(json_t *hello, const char *driver, struct umdev_error *err)
{
	static const char *const words[] = {"filesystem", "network", "capabilities", "seccomp"};
	json_t *said = json_object_get(hello, "sandbox");
	json_t *user = json_object_get(said, "user");
	bool ok = json_is_integer(user) && json_integer_value(user) >= 0 &&
		  json_integer_value(user) <= UINT32_MAX &&
		  sandbox_needs_ok(json_object_get(said, "needs")) &&
		  sandbox_missing_ok(json_object_get(said, "missing"));
	json_t *taken;

	if (!said)
		return json_null();
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		ok = ok && ident_line_ok(json_string_value(json_object_get(said, words[i])),
					 SANDBOX_WORD_MAX);
	if (!ok) {
		error_set(err, ERROR_DRIVER_FAILED,
			  "the host with driver %s says something malformed of its sandbox",
			  driver);
		return NULL;
	}
	taken = json_pack("{s:O}", "user", user);
	for (size_t i = 0; taken && i < ARRAY_SIZE(words); i++)
		json_object_set(taken, words[i], json_object_get(said, words[i]));
	json_object_set_new(taken, "user_namespace",
			    json_boolean(json_is_true(json_object_get(said, "user_namespace"))));
	json_object_set(taken, "needs", json_object_get(said, "needs"));
	json_object_set(taken, "missing", json_object_get(said, "missing"));
	if (!taken)
		error_set(err, ERROR_NO_MEMORY, "out of memory");
	return taken;
}

void sandbox_describe(const json_t *sandbox, char *text, size_t size)
{
	json_t *missing = json_object_get(sandbox, "missing");
	json_t *each;
	size_t i;
	int n = snprintf(text, size,
			 "user %lld, filesystem %s, network %s, capabilities %s, "
			 "seccomp %s",
			 (long long)json_integer_value(json_object_get(sandbox, "user")),
			 json_string_value(json_object_get(sandbox, "filesystem")),
			 json_string_value(json_object_get(sandbox, "network")),
			 json_string_value(json_object_get(sandbox, "capabilities")),
			 json_string_value(json_object_get(sandbox, "seccomp")));

	json_array_foreach (missing, i, each) {
		if (n < 0 || (size_t)n >= size)
			return;
		n += snprintf(text + n, size - (size_t)n, "%s%s",
			      i ? "; " : "; not allowed: ", json_string_value(each));
	}
}

uid_t sandbox_client_uid(const json_t *sandbox, pid_t pid, uid_t uid)
{
	struct stat st;
	char path[32];

	if (uid != SANDBOX_NOBODY || pid <= 0 ||
	    !json_is_true(json_object_get(sandbox, "user_namespace")))
		return uid;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return stat(path, &st) == 0 ? st.st_uid : uid;
}
