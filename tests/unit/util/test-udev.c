/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners of udev's events, in a network namespace where there are no others. */
#include "util/udev.h"

#include <linux/netlink.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GROUP_KERNEL 1u
#define GROUP_UDEV   2u

static int listener(unsigned groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void tell(int fd, unsigned groups)
{
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = groups};

	assert_int_equal(sendto(fd, "news", 4, 0, (const struct sockaddr *)&to, sizeof(to)), 4);
}

static void test_behind_until_all_is_read(void **state)
{
	char data[16];
	int first = listener(GROUP_UDEV);
	int second = listener(GROUP_UDEV);
	int teller = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	(void)state;
	assert_false(udev_listeners_behind());
	tell(teller, GROUP_UDEV);
	tell(teller, GROUP_UDEV);
	assert_true(udev_listeners_behind());
	for (int i = 0; i < 2; i++)
		assert_int_equal(recv(first, data, sizeof(data), 0), 4);
	assert_true(udev_listeners_behind());
	assert_int_equal(recv(second, data, sizeof(data), 0), 4);
	assert_true(udev_listeners_behind());
	assert_int_equal(recv(second, data, sizeof(data), 0), 4);
	assert_false(udev_listeners_behind());
	close(first);
	close(second);
	close(teller);
}

/* Those who listen to the kernel itself are none of udev's. */
static void test_other_listeners_do_not_count(void **state)
{
	int kernel = listener(GROUP_KERNEL);
	int teller = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	(void)state;
	tell(teller, GROUP_KERNEL);
	assert_false(udev_listeners_behind());
	close(kernel);
	close(teller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behind_until_all_is_read),
		cmocka_unit_test(test_other_listeners_do_not_count),
	};

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		puts("no user namespace of its own is permitted here");
		return 77;
	}
	return cmocka_run_group_tests_name("udev", tests, NULL, NULL);
}
