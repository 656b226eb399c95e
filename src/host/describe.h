/* SPDX-License-Identifier: BSD-3-Clause */
/* What a host tells the broker of its driver and its parent. */
#pragma once

#include "host/host.h"

/* The hello: what driver was loaded, and what the host runs in. NULL when out of memory. */
json_t *host_describe_hello(const struct umdev_parent *parent);

/* What a driver declares, and the answer to open. NULL when out of memory. */
json_t *host_describe_driver(const struct host_driver *driver, uint64_t page_size);
json_t *host_describe_parent(const struct umdev_parent *parent);
