/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC-32C (Castagnoli), the checksum of iSCSI and of SCTP: RFC 3720, appendix B.4. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The checksum of @len bytes; @crc is 0, or that of the bytes before. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
