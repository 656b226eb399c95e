/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libumdev: talks to umdevd.
 *
 * A blocking client of the daemon's RPC. Parameters, results and events are JSON texts, so that no
 * JSON library stands in this interface; docs/rpc.md lists the methods.
 *
 *	struct umdev_client *client;
 *	char *result;
 *
 *	if (umdev_client_connect(NULL, &client) < 0)
 *		errx(1, "%s", umdev_client_error_message(NULL));
 *	if (umdev_client_call(client, "mdev.list", "{\"all\": true}", &result) < 0)
 *		errx(1, "%s", umdev_client_error_message(client));
 *	puts(result);
 *	umdev_client_free_text(result);
 *	umdev_client_free(client);
 *
 * Threads: a client belongs to one thread at a time; different clients are independent.
 * Errors: functions return 0 or a negative errno. The last failure of a client can be read as a
 * stable word, a line for a person, and the name of the field that is wrong.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMDEV_CLIENT_API __attribute__((visibility("default")))

/* How long umdev_client_call() waits for an answer unless told otherwise. */
#define UMDEV_CLIENT_TIMEOUT_MS 120000

/* One connection. */
struct umdev_client;

/*
 * Connects to the daemon whose files lie below @root. With NULL, the environment variable
 * UMDEV_ROOT names the root, and "/" is it where that is not set. On success *@ret_client is to be
 * freed with umdev_client_free(); on failure it is untouched, and the accessors of the last error
 * take NULL for "the last connect of this thread".
 */
UMDEV_CLIENT_API int umdev_client_connect(const char *root, struct umdev_client **ret_client);

/* Closes the connection. NULL is fine. */
UMDEV_CLIENT_API void umdev_client_free(struct umdev_client *client);

/*
 * Calls @method with the JSON object @params (NULL for none) and waits for the answer. On success
 * the result's JSON text is in *@ret_result (which may be NULL if it is not wanted), to be freed
 * with umdev_client_free_text(). Events that come meanwhile are kept for umdev_client_next_event().
 */
UMDEV_CLIENT_API int umdev_client_call(struct umdev_client *client, const char *method,
				       const char *params, char **ret_result);

/*
 * Waits up to @timeout_ms (negative: without end) for the next event after a call of event.watch.
 * Returns 1 with the event's JSON text in *@ret_event, to be freed with umdev_client_free_text();
 * 0 when none came in time or a signal interrupted the wait; or a negative errno, -ECONNRESET when
 * the daemon closed the connection.
 */
UMDEV_CLIENT_API int umdev_client_next_event(struct umdev_client *client, int32_t timeout_ms,
					     char **ret_event);

/*
 * The socket, readable when an event may have come; stays the client's. After it polled readable,
 * call umdev_client_next_event() with a timeout of 0 until it returns 0.
 */
UMDEV_CLIENT_API int umdev_client_fd(const struct umdev_client *client);

/* Limits how long a call waits for its answer; negative for no limit. */
UMDEV_CLIENT_API void umdev_client_set_timeout(struct umdev_client *client, int32_t timeout_ms);

/* Frees a text that one of the functions above returned. NULL is fine. */
UMDEV_CLIENT_API void umdev_client_free_text(char *text);

/*
 * The last failure: its stable word such as "DEVICE_BUSY", one line for a person, and the name of
 * the parameter or attribute that is wrong, or "". Never NULL; valid until the next call with the
 * same client. NULL for @client: the last umdev_client_connect() of this thread.
 */
UMDEV_CLIENT_API const char *umdev_client_error_word(const struct umdev_client *client);
UMDEV_CLIENT_API const char *umdev_client_error_message(const struct umdev_client *client);
UMDEV_CLIENT_API const char *umdev_client_error_key(const struct umdev_client *client);

#ifdef __cplusplus
}
#endif
