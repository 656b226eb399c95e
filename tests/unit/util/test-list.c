/* SPDX-License-Identifier: BSD-3-Clause */
/* The embedded list: order, removal while walking, and removal of what is on no list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/list.h"

struct item {
	int value;
	struct list link;
};

static void list_expect(struct list *head, const int *values, size_t count)
{
	struct item *item;
	size_t i = 0;

	list_for_each (item, head, link) {
		assert_true(i < count);
		assert_int_equal(item->value, values[i]);
		i++;
	}
	assert_int_equal(i, count);
	/* The way back shows the same. */
	for (struct list *l = head->prev; l != head; l = l->prev)
		assert_int_equal(list_entry(l, struct item, link)->value, values[--i]);
	assert_int_equal(i, 0);
}

static void test_order(void **state)
{
	struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
	struct list head;

	list_init(&head);
	assert_true(list_empty(&head));
	list_expect(&head, NULL, 0);
	list_add_tail(&head, &items[1].link);
	list_add_tail(&head, &items[2].link);
	list_add(&head, &items[0].link);
	list_add_tail(&head, &items[3].link);
	assert_false(list_empty(&head));
	assert_ptr_equal(list_first(&head, struct item, link), &items[0]);
	list_expect(&head, (const int[]){0, 1, 2, 3}, 4);
}

static void test_del_twice(void **state)
{
	struct item items[2] = {{.value = 0}, {.value = 1}};
	struct list head;

	list_init(&head);
	list_add_tail(&head, &items[0].link);
	list_add_tail(&head, &items[1].link);
	list_del(&items[0].link);
	list_del(&items[0].link);
	list_expect(&head, (const int[]){1}, 1);
	list_init(&items[0].link);
	list_del(&items[0].link);
	list_add(&head, &items[0].link);
	list_expect(&head, (const int[]){0, 1}, 2);
}

static void test_del_while_walking(void **state)
{
	struct item items[5];
	struct item *item;
	struct item *tmp;
	struct list head;

	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_add_tail(&head, &items[i].link);
	}
	list_for_each_safe (item, tmp, &head, link) {
		if (item->value % 2 == 0)
			list_del(&item->link);
	}
	list_expect(&head, (const int[]){1, 3}, 2);
	list_for_each_safe (item, tmp, &head, link)
		list_del(&item->link);
	assert_true(list_empty(&head));
}

/* A head that leaves hands its elements on: a list moves by adding the new head and removing the
 * old. */
static void test_move_whole(void **state)
{
	struct item items[2] = {{.value = 0}, {.value = 1}};
	struct list head;
	struct list other;

	list_init(&head);
	list_add_tail(&head, &items[0].link);
	list_add_tail(&head, &items[1].link);
	list_add(&head, &other);
	list_del(&head);
	assert_true(list_empty(&head));
	list_expect(&other, (const int[]){0, 1}, 2);
	list_init(&head);
	list_init(&items[0].link);
	list_add(&head, &other);
	list_del(&head);
	assert_true(list_empty(&other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_del_twice),
		cmocka_unit_test(test_del_while_walking),
		cmocka_unit_test(test_move_whole),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
