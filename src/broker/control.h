/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: the RPC's methods bound to the broker's handlers. */
#pragma once

#include "broker/broker.h"
#include "rpc/server.h"

struct control {
	struct broker *broker;
	struct rpc_server *server;
	int listen_fd;
};

/* Listens on run/umdev/control.sock (mode 0660) below the broker's root and serves it; events are
 * published to those who watch. Ended by control_close(). */
int control_open(struct control *control, struct broker *broker,
		 struct umdev_error *err) umdev_warn_unused;

/* Closes all connections and removes the socket. Safe on one that was not opened. */
void control_close(struct control *control);
