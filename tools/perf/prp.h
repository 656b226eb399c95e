/* SPDX-License-Identifier: BSD-3-Clause */
/* Physical region pages: how an NVMe command says where its data is. Pure. */
#pragma once

#include <stdint.h>

#define PRP_PAGE	 4096u
#define PRP_LIST_ENTRIES (PRP_PAGE / 8)

/* The list entries that @len bytes at @iova need: 0 when the two in the command suffice. */
static inline uint32_t prp_list_entries(uint64_t iova, uint32_t len)
{
	uint32_t pages = (uint32_t)(((iova & (PRP_PAGE - 1)) + len + PRP_PAGE - 1) / PRP_PAGE);

	return pages > 2 ? pages - 1 : 0;
}

/*
 * Describes @len (at least 1) bytes at @iova in ret_prp[0..1], using the one page @list (device
 * address @list_iova) where more than two entries are needed. Returns the entries written to
 * @list, or -E2BIG when one page cannot hold them; @iova must be a multiple of 4.
 */
int prp_build(uint64_t iova, uint32_t len, uint64_t *list, uint64_t list_iova, uint64_t *ret_prp);
