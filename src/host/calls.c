/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that a host may make. See calls.h.
 *
 * Those of the data path are allowed whatever their arguments are: the kernel remembers that, and
 * does not run the filter for them at all.
 */
#include "host/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <linux/termios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/need.h"

#define CALLS_EVERY NEED_COUNT /* every host */

/* An argument that is this process, which is known when the filter is made. */
#define CALLS_OWN_PID UINT64_MAX

struct calls_rule {
	int number;
	const char *name;
	int need;
	int argument; /* -1: whatever they are; else (argument & mask) must be value */
	uint64_t mask;
	uint64_t value;
};

#define INT_MASK UINT32_MAX /* of arguments of which the kernel reads 32 bits */

#define CALL(call, the_need)                                                                       \
	{                                                                                          \
		.number = SCMP_SYS(call), .name = #call, .need = (the_need), .argument = -1        \
	}
#define CALL_IF(call, the_need, index, the_mask, the_value)                                        \
	{                                                                                          \
		.number = SCMP_SYS(call), .name = #call, .need = (the_need), .argument = (index),  \
		.mask = (the_mask), .value = (the_value)                                           \
	}

/* Threads of this process, in no namespace of their own. */
#define CLONE_THREAD_MASK                                                                          \
	(CLONE_VM | CLONE_THREAD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |   \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static const struct calls_rule calls_rules[] = {
	/* Descriptors that it was handed. */
	CALL(read, CALLS_EVERY),
	CALL(readv, CALLS_EVERY),
	CALL(preadv2, CALLS_EVERY), /* an eventfd of a client, which may not make it wait */
	CALL(write, CALLS_EVERY),
	CALL(pread64, CALLS_EVERY), /* streams of state, in memfds */
	CALL(pwrite64, CALLS_EVERY),
	CALL(writev, CALLS_EVERY),
	CALL(recvfrom, CALLS_EVERY),
	CALL(recvmsg, CALLS_EVERY),
	CALL(recvmmsg, CALLS_EVERY),
	CALL_IF(sendto, CALLS_EVERY, 4, UINT64_MAX, 0), /* send(): to its peer */
	CALL(sendmsg, CALLS_EVERY),
	CALL(sendmmsg, CALLS_EVERY),
	CALL(accept4, CALLS_EVERY),
	CALL(shutdown, CALLS_EVERY),
	CALL_IF(getsockopt, CALLS_EVERY, 1, INT_MASK, SOL_SOCKET), /* who the client is */
	CALL(close, CALLS_EVERY),
	CALL(close_range, CALLS_EVERY),
	CALL(dup, CALLS_EVERY),
	CALL(dup3, CALLS_EVERY),
	CALL(lseek, CALLS_EVERY),
	CALL(fstat, CALLS_EVERY),
	CALL(fstatfs, CALLS_EVERY),
	CALL_IF(newfstatat, CALLS_EVERY, 3, AT_EMPTY_PATH, AT_EMPTY_PATH), /* fstat() of libc */
	CALL_IF(statx, CALLS_EVERY, 2, AT_EMPTY_PATH, AT_EMPTY_PATH),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_GETFL),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_SETFL),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_GETFD),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_SETFD),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_DUPFD_CLOEXEC),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_ADD_SEALS),
	CALL_IF(fcntl, CALLS_EVERY, 1, INT_MASK, F_GET_SEALS),
	CALL_IF(ioctl, CALLS_EVERY, 1, INT_MASK, FIONREAD),

	/* What can be made out of nothing. */
	CALL(memfd_create, CALLS_EVERY),
	CALL(ftruncate, CALLS_EVERY),
	CALL(eventfd2, CALLS_EVERY),
	CALL(timerfd_create, CALLS_EVERY),
	CALL(timerfd_settime, CALLS_EVERY),
	CALL(timerfd_gettime, CALLS_EVERY),

	/* Waiting. */
	CALL(epoll_create1, CALLS_EVERY),
	CALL(epoll_ctl, CALLS_EVERY),
	CALL(epoll_wait, CALLS_EVERY),
	CALL(epoll_pwait, CALLS_EVERY),
	CALL(epoll_pwait2, CALLS_EVERY),
	CALL(poll, CALLS_EVERY),
	CALL(ppoll, CALLS_EVERY),
	CALL(futex, CALLS_EVERY),
	CALL(sched_yield, CALLS_EVERY),
	CALL(nanosleep, CALLS_EVERY),
	CALL(clock_nanosleep, CALLS_EVERY),
	CALL(restart_syscall, CALLS_EVERY),
	/* Signals to eventfds of clients, who may not make it wait (irq_signal.c). The timer can
	   signal threads of this process only; asynchronous I/O knows no more than reading and
	   writing. */
	CALL(timer_create, CALLS_EVERY),
	CALL(timer_settime, CALLS_EVERY),
	CALL(io_setup, CALLS_EVERY),
	CALL(io_submit, CALLS_EVERY),
	CALL(io_getevents, CALLS_EVERY),
	CALL(io_destroy, CALLS_EVERY),

	/* Memory; none of it can be executed. */
	CALL_IF(mmap, CALLS_EVERY, 2, PROT_EXEC, 0),
	CALL_IF(mprotect, CALLS_EVERY, 2, PROT_EXEC, 0),
	CALL(munmap, CALLS_EVERY),
	CALL(mremap, CALLS_EVERY),
	CALL(madvise, CALLS_EVERY),
	CALL(brk, CALLS_EVERY),
	CALL(membarrier, CALLS_EVERY),

	/* Time and chance. */
	CALL(clock_gettime, CALLS_EVERY),
	CALL(clock_getres, CALLS_EVERY),
	CALL(gettimeofday, CALLS_EVERY),
	CALL(time, CALLS_EVERY),
	CALL(getrandom, CALLS_EVERY),

	/* Itself. */
	CALL(getpid, CALLS_EVERY),
	CALL(gettid, CALLS_EVERY),
	CALL(getuid, CALLS_EVERY),
	CALL(geteuid, CALLS_EVERY),
	CALL(getrusage, CALLS_EVERY),
	CALL(sched_getaffinity, CALLS_EVERY),
	CALL_IF(prlimit64, CALLS_EVERY, 2, UINT64_MAX, 0), /* asked, not set */
	CALL_IF(prctl, CALLS_EVERY, 0, INT_MASK, PR_SET_NAME),
	CALL(alarm, CALLS_EVERY),
	CALL(rt_sigaction, CALLS_EVERY),
	CALL(rt_sigprocmask, CALLS_EVERY),
	CALL(rt_sigreturn, CALLS_EVERY),
	CALL(sigaltstack, CALLS_EVERY),
	CALL_IF(tgkill, CALLS_EVERY, 0, INT_MASK, CALLS_OWN_PID), /* abort() and raise() */
	CALL_IF(seccomp, CALLS_EVERY, 0, INT_MASK, SECCOMP_SET_MODE_FILTER), /* calls_settle() */
	CALL(exit, CALLS_EVERY),
	CALL(exit_group, CALLS_EVERY),

	CALL(preadv, NEED_FILES),
	CALL(pwritev, NEED_FILES),
	CALL(pwritev2, NEED_FILES),
	CALL(fallocate, NEED_FILES),
	CALL(fsync, NEED_FILES),
	CALL(fdatasync, NEED_FILES),
	CALL(sync_file_range, NEED_FILES),
	CALL(fadvise64, NEED_FILES),

	CALL_IF(ioctl, NEED_DISKS, 1, INT_MASK, BLKZEROOUT),
	CALL_IF(ioctl, NEED_DISKS, 1, INT_MASK, BLKDISCARD),
	CALL_IF(ioctl, NEED_DISKS, 1, INT_MASK, BLKGETSIZE64),
	CALL_IF(ioctl, NEED_DISKS, 1, INT_MASK, BLKSSZGET),
	CALL_IF(ioctl, NEED_DISKS, 1, INT_MASK, BLKPBSZGET),
	CALL_IF(ioctl, NEED_DISKS, 1, INT_MASK, BLKROGET),

	/* To make rings is taken back by calls_settle(). */
	CALL(io_uring_setup, NEED_IO_URING),
	CALL(io_uring_register, NEED_IO_URING),
	CALL(io_uring_enter, NEED_IO_URING),

	/* clone3() is answered with ENOSYS, since its flags cannot be seen: libc then takes
	 * clone(). To make threads is taken back by calls_settle(). */
	CALL_IF(clone, NEED_THREADS, 0, CLONE_THREAD_MASK, CLONE_VM | CLONE_THREAD),
	CALL(set_robust_list, NEED_THREADS),
	CALL(rseq, NEED_THREADS),

	CALL(pipe2, NEED_STREAMS),
	CALL(splice, NEED_STREAMS),
	CALL(tee, NEED_STREAMS),
	CALL_IF(fcntl, NEED_STREAMS, 1, INT_MASK, F_SETPIPE_SZ),
	CALL_IF(fcntl, NEED_STREAMS, 1, INT_MASK, F_GETPIPE_SZ),

	/* None that makes a terminal the controlling one, types into it or opens its other end. */
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TCGETS),
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TCGETS2),
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TCSETS2),
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TCFLSH),
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TIOCGPTN),
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TIOCOUTQ),
	CALL_IF(ioctl, NEED_TERMINALS, 1, INT_MASK, TIOCPKT),
	CALL(inotify_init1, NEED_TERMINALS),
	CALL(inotify_add_watch, NEED_TERMINALS),
	CALL(inotify_rm_watch, NEED_TERMINALS),
};

static int calls_allow(scmp_filter_ctx filter, const struct calls_rule *rule)
{
	struct scmp_arg_cmp compare = {
		.arg = (unsigned)(rule->argument < 0 ? 0 : rule->argument),
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = rule->mask,
		.datum_b = rule->value == CALLS_OWN_PID ? (uint64_t)getpid() : rule->value,
	};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->number,
				      rule->argument < 0 ? 0 : 1, &compare);
}

/* Hands the filter to the kernel, for all threads, and frees it. */
static int calls_load(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	/* It is set, and prctl() may be forbidden by now. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	/* Calls in the way of another architecture, too. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A tree instead of a list: those with arguments are found in a few steps. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int calls_restrict(uint32_t needs)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls_rules); i++) {
		const struct calls_rule *rule = &calls_rules[i];

		if (rule->need == CALLS_EVERY || needs & NEED_BIT(rule->need))
			r = calls_allow(filter, rule);
	}
	if (r == 0 && needs & NEED_BIT(NEED_THREADS))
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r < 0) {
		seccomp_release(filter);
		return r;
	}
	return calls_load(filter);
}

int calls_settle(void)
{
	static const int taken[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(clone), SCMP_SYS(clone3)};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(taken); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, taken[i], 0);
	if (r < 0) {
		seccomp_release(filter);
		return r;
	}
	return calls_load(filter);
}

void calls_print(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls_rules); i++) {
		const struct calls_rule *rule = &calls_rules[i];

		printf("%s %s", rule->need == CALLS_EVERY ? "every" : need_name(rule->need),
		       rule->name);
		if (rule->argument >= 0)
			printf(" argument %d: of the bits 0x%llx 0x%llx", rule->argument,
			       (unsigned long long)rule->mask, (unsigned long long)rule->value);
		putchar('\n');
	}
	printf("%s clone3 is not there\n", need_name(NEED_THREADS));
}
