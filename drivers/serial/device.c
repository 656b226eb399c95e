/* SPDX-License-Identifier: BSD-3-Clause */
/* An mdev: made, asked, reset, taken down; its interrupt. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define SERIAL_VENDOR	   0x1b36u
#define SERIAL_SUBVENDOR   0x1af4u
#define SERIAL_SUBSYSTEM   0x1100u
#define SERIAL_CLASS_16550 0x070002u
#define SERIAL_PORT_BYTES  UART_REGISTERS
#define SERIAL_DEVICE_BASE 0x0001u /* 0x0002 has one port, 0x0003 two */

/* A guest that serves an interrupt touches a register at least so often. */
#define SERIAL_SERVICE_NS  1000000u

#define SERIAL_REST_MAX_NS 10000000u

/* ---- Interrupt ---- */

void serial_settle(struct serial_mdev *m)
{
	bool level = false;
	bool changed;

	for (uint32_t i = 0; i < m->port_count; i++)
		level |= !(uart_iir(m->ports[i].st) & UART_IIR_NONE);
	level &= m->service_ns == 0;
	changed = level != m->level || !m->told;
	m->work.interrupts += changed && level;
	/* Who dies in between leaves a successor that tells the level, whatever it is. */
	serial_commit(m);
	if (!changed)
		return;
	m->level = level;
	m->told = true;
	if (level)
		serial_host->irq_raise(m->handle, 0);
	else
		serial_host->irq_lower(m->handle);
}

void serial_irq_served(struct serial_mdev *m, bool more)
{
	uint64_t now_ns = serial_host->now_ns();

	if (more) {
		if (m->service_ns == 0)
			m->served_from_ns = now_ns;
		m->service_ns = now_ns + SERIAL_SERVICE_NS;
	} else if (m->service_ns) {
		m->service_ns = 0;
		serial_rest(m, now_ns);
	}
	uart_idle_arm(m);
}

void serial_rest(struct serial_mdev *m, uint64_t now_ns)
{
	uint64_t rest_ns = (now_ns - m->served_from_ns) / 2;

	m->rest_ns = now_ns + (rest_ns < SERIAL_REST_MAX_NS ? rest_ns : SERIAL_REST_MAX_NS);
}

/* ---- Registers ---- */

static bool serial_access_good(const struct serial_mdev *m, uint32_t bar, uint64_t offset,
			       uint32_t len)
{
	return bar == 0 && len <= sizeof(m->work.access_value) &&
	       offset + len <= m->port_count * SERIAL_PORT_BYTES;
}

/* Carried out already, by a process that died before anybody knew. */
static bool serial_repeated(const struct serial_mdev *m, uint64_t id)
{
	return id != 0 && id == m->work.access_id;
}

static void serial_accessed(struct serial_mdev *m, uint64_t id)
{
	m->work.access_id = id;
	if (m->service_ns)
		m->service_ns = serial_host->now_ns() + SERIAL_SERVICE_NS;
	serial_settle(m);
}

int serial_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct serial_mdev *m = priv;
	uint8_t *bytes = m->work.access_value;
	uint64_t id = serial_host->access_id(m->handle);
	bool repeated = serial_repeated(m, id);

	if (!serial_access_good(m, bar, offset, len))
		return -EINVAL;
	for (uint32_t i = 0; !repeated && i < len; i++) {
		struct serial_port *port = &m->ports[(offset + i) / SERIAL_PORT_BYTES];

		bytes[i] = uart_read(port, (uint32_t)(offset + i) % SERIAL_PORT_BYTES);
	}
	serial_accessed(m, id);
	memcpy(buf, bytes, len);
	return 0;
}

int serial_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf, uint32_t len)
{
	struct serial_mdev *m = priv;
	const uint8_t *bytes = buf;
	uint64_t id = serial_host->access_id(m->handle);
	bool repeated = serial_repeated(m, id);

	if (!serial_access_good(m, bar, offset, len))
		return -EINVAL;
	for (uint32_t i = 0; !repeated && i < len; i++) {
		struct serial_port *port = &m->ports[(offset + i) / SERIAL_PORT_BYTES];

		uart_write(port, (uint32_t)(offset + i) % SERIAL_PORT_BYTES, bytes[i]);
	}
	serial_accessed(m, id);
	return 0;
}

int serial_reset(void *priv, uint32_t kind)
{
	struct serial_mdev *m = priv;

	for (uint32_t i = 0; i < m->port_count; i++) {
		struct serial_port *port = &m->ports[i];

		line_stop(port);
		uart_reset(port->st);
		uart_lines_update(port);
		port->st->msr &= UART_MSR_LINES;
		uart_rx_quiet(port);
		line_update(port); /* it waits for nothing but the end of the peer now */
	}
	/* The host has lowered the line by itself. */
	m->level = false;
	m->told = true;
	m->service_ns = 0;
	m->rest_ns = 0;
	/* Nobody asks again for what was before; and the next client's numbers may be the same. */
	m->work.access_id = 0;
	serial_commit(m);
	return 0;
}

/* ---- Life ---- */

static void serial_describe(const struct serial_mdev *m, struct umdev_device *d)
{
	d->vendor_id = SERIAL_VENDOR;
	d->device_id = (uint16_t)(SERIAL_DEVICE_BASE + m->port_count);
	d->subsystem_vendor_id = SERIAL_SUBVENDOR;
	d->subsystem_id = SERIAL_SUBSYSTEM;
	d->class_code = SERIAL_CLASS_16550;
	d->revision_id = 1;
	d->interrupt_pin = 1;
	d->bars[0].size = m->port_count * SERIAL_PORT_BYTES;
	d->bars[0].flags = UMDEV_BAR_IO;
}

static int serial_init_ports(struct serial_mdev *m, const struct umdev_mdev_args *args)
{
	bool resume = args->state_origin == UMDEV_STATE_RESUME;

	for (uint32_t i = 0; i < m->port_count; i++) {
		struct serial_port *port = &m->ports[i];
		int r;

		port->mdev = m;
		port->index = i;
		port->st = &m->work.ports[i];
		if (!resume)
			uart_reset(port->st);
		r = backend_open(port, args->endpoints[i], resume);
		if (r < 0) {
			while (i-- > 0)
				backend_close(&m->ports[i]);
			serial_host->timer(m->handle, SERIAL_TIMER_LOOK, 0, NULL, NULL);
			return serial_host->fail(-r, "the connection of a port is not to be had");
		}
	}
	if (!resume)
		return 0;
	line_resume(m);
	for (uint32_t i = 0; i < m->port_count; i++)
		uart_resume(&m->ports[i]);
	return 0;
}

/* @m's state was checked. */
static int serial_init(struct serial_mdev *m, const struct umdev_mdev_args *args)
{
	bool resume = args->state_origin == UMDEV_STATE_RESUME;
	int r;

	if (resume)
		m->work = *serial_state_current(m->state);
	m->told = !resume;
	r = carry_open(m, resume);
	if (r < 0)
		return r;
	r = serial_init_ports(m, args);
	if (r < 0)
		carry_close(m);
	return r;
}

int serial_mdev_create(void *parent_priv, struct umdev_mdev *handle,
		       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
		       void **ret_priv)
{
	struct serial_parent *parent = parent_priv;
	uint32_t ports = args->type_index + 1;
	struct serial_mdev *m;
	int r;

	if (args->type_index >= SERIAL_PORTS_MAX || args->endpoint_count != ports)
		return serial_host->fail(EINVAL, "%u endpoints came for a device of %u ports",
					 args->endpoint_count, ports);
	if (args->state_origin == UMDEV_STATE_RESUME) {
		r = serial_state_check(args->state, ports);
		if (r < 0)
			return r;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return serial_host->fail(ENOMEM, "out of memory for a device");
	m->handle = handle;
	m->parent = parent;
	m->state = args->state;
	m->port_count = ports;
	r = serial_init(m, args);
	if (r < 0) {
		free(m);
		return r;
	}
	serial_commit(m);
	serial_describe(m, ret_device);
	m->next = parent->mdevs;
	parent->mdevs = m;
	*ret_priv = m;
	return 0;
}

/* Lets go of everything but the state, which stays as it is. Again it changes nothing. */
static void serial_let_go(struct serial_mdev *m)
{
	struct serial_mdev **at = &m->parent->mdevs;

	for (uint32_t i = 0; i < m->port_count; i++) {
		line_stop(&m->ports[i]);
		backend_close(&m->ports[i]);
	}
	while (*at && *at != m)
		at = &(*at)->next;
	if (*at)
		*at = m->next;
}

int serial_quiesce(void *priv)
{
	struct serial_mdev *m = priv;

	serial_let_go(m);
	for (uint32_t id = 0; id < SERIAL_TIMERS; id++)
		serial_host->timer(m->handle, id, 0, NULL, NULL);
	return 0;
}

void serial_mdev_remove(void *priv)
{
	struct serial_mdev *m = priv;

	serial_let_go(m);
	carry_close(m);
	free(m);
}

void serial_stats_get(void *priv, uint64_t *values)
{
	const struct serial_mdev *m = priv;

	memset(values, 0, SERIAL_STAT_COUNT * sizeof(*values));
	for (uint32_t i = 0; i < m->port_count; i++) {
		const struct serial_state_port *st = m->ports[i].st;

		values[SERIAL_STAT_RX_BYTES] += st->rx_bytes;
		values[SERIAL_STAT_TX_BYTES] += st->tx_bytes;
		values[SERIAL_STAT_LOST_BYTES] += st->lost_bytes;
		values[SERIAL_STAT_OVERRUNS] += st->overruns;
		values[SERIAL_STAT_BREAKS_IN] += st->breaks_in;
		values[SERIAL_STAT_BREAKS_OUT] += st->breaks_out;
		values[SERIAL_STAT_PEERS] += m->ports[i].peer != SERIAL_PEER_NONE;
	}
	values[SERIAL_STAT_INTERRUPTS] = m->work.interrupts;
}
