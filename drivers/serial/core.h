/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the serial driver call of each other.
 *
 * A guest's access ends in uart.c, which knows registers and FIFOs only. line.c moves bursts
 * between FIFOs and backend, each of them a job of the parent's one engine; backend.c knows what is
 * at the other end, and carry.c moves the bytes so that none is lost or doubled when the process
 * dies. state.c is what such a process leaves.
 *
 * Every callback that changes what a guest can see ends in serial_settle().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "port.h"

extern const struct umdev_host_ops *serial_host;

/* ---- parent.c ---- */

/* The callbacks of a parent, whose contract is in umdev/driver.h. */
int serial_parent_open(struct umdev_parent *handle, const struct umdev_parent_args *args,
		       struct umdev_parent_info *ret_info, void **ret_priv);
/* As above. */
void serial_parent_close(void *parent_priv);

/* ---- device.c: the callbacks of an mdev ---- */

int serial_mdev_create(void *parent_priv, struct umdev_mdev *handle,
		       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
		       void **ret_priv);
void serial_mdev_remove(void *priv);
int serial_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len);
int serial_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf, uint32_t len);
int serial_reset(void *priv, uint32_t kind);
int serial_quiesce(void *priv);
void serial_stats_get(void *priv, uint64_t *values);

/*
 * The end of a callback: what it did becomes the current image, and the host is told the level of
 * INTx where it has changed.
 *
 * The line is the OR of the ports, but for this: it is down while the guest serves the interrupt,
 * which is from its reading of the cause until it reads that there is none, or touches no register
 * for a moment. VMMs that emulate the level take any access as the end of an interrupt and ask anew
 * whether it is still there: with the line up, each character read in a handler would be an
 * interrupt more.
 */
void serial_settle(struct serial_mdev *mdev);

/*
 * The guest was told a cause, or that there is none.
 *
 * While it serves, and for half that time after, nothing new moves. On a real line the
 * speed leaves it that time; a handler that finds the next burst there each time it has read one
 * would not end, and what it reads would fill the guest's buffers until they run over.
 */
void serial_irq_served(struct serial_mdev *mdev, bool more);

/* It has served, up to now. */
void serial_rest(struct serial_mdev *mdev, uint64_t now_ns);

/* ---- state.c ---- */

/* 0, or -EBADMSG after saying what is wrong with the state that an earlier process left of a device
 * of so many ports. */
int serial_state_check(const struct serial_state *state, uint32_t ports);

/* The current image of a checked state. */
const struct serial_image *serial_state_current(const struct serial_state *state);

/* Makes what the process works on the current image, in one store. */
void serial_commit(struct serial_mdev *mdev);

/* ---- uart.c: registers and FIFOs ---- */

/* Power-on state; the counters stay. */
void uart_reset(struct serial_state_port *st);

/* Takes up timers from a checked state; interrupts follow with the first look at the backend. */
void uart_resume(struct serial_port *port);

/* An access to register @reg, below UART_REGISTERS, with all that follows from it but the
 * interrupt.
 */
uint8_t uart_read(struct serial_port *port, uint32_t reg);
/* As above. */
void uart_write(struct serial_port *port, uint32_t reg, uint8_t value);

/* The interrupt identification of the moment; UART_IIR_NONE in its low bits: no interrupt. */
uint8_t uart_iir(const struct serial_state_port *st);

/* Characters that the receiver can take. */
uint32_t uart_rx_room(const struct serial_state_port *st);

/* Puts one into the receiver's FIFO; in a full one it is an overrun. */
void uart_rx_push(struct serial_state_port *st, uint8_t byte, uint8_t error);

/* Characters have come in, or were read: the timeout begins anew. */
void uart_rx_changed(struct serial_port *port);

/* No timeout. */
void uart_rx_quiet(struct serial_port *port);

/* Sees to it that the timer comes in time for the ports and for service_ns. */
void uart_idle_arm(struct serial_mdev *mdev);

/* Moves what is in the transmitter's FIFO onto the line, which must be free. */
void uart_tx_shift(struct serial_state_port *st);

/* Peer or loopback have changed: the modem's lines follow. */
void uart_lines_update(struct serial_port *port);

/* ---- line.c ---- */

/* The guest has written a character; or it waits for what it has written to be gone. */
void line_gather(struct serial_port *port);
void line_flush(struct serial_port *port);

/* Looks at what is to be done in both directions, and hands over jobs or waits for the backend. */
void line_update(struct serial_port *port);

/* The callback that begins a burst. */
void serial_job_start(void *priv, struct umdev_job *job);

/* Finishes the transfer that an earlier process had begun. */
void line_resume(struct serial_mdev *mdev);

/* Takes back all jobs of the port. */
void line_stop(struct serial_port *port);

/* ---- backend.c ---- */

/* Takes @endpoint into use, with @resume the peer of an earlier process, too; and out of it.
 * Returns 0 or -errno of kept(), and nothing is in use then. */
int backend_open(struct serial_port *port, int endpoint, bool resume);
void backend_close(struct serial_port *port);

/* Which of POLLIN and POLLOUT the peer is ready for, without waiting. It may turn out to be gone.
 */
short backend_ready(struct serial_port *port, short events);

/* Waits for @events (may be 0) of the peer; only the end of the peer is always waited for. */
void backend_watch(struct serial_port *port, short events);

/* Moves bytes: out of @buf as SERIAL_CARRY_OUT or _BREAK, or into the state's carried[], up to
 * UART_FIFO. Number, 0 when it cannot take or give any now, -EPIPE when the peer is gone. The
 * caller takes them over into its work and calls carry_end(). */
ssize_t backend_read(struct serial_port *port);
ssize_t backend_write(struct serial_port *port, uint32_t carry, const void *buf, uint32_t len);

/* Tells the backend what speed the guest has set. */
void backend_speed(struct serial_port *port);

/* Looks whether anybody is there now, and goes on from that. */
void backend_look(struct serial_port *port);

/* ---- carry.c ---- */

/* Makes the pipe of pseudo terminals, or with @resume finds the one of an earlier process. Returns
 * 0 or what fail() did. */
int carry_open(struct serial_mdev *mdev, bool resume);
void carry_close(struct serial_mdev *mdev);

/* As backend_read() and backend_write(), but for the words: the number, 0 at the end of a socket,
 * or -errno. */
ssize_t carry_in(struct serial_port *port);
ssize_t carry_out(struct serial_port *port, uint32_t carry, const void *buf, uint32_t len);

/* How many bytes the transfer moved that the work says was begun; those that came in are in
 * carried[] then. */
uint32_t carry_moved(struct serial_mdev *mdev);

/* The transfer is over, and the work tells what it led to. */
void carry_end(struct serial_mdev *mdev);
