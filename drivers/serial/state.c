/* SPDX-License-Identifier: BSD-3-Clause */
/* The state page: what a process leaves, and what its successor believes of it. */
#include <errno.h>

#include "core.h"

/* Two items for each character of a burst. */
#define STATE_CARRY_MAX (2 * UART_FIFO)

void serial_commit(struct serial_mdev *m)
{
	uint32_t next = !(m->state->current & 1);

	m->state->images[next] = m->work;
	/* Pairs with the end of this process, before which no other looks. */
	__atomic_store_n(&m->state->current, next, __ATOMIC_RELEASE);
}

const struct serial_image *serial_state_current(const struct serial_state *state)
{
	return &state->images[state->current & 1];
}

static bool state_port_good(const struct serial_state_port *st)
{
	bool bounded = !(st->ier & ~UART_IER_MASK) && !(st->mcr & ~UART_MCR_MASK) &&
		       !(st->fcr & ~UART_FCR_KEPT) && !(st->overrun & ~UART_LSR_OE) &&
		       !(st->pending & ~(SERIAL_PENDING_THRE | SERIAL_PENDING_TIMEOUT)) &&
		       st->rx_head < UART_FIFO && st->rx_count <= UART_FIFO &&
		       st->tx_head < UART_FIFO && st->tx_count <= UART_FIFO &&
		       st->tx_written <= 2 && st->break_queued <= 1 &&
		       st->rx_wire_count <= UART_FIFO && st->tx_wire_count <= UART_FIFO &&
		       st->mark <= SERIAL_MARK_ZERO;

	for (uint32_t i = 0; i < UART_FIFO; i++)
		bounded &= !((st->rx_error[i] | st->rx_wire_error[i]) & ~UART_LSR_ERROR);
	if (!(st->fcr & UART_FCR_ENABLE))
		bounded &= st->rx_count <= 1 && st->tx_count <= 1;
	return bounded;
}

/* Whether the transfer can have begun in that state. */
static bool state_carry_good(const struct serial_image *image, uint32_t ports)
{
	const struct serial_state_port *st = &image->ports[image->carry_port % SERIAL_PORTS_MAX];

	if (image->carry_port >= ports)
		return false;
	switch (image->carry) {
	case SERIAL_CARRY_NONE:
		return true;
	case SERIAL_CARRY_OUT:
		return st->tx_wire_count > 0 && image->carry_count <= STATE_CARRY_MAX;
	case SERIAL_CARRY_BREAK:
		return st->break_queued && st->tx_written + image->carry_count <= 3;
	case SERIAL_CARRY_IN:
	case SERIAL_CARRY_PULL:
		return st->rx_wire_count == 0 && image->carry_count <= UART_FIFO;
	default:
		return false;
	}
}

int serial_state_check(const struct serial_state *state, uint32_t ports)
{
	const struct serial_image *image = serial_state_current(state);

	for (uint32_t i = 0; i < SERIAL_PORTS_MAX; i++) {
		if (!state_port_good(&image->ports[i]))
			return serial_host->fail(EBADMSG,
						 "the saved state of port %u is damaged; stop and "
						 "start the device",
						 i);
	}
	if (state->current > 1 || !state_carry_good(image, ports))
		return serial_host->fail(EBADMSG,
					 "the saved state of the line is damaged; stop and start "
					 "the device");
	return 0;
}
