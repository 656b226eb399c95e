/* SPDX-License-Identifier: BSD-3-Clause */
/* A shared object that is no driver: it exports something, but no entry. */
__attribute__((visibility("default"))) int no_driver_function(void);

int no_driver_function(void)
{
	return 0;
}
