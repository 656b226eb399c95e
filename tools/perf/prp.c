/* SPDX-License-Identifier: BSD-3-Clause */
/* Building PRP entries. See prp.h. */
#include "prp.h"

#include <errno.h>

int prp_build(uint64_t iova, uint32_t len, uint64_t *list, uint64_t list_iova, uint64_t *ret_prp)
{
	uint64_t next = (iova & ~(uint64_t)(PRP_PAGE - 1)) + PRP_PAGE;
	uint32_t entries = prp_list_entries(iova, len);

	if (entries > PRP_LIST_ENTRIES)
		return -E2BIG;
	ret_prp[0] = iova;
	if (entries == 0) {
		ret_prp[1] = iova + len > next ? next : 0;
		return 0;
	}
	for (uint32_t i = 0; i < entries; i++)
		list[i] = next + (uint64_t)i * PRP_PAGE;
	ret_prp[1] = list_iova;
	return (int)entries;
}
