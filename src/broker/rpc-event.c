/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods version and event.list. */
#include <umdev/driver.h>
#include <unistd.h>

#include "broker/rpc-mdev.h"

void rpc_version(struct api_call *call)
{
	api_reply(call,
		  json_pack("{s:s,s:s,s:i,s:i,s:s,s:I}", "name", "umdevd", "version", UMDEV_VERSION,
			    "abi", (int)UMDEV_ABI_VERSION, "pid", (int)getpid(), "root",
			    call->broker->config.root, "uid", (json_int_t)call->uid));
}

void rpc_event_list(struct api_call *call)
{
	const struct events *events = &call->broker->events;
	struct umdev_error err = {0};
	char uuid[IDENT_UUID_SIZE];
	bool by_uuid = api_text(call, "uuid") != NULL;

	if (by_uuid && rpc_uuid(call, uuid, false, &err) < 0) {
		api_fail(call, &err);
		return;
	}
	api_reply(call,
		  json_pack("{s:o,s:I}", "events",
			    events_list(events, api_size(call, "since", 0), by_uuid ? uuid : NULL,
					api_size(call, "limit", SIZE_MAX)),
			    "next", (json_int_t)events->next));
}
