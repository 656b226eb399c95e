/* SPDX-License-Identifier: BSD-3-Clause */
/* What the 16550A's data sheet defines and this driver uses. */
#pragma once

#define UART_FIFO 16u

/* Registers of a port: eight bytes. */
#define UART_RBR	  0u /* read; DLAB: DLL */
#define UART_THR	  0u /* write; DLAB: DLL */
#define UART_IER	  1u /* DLAB: DLM */
#define UART_IIR	  2u /* read */
#define UART_FCR	  2u /* write */
#define UART_LCR	  3u
#define UART_MCR	  4u
#define UART_LSR	  5u
#define UART_MSR	  6u
#define UART_SCR	  7u
#define UART_REGISTERS	  8u

#define UART_IER_RDI	  0x01u
#define UART_IER_THRI	  0x02u
#define UART_IER_RLSI	  0x04u
#define UART_IER_MSI	  0x08u
#define UART_IER_MASK	  0x0fu

#define UART_IIR_NONE	  0x01u
#define UART_IIR_MSI	  0x00u
#define UART_IIR_THRI	  0x02u
#define UART_IIR_RDI	  0x04u
#define UART_IIR_RLSI	  0x06u
#define UART_IIR_TIMEOUT  0x0cu
#define UART_IIR_FIFO	  0xc0u

#define UART_FCR_ENABLE	  0x01u
#define UART_FCR_CLEAR_RX 0x02u
#define UART_FCR_CLEAR_TX 0x04u
#define UART_FCR_TRIGGER  0xc0u
#define UART_FCR_KEPT	  (UART_FCR_ENABLE | UART_FCR_TRIGGER)

#define UART_LCR_WORD	  0x03u
#define UART_LCR_STOP	  0x04u
#define UART_LCR_PARITY	  0x08u
#define UART_LCR_BREAK	  0x40u
#define UART_LCR_DLAB	  0x80u

#define UART_MCR_DTR	  0x01u
#define UART_MCR_RTS	  0x02u
#define UART_MCR_OUT1	  0x04u
#define UART_MCR_OUT2	  0x08u
#define UART_MCR_LOOP	  0x10u
#define UART_MCR_MASK	  0x1fu

#define UART_LSR_DR	  0x01u
#define UART_LSR_OE	  0x02u
#define UART_LSR_PE	  0x04u
#define UART_LSR_FE	  0x08u
#define UART_LSR_BI	  0x10u
#define UART_LSR_THRE	  0x20u
#define UART_LSR_TEMT	  0x40u
#define UART_LSR_FIFO	  0x80u /* an error stands in the FIFO */
#define UART_LSR_ERROR	  (UART_LSR_OE | UART_LSR_PE | UART_LSR_FE | UART_LSR_BI)

#define UART_MSR_DCTS	  0x01u
#define UART_MSR_DDSR	  0x02u
#define UART_MSR_TERI	  0x04u
#define UART_MSR_DDCD	  0x08u
#define UART_MSR_CTS	  0x10u
#define UART_MSR_DSR	  0x20u
#define UART_MSR_RI	  0x40u
#define UART_MSR_DCD	  0x80u
#define UART_MSR_DELTA	  0x0fu
#define UART_MSR_LINES	  0xf0u

/* The clock of 1.8432 MHz, divided by 16. */
#define UART_BAUD_BASE 115200u
