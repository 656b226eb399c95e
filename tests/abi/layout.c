/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where each member of each struct of umdev/driver.h lies on 64-bit machines. Made by
 * tests/abi/generate-layout; drivers that were built once depend on these numbers.
 */
#include <assert.h>

#include <umdev/driver.h>

static_assert(sizeof(void *) == 8, "the published layout is that of 64-bit machines");

#define MEMBER(type, member, offset, size)                                                         \
	static_assert(offsetof(struct type, member) == (offset) &&                                 \
			      sizeof(((struct type *)0)->member) == (size),                        \
		      #type "." #member " moved")
#define TYPE(type, size) static_assert(sizeof(struct type) == (size), #type " changed its size")

MEMBER(umdev_option, name, 0, 8);
MEMBER(umdev_option, description, 8, 8);
MEMBER(umdev_option, default_value, 16, 8);
MEMBER(umdev_option, choices, 24, 8);
MEMBER(umdev_option, min, 32, 8);
MEMBER(umdev_option, max, 40, 8);
MEMBER(umdev_option, kind, 48, 4);
MEMBER(umdev_option, reserved, 52, 4);
TYPE(umdev_option, 56);

MEMBER(umdev_attr, name, 0, 8);
MEMBER(umdev_attr, description, 8, 8);
MEMBER(umdev_attr, default_value, 16, 8);
MEMBER(umdev_attr, choices, 24, 8);
MEMBER(umdev_attr, min, 32, 8);
MEMBER(umdev_attr, max, 40, 8);
MEMBER(umdev_attr, kind, 48, 4);
MEMBER(umdev_attr, when, 52, 4);
TYPE(umdev_attr, 56);

MEMBER(umdev_stat, name, 0, 8);
MEMBER(umdev_stat, description, 8, 8);
TYPE(umdev_stat, 16);

MEMBER(umdev_type_attr, name, 0, 8);
MEMBER(umdev_type_attr, value, 8, 8);
TYPE(umdev_type_attr, 16);

MEMBER(umdev_type, id, 0, 8);
MEMBER(umdev_type, name, 8, 8);
MEMBER(umdev_type, description, 16, 8);
MEMBER(umdev_type, class_name, 24, 8);
MEMBER(umdev_type, attrs, 32, 8);
MEMBER(umdev_type, cost, 40, 8);
MEMBER(umdev_type, flags, 48, 8);
MEMBER(umdev_type, group_scope, 56, 4);
MEMBER(umdev_type, requires_group, 60, 4);
MEMBER(umdev_type, group_hotplug, 64, 4);
MEMBER(umdev_type, qos, 68, 4);
MEMBER(umdev_type, endpoint_name, 72, 8);
MEMBER(umdev_type, endpoint_kind, 80, 4);
MEMBER(umdev_type, endpoint_count, 84, 4);
TYPE(umdev_type, 88);

MEMBER(umdev_engine, name, 0, 8);
MEMBER(umdev_engine, parallelism, 8, 4);
MEMBER(umdev_engine, reserved_slots, 12, 4);
TYPE(umdev_engine, 16);

MEMBER(umdev_group_member, uuid, 0, 8);
MEMBER(umdev_group_member, parent, 8, 8);
MEMBER(umdev_group_member, type_id, 16, 8);
MEMBER(umdev_group_member, type_name, 24, 8);
MEMBER(umdev_group_member, flags, 32, 4);
MEMBER(umdev_group_member, reserved, 36, 4);
TYPE(umdev_group_member, 40);

MEMBER(umdev_qos, struct_size, 0, 4);
MEMBER(umdev_qos, cap, 4, 4);
MEMBER(umdev_qos, weight, 8, 4);
MEMBER(umdev_qos, priority, 12, 4);
TYPE(umdev_qos, 16);

MEMBER(umdev_value, text, 0, 8);
MEMBER(umdev_value, number, 8, 8);
MEMBER(umdev_value, fd, 16, 4);
MEMBER(umdev_value, flags, 20, 4);
TYPE(umdev_value, 24);

MEMBER(umdev_parent_args, struct_size, 0, 4);
MEMBER(umdev_parent_args, value_count, 4, 4);
MEMBER(umdev_parent_args, name, 8, 8);
MEMBER(umdev_parent_args, values, 16, 8);
MEMBER(umdev_parent_args, parallelism, 24, 8);
MEMBER(umdev_parent_args, engine_count, 32, 4);
MEMBER(umdev_parent_args, reserved, 36, 4);
TYPE(umdev_parent_args, 40);

MEMBER(umdev_parent_info, struct_size, 0, 4);
MEMBER(umdev_parent_info, type_count, 4, 4);
MEMBER(umdev_parent_info, types, 8, 8);
MEMBER(umdev_parent_info, engines, 16, 8);
MEMBER(umdev_parent_info, pool_units, 24, 8);
MEMBER(umdev_parent_info, pool_align, 32, 8);
MEMBER(umdev_parent_info, pool_unit, 40, 8);
MEMBER(umdev_parent_info, description, 48, 8);
MEMBER(umdev_parent_info, engine_count, 56, 4);
MEMBER(umdev_parent_info, reserved, 60, 4);
TYPE(umdev_parent_info, 64);

MEMBER(umdev_mmap_area, offset, 0, 8);
MEMBER(umdev_mmap_area, size, 8, 8);
TYPE(umdev_mmap_area, 16);

MEMBER(umdev_bar, size, 0, 8);
MEMBER(umdev_bar, flags, 8, 4);
MEMBER(umdev_bar, reserved, 12, 4);
MEMBER(umdev_bar, mmap, 16, 32);
TYPE(umdev_bar, 48);

MEMBER(umdev_device, struct_size, 0, 4);
MEMBER(umdev_device, flags, 4, 4);
MEMBER(umdev_device, vendor_id, 8, 2);
MEMBER(umdev_device, device_id, 10, 2);
MEMBER(umdev_device, subsystem_vendor_id, 12, 2);
MEMBER(umdev_device, subsystem_id, 14, 2);
MEMBER(umdev_device, class_code, 16, 4);
MEMBER(umdev_device, revision_id, 20, 1);
MEMBER(umdev_device, interrupt_pin, 21, 1);
MEMBER(umdev_device, msix_bar, 22, 1);
MEMBER(umdev_device, reserved, 23, 1);
MEMBER(umdev_device, msi_vectors, 24, 2);
MEMBER(umdev_device, msix_vectors, 26, 2);
MEMBER(umdev_device, msix_table_offset, 28, 4);
MEMBER(umdev_device, msix_pba_offset, 32, 4);
MEMBER(umdev_device, reserved2, 36, 4);
MEMBER(umdev_device, serial_number, 40, 8);
MEMBER(umdev_device, bars, 48, 288);
TYPE(umdev_device, 336);

MEMBER(umdev_old_state, struct_size, 0, 4);
MEMBER(umdev_old_state, version, 4, 4);
MEMBER(umdev_old_state, state, 8, 8);
MEMBER(umdev_old_state, state_size, 16, 8);
MEMBER(umdev_old_state, to, 24, 8);
MEMBER(umdev_old_state, to_size, 32, 8);
TYPE(umdev_old_state, 40);

MEMBER(umdev_mdev_args, struct_size, 0, 4);
MEMBER(umdev_mdev_args, type_index, 4, 4);
MEMBER(umdev_mdev_args, uuid, 8, 8);
MEMBER(umdev_mdev_args, piece_start, 16, 8);
MEMBER(umdev_mdev_args, piece_size, 24, 8);
MEMBER(umdev_mdev_args, values, 32, 8);
MEMBER(umdev_mdev_args, state, 40, 8);
MEMBER(umdev_mdev_args, state_size, 48, 8);
MEMBER(umdev_mdev_args, value_count, 56, 4);
MEMBER(umdev_mdev_args, state_origin, 60, 4);
MEMBER(umdev_mdev_args, endpoints, 64, 8);
MEMBER(umdev_mdev_args, endpoint_count, 72, 4);
MEMBER(umdev_mdev_args, reserved, 76, 4);
TYPE(umdev_mdev_args, 80);

MEMBER(umdev_job, host, 0, 64);
MEMBER(umdev_job, engine, 64, 4);
MEMBER(umdev_job, reserved, 68, 4);
TYPE(umdev_job, 72);

MEMBER(umdev_host_ops, struct_size, 0, 4);
MEMBER(umdev_host_ops, abi_version, 4, 4);
MEMBER(umdev_host_ops, fail, 8, 8);
MEMBER(umdev_host_ops, log, 16, 8);
MEMBER(umdev_host_ops, now_ns, 24, 8);
MEMBER(umdev_host_ops, fd_watch, 32, 8);
MEMBER(umdev_host_ops, fd_unwatch, 40, 8);
MEMBER(umdev_host_ops, timer, 48, 8);
MEMBER(umdev_host_ops, poll_mode, 56, 8);
MEMBER(umdev_host_ops, irq_raise, 64, 8);
MEMBER(umdev_host_ops, irq_lower, 72, 8);
MEMBER(umdev_host_ops, irq_is_level, 80, 8);
MEMBER(umdev_host_ops, dma_map, 88, 8);
MEMBER(umdev_host_ops, dma_hold, 96, 8);
MEMBER(umdev_host_ops, dma_release, 104, 8);
MEMBER(umdev_host_ops, dma_read, 112, 8);
MEMBER(umdev_host_ops, dma_write, 120, 8);
MEMBER(umdev_host_ops, bar_memory, 128, 8);
MEMBER(umdev_host_ops, job_submit, 136, 8);
MEMBER(umdev_host_ops, job_withdraw, 144, 8);
MEMBER(umdev_host_ops, job_done, 152, 8);
MEMBER(umdev_host_ops, reset_done, 160, 8);
MEMBER(umdev_host_ops, discard_done, 168, 8);
MEMBER(umdev_host_ops, event, 176, 8);
MEMBER(umdev_host_ops, job_done_at, 184, 8);
MEMBER(umdev_host_ops, access_id, 192, 8);
MEMBER(umdev_host_ops, keep, 200, 8);
MEMBER(umdev_host_ops, kept, 208, 8);
MEMBER(umdev_host_ops, quiesce_done, 216, 8);
TYPE(umdev_host_ops, 224);

MEMBER(umdev_need, name, 0, 8);
MEMBER(umdev_need, reason, 8, 8);
TYPE(umdev_need, 16);

MEMBER(umdev_driver, struct_size, 0, 4);
MEMBER(umdev_driver, abi_version, 4, 4);
MEMBER(umdev_driver, flags, 8, 8);
MEMBER(umdev_driver, name, 16, 8);
MEMBER(umdev_driver, description, 24, 8);
MEMBER(umdev_driver, version, 32, 8);
MEMBER(umdev_driver, options, 40, 8);
MEMBER(umdev_driver, attrs, 48, 8);
MEMBER(umdev_driver, stats, 56, 8);
MEMBER(umdev_driver, option_size, 64, 4);
MEMBER(umdev_driver, attr_size, 68, 4);
MEMBER(umdev_driver, stat_size, 72, 4);
MEMBER(umdev_driver, type_size, 76, 4);
MEMBER(umdev_driver, engine_size, 80, 4);
MEMBER(umdev_driver, thread_model, 84, 4);
MEMBER(umdev_driver, state_version, 88, 4);
MEMBER(umdev_driver, reserved, 92, 4);
MEMBER(umdev_driver, state_size, 96, 8);
MEMBER(umdev_driver, parent_open, 104, 8);
MEMBER(umdev_driver, parent_close, 112, 8);
MEMBER(umdev_driver, mdev_create, 120, 8);
MEMBER(umdev_driver, mdev_remove, 128, 8);
MEMBER(umdev_driver, region_read, 136, 8);
MEMBER(umdev_driver, region_write, 144, 8);
MEMBER(umdev_driver, reset, 152, 8);
MEMBER(umdev_driver, client_joined, 160, 8);
MEMBER(umdev_driver, poll, 168, 8);
MEMBER(umdev_driver, job_start, 176, 8);
MEMBER(umdev_driver, jobs_flush, 184, 8);
MEMBER(umdev_driver, attr_set, 192, 8);
MEMBER(umdev_driver, stats_get, 200, 8);
MEMBER(umdev_driver, discard, 208, 8);
MEMBER(umdev_driver, qos_set, 216, 8);
MEMBER(umdev_driver, group_check, 224, 8);
MEMBER(umdev_driver, quiesce, 232, 8);
MEMBER(umdev_driver, needs, 240, 8);
MEMBER(umdev_driver, need_size, 248, 4);
MEMBER(umdev_driver, reserved2, 252, 4);
MEMBER(umdev_driver, convert, 256, 8);
MEMBER(umdev_driver, state_from, 264, 4);
MEMBER(umdev_driver, reserved3, 268, 4);
TYPE(umdev_driver, 272);
