/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what there is to know about the attributes, from their tables: umdev-sysfs(7) for scdoc,
 * or with --abi the entries of docs/abi. With --check FILE as second argument it compares instead:
 * exit code 1 and one line when the file says something else.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr.h"
#include "util/fd.h"

#define GENDOC_PAGE_MAX (1024 * 1024)
#define GENDOC_WIDTH	76

static const enum node_kind gendoc_kinds[] = {NODE_PARENT, NODE_TYPE, NODE_MDEV, NODE_MDEV_STANDARD,
					      NODE_GROUP};

/* Prints @text in lines of at most GENDOC_WIDTH, each after @indent. */
static void gendoc_wrap(FILE *out, const char *indent, const char *text)
{
	size_t width = GENDOC_WIDTH - strlen(indent);

	while (*text) {
		size_t len = strlen(text);

		if (len > width) {
			len = width;
			while (len > 0 && text[len] != ' ')
				len--;
			if (len == 0)
				len = width;
		}
		fprintf(out, "%s%.*s\n", indent, (int)len, text);
		text += len;
		while (*text == ' ')
			text++;
	}
}

/* ---- docs/abi -------------------------------------------------------------------------------- */

static void gendoc_abi_entry(FILE *out, const char *path, const struct attr *attr)
{
	fprintf(out, "What:\t\t%s/%s\n", path, attr->name);
	fprintf(out, "Since:\t\t%s\n", attr->since);
	if (S_ISREG(attr->mode))
		fprintf(out, "Mode:\t\t%04o\n", attr->mode & 07777);
	fprintf(out, "Description:\n");
	gendoc_wrap(out, "\t", attr->doc);
	if (attr->users)
		fprintf(out, "Users:\t\t%s\n", attr->users);
	fprintf(out, "\n");
}

static void gendoc_abi(FILE *out)
{
	fprintf(out,
		"The tree of umdev below run/umdev/tree. Generated from src/sysfs/attr-*.c; do "
		"not edit.\n\n");
	for (size_t k = 0; k < ARRAY_SIZE(gendoc_kinds); k++) {
		struct attr_table table = attr_table(gendoc_kinds[k]);

		for (size_t i = 0; i < table.count; i++)
			gendoc_abi_entry(out, node_kind_path(gendoc_kinds[k]), &table.rows[i]);
	}
}

/* ---- The page -------------------------------------------------------------------------------- */

/* scdoc takes an underscore between blanks as the begin of underlined text. */
static void gendoc_escape(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("_*\\", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void gendoc_man_entry(FILE *out, const struct attr *attr)
{
	fprintf(out, "*%s*", attr->name);
	if (S_ISREG(attr->mode))
		fprintf(out, " (%04o)", attr->mode & 07777);
	else
		fprintf(out, " (link)");
	fprintf(out, "\n\t");
	gendoc_escape(out, attr->doc);
	if (attr->users) {
		fprintf(out, " Read by ");
		gendoc_escape(out, attr->users);
		fprintf(out, ".");
	}
	fprintf(out, "\n\n");
}

static void gendoc_man_kind(FILE *out, enum node_kind kind, const char *title, const char *text)
{
	struct attr_table table = attr_table(kind);

	fprintf(out, "# %s\n\n", title);
	fprintf(out, "_%s_\n\n%s\n\n", node_kind_path(kind), text);
	for (size_t i = 0; i < table.count; i++)
		gendoc_man_entry(out, &table.rows[i]);
}

static const char gendoc_head[] =
	"umdev-sysfs(7)\n\n"
	"# NAME\n\n"
	"umdev-sysfs - the tree of mediated devices of umdevd\n\n"
	"# SYNOPSIS\n\n"
	"*umdev-sysfs* [--root _DIR_] [--mount _DIR_] [--no-uevents] [--debug]\n\n"
	"# DESCRIPTION\n\n"
	"The tree is what a Linux kernel with mediated devices has in /sys, for the devices of "
	"*umdevd*(8): software that knows those (mdevctl, libvirt, scripts that write a UUID into "
	"a file *create*) works on it unchanged. It is a FUSE file system at _run/umdev/tree_ "
	"below the daemon's root, with a directory _sys_ in it, and all links are relative. The "
	"daemon starts *umdev-sysfs* and starts it again should it die; nothing but the tree "
	"depends on it. It is absent without harm where there is no FUSE, and with *umdevd "
	"--no-tree*.\n\n"
	"Programs that read /sys and nothing else are shown the tree by binding it over /sys in a "
	"mount namespace of their own; mdevctl 1.3 and later is shown it by MDEVCTL\\_ENV\\_ROOT, "
	"a directory with links _sys_, _etc/mdevctl.d_ and _usr_.\n\n"
	"```\n"
	"unshare -m sh -c 'mount --bind /run/umdev/tree/sys /sys; mdevctl types'\n"
	"```\n\n"
	"Files behave as those of sysfs: modes hold for root, too; a write is one store of at most "
	"4096 bytes; a read from the beginning takes the whole text at that moment; truncation "
	"means nothing; there is nothing to be created or deleted but by *create* and *remove*. "
	"All is owned by the daemon's user, and who may not read or write a file by its mode "
	"gets EACCES. What anybody was told by the daemon, the tree shows at once. Files whose "
	"text may change wake *poll*(2) with POLLPRI, and *inotify*(7) hears of these and of "
	"devices that come and go. Listeners of udev get an event for each, where that is "
	"permitted: as root of the user namespace that owns the network namespace.\n\n"
	"A daemon that runs as a user mounts by *fusermount3*(1), and the tree is visible to that "
	"user alone unless _/etc/fuse.conf_ says user\\_allow\\_other.\n\n"
	"# OPTIONS\n\n"
	"*--root* _DIR_\n\tRoot of the daemon. Default: UMDEV\\_ROOT, else /.\n\n"
	"*--mount* _DIR_\n\tWhere to mount. Default: _run/umdev/tree_ below the root.\n\n"
	"*--no-uevents*\n\tTell no listeners of udev.\n\n"
	"*--debug*\n\tLog more.\n\n"
	"# PLACES\n\n"
	"_/sys/class/mdev_bus/PARENT_\n\tA link to each parent that has types.\n\n"
	"_/sys/bus/mdev/devices/UUID_\n\tA link to each active mdev.\n\n"
	"_/sys/bus/mdev/groups/GROUP_\n\tA directory for each group of mdevs of which one is "
	"active.\n\n"
	"_/sys/devices/pciDDDD:BB/DDDD:BB:SS.F_\n\tA parent whose name is a PCI address. "
	"libvirt knows it as pci\\_DDDD\\_BB\\_SS\\_F.\n\n"
	"_/sys/devices/virtual/mtty/PARENT_\n\tAny other parent. libvirt knows it as "
	"mtty\\_PARENT.\n\n"
	"_/sys/kernel/iommu_groups/N_\n\tAn IOMMU group for each mdev.\n\n";

static const char gendoc_tail[] =
	"# ATTRIBUTES OF A DRIVER\n\n"
	"_/sys/bus/mdev/devices/UUID/DRIVER_\n\n"
	"A file (0644) for each attribute that the driver has; its page tells of them, such as "
	"*umdev-driver-nvme*(7), and *umdevctl parent list --json* lists them. What takes effect "
	"at the creation of a device can be set as long as no client uses the mdev, else EBUSY: "
	"the device is made anew, its data stays.\n\n"
	"# EXIT STATUS\n\n"
	"0 when it was told to end or somebody unmounted the tree; 1 when it failed or lost the "
	"daemon; 2 for wrong usage; 3 when it cannot mount here.\n\n"
	"# SEE ALSO\n\n"
	"*umdevd*(8), *umdevctl*(8), *umdev-driver-nvme*(7), *fuse*(4)\n";

static void gendoc_man(FILE *out)
{
	fputs(gendoc_head, out);
	gendoc_man_kind(
		out, NODE_TYPE, "ATTRIBUTES OF A TYPE",
		"TYPE is the type's id. Beside the files below stands one for each attribute "
		"of the type's class, such as *capacity*. The directory *devices* has a link "
		"to each mdev of the type.");
	gendoc_man_kind(out, NODE_MDEV, "ATTRIBUTES OF AN MDEV", "The directory of the device.");
	gendoc_man_kind(out, NODE_MDEV_STANDARD, "STANDARD ATTRIBUTES OF AN MDEV",
			"Every mdev has them, whatever its driver. Statistics count from when the "
			"present host of the parent made the device.");
	gendoc_man_kind(out, NODE_GROUP, "ATTRIBUTES OF A GROUP",
			"The directory comes with the first active member and goes with the last; "
			"its directory *devices* has a link to each of them. *umdevctl*(8) tells "
			"what groups are.");
	gendoc_man_kind(out, NODE_PARENT, "ATTRIBUTES OF A PARENT",
			"The parent looks like a PCI device, for tools that know no other.");
	fputs(gendoc_tail, out);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static int gendoc_check(const char *page, size_t len, const char *path)
{
	umdev_autofree char *is = NULL;
	size_t is_len = 0;

	if (fd_read_file(AT_FDCWD, path, GENDOC_PAGE_MAX, &is, &is_len) == 0 && is_len == len &&
	    memcmp(is, page, len) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s is not what the tables say: write it anew with sysfs-gendoc --abi\n",
		path);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	bool abi = argc > 1 && strcmp(argv[1], "--abi") == 0;
	bool check = argc == 4 && strcmp(argv[2], "--check") == 0;
	umdev_autofree char *page = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&page, &len);

	if (!out)
		return EXIT_FAILURE;
	if (abi)
		gendoc_abi(out);
	else
		gendoc_man(out);
	fclose(out);
	if (check)
		return gendoc_check(page, len, argv[3]);
	return fwrite(page, 1, len, stdout) == len ? EXIT_SUCCESS : EXIT_FAILURE;
}
