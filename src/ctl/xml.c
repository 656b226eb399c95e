/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl xml: prints mdevs and parents as libvirt's node devices, and domains that use mdevs. It
 * only prints; what is printed can be given to virsh, or to "umdevctl create".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/qemu-args.h"
#include "libvirt/write.h"
#include "util/parse.h"

#define XML_DOMAIN_NAME "umdev"
#define XML_NAME_MAX	200

/* Prints @text (stolen), or as a text in JSON. */
static int xml_print(const struct ctl *ctl, char *text)
{
	json_t *object;

	if (!text)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "out of memory");
	if (ctl->json) {
		object = json_pack("{s:s}", "xml", text);
		ctl_print_json(object, "\n");
		json_decref(object);
	} else {
		fputs(text, stdout);
	}
	free(text);
	return CTL_OK;
}

/* The PARENT called @name, a new reference, or NULL when it is not there. */
static int xml_get_parent(struct ctl *ctl, const char *name, json_t **ret_parent)
{
	json_t *result = NULL;
	json_t *parent;
	size_t i;
	int r = ctl_call(ctl, "parent.list", NULL, &result);

	json_array_foreach (json_object_get(result, "parents"), i, parent) {
		if (strcmp(ctl_text(parent, "name"), name) == 0)
			*ret_parent = json_incref(parent);
	}
	json_decref(result);
	return r;
}

static int xml_parent(struct ctl *ctl)
{
	const char *name = ctl_get(ctl, "parent");
	json_t *parent = NULL;
	json_t *types = NULL;
	int r;

	if (ctl->n_operands > 0)
		return ctl_usage(ctl, "--parent and a UUID exclude each other");
	r = ctl_call(ctl, "type.list", json_pack("{s:s}", "parent", name), &types);
	if (r == CTL_OK)
		r = xml_get_parent(ctl, name, &parent);
	if (r == CTL_OK && !parent)
		r = ctl_fail_word(ctl, ERROR_NOT_FOUND, "there is no parent '%.64s'", name);
	if (r == CTL_OK)
		r = xml_print(ctl, libvirt_parent_write(parent, json_object_get(types, "types")));
	json_decref(parent);
	json_decref(types);
	return r;
}

/* The one that is meant among those of a UUID: the active one, else the only definition. */
static int xml_choose_mdev(const struct ctl *ctl, const json_t *mdevs, const char *uuid,
			   json_t **ret_mdev)
{
	json_t *found = NULL;
	json_t *mdev;
	size_t i;

	json_array_foreach (mdevs, i, mdev) {
		if (!found || json_is_true(json_object_get(mdev, "active")))
			found = mdev;
	}
	if (!found)
		return ctl_fail_word(ctl, ERROR_NOT_FOUND, "mdev %s is neither active nor defined",
				     uuid);
	if (json_array_size(mdevs) > 1 && !json_is_true(json_object_get(found, "active")))
		return ctl_fail_word(ctl, ERROR_INVALID,
				     "mdev %s is defined under several parents, %s and %s among "
				     "them: undefine all but one",
				     uuid, ctl_text(found, "parent"),
				     ctl_text(json_array_get(mdevs, 1), "parent"));
	if (!ctl_text(found, "type")[0])
		return ctl_fail_word(ctl, ERROR_INVALID, "mdev %s: %s", uuid,
				     ctl_text(found, "error"));
	*ret_mdev = json_incref(found);
	return CTL_OK;
}

/* The mdev called @text, a new reference. */
static int xml_get_mdev(struct ctl *ctl, const char *text, json_t **ret_mdev)
{
	char uuid[CTL_UUID_STRING] = "";
	json_t *result = NULL;
	int r;

	if (!ctl_uuid_parse(text, uuid))
		return ctl_usage(ctl, "'%s' is not a UUID", text);
	r = ctl_call(ctl, "mdev.list",
		     json_pack("{s:s,s:b,s:b}", "uuid", uuid, "all", true, "statistics", false),
		     &result);
	if (r == CTL_OK)
		r = xml_choose_mdev(ctl, json_object_get(result, "mdevs"), uuid, ret_mdev);
	json_decref(result);
	return r;
}

static int xml_mdev(struct ctl *ctl, const char *text)
{
	json_t *parent = NULL;
	json_t *mdev = NULL;
	int r = xml_get_mdev(ctl, text, &mdev);

	if (r == CTL_OK)
		r = xml_get_parent(ctl, ctl_text(mdev, "parent"), &parent);
	if (r == CTL_OK)
		r = xml_print(ctl, libvirt_mdev_write(mdev, parent));
	json_decref(parent);
	json_decref(mdev);
	return r;
}

/* ---- Domains --------------------------------------------------------------------------------- */

/* The place of the socket that the mdev called @text has, or will have. */
static int xml_add_device(struct ctl *ctl, const char *text, const char *run_dir, json_t *words)
{
	char path[4096];
	json_t *mdev = NULL;
	int r = xml_get_mdev(ctl, text, &mdev);

	if (r == CTL_OK) {
		snprintf(path, sizeof(path), "%s/mdevs/%s/vfio-user.sock", run_dir,
			 ctl_text(mdev, "uuid"));
		qemu_args_device(words, ctl_text(mdev, "uuid"),
				 ctl_text(mdev, "socket")[0] ? ctl_text(mdev, "socket") : path);
	}
	json_decref(mdev);
	return r;
}

/* Whether libvirt takes it as the name of a domain. */
static bool xml_name_ok(const char *name)
{
	for (const char *c = name; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '/')
			return false;
	}
	return name[strspn(name, " ")] && strlen(name) <= XML_NAME_MAX;
}

/* What can be said without the daemon. */
static int xml_check_domain(const struct ctl *ctl, const struct libvirt_domain *domain)
{
	if (ctl->n_operands == 0)
		return ctl_usage(ctl, "UUID... is missing");
	if (strcmp(domain->virt_type, "kvm") != 0 && strcmp(domain->virt_type, "qemu") != 0)
		return ctl_usage(ctl, "--virt-type: '%s' is neither kvm nor qemu",
				 domain->virt_type);
	if (!xml_name_ok(domain->name))
		return ctl_usage(ctl,
				 "--name: '%s' is no name for a domain: 1 to %d bytes without '/' "
				 "and control characters",
				 domain->name, XML_NAME_MAX);
	for (size_t i = 0; i < ctl->n_operands; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcasecmp(ctl->operands[i], ctl->operands[j]) == 0)
				return ctl_usage(ctl, "'%s' is given twice", ctl->operands[i]);
		}
	}
	return CTL_OK;
}

static int xml_domain(struct ctl *ctl)
{
	struct libvirt_domain domain = {
		.name = ctl_get(ctl, "name") ? ctl_get(ctl, "name") : XML_DOMAIN_NAME,
		.virt_type = ctl_get(ctl, "virt-type") ? ctl_get(ctl, "virt-type") : "kvm",
		.memory_bytes = QEMU_ARGS_MEMORY,
		.fragment = ctl_has(ctl, "fragment"),
	};
	const char *size = ctl_get(ctl, "memory");
	char run_dir[2048];
	json_t *version = NULL;
	json_t *words;
	int r;

	if (size && (parse_bytes(size, &domain.memory_bytes) < 0 || domain.memory_bytes == 0))
		return ctl_usage(ctl, "--memory: '%s' is not a size such as 512M or 2G", size);
	r = xml_check_domain(ctl, &domain);
	if (r == CTL_OK)
		r = ctl_call(ctl, "version", NULL, &version);
	if (r != CTL_OK)
		return r;
	snprintf(run_dir, sizeof(run_dir), "%s/run/umdev",
		 strcmp(ctl_text(version, "root"), "/") == 0 ? "" : ctl_text(version, "root"));
	json_decref(version);
	words = json_array();
	for (size_t i = 0; r == CTL_OK && i < ctl->n_operands; i++)
		r = xml_add_device(ctl, ctl->operands[i], run_dir, words);
	domain.words = words;
	if (r == CTL_OK)
		r = xml_print(ctl, libvirt_domain_write(&domain));
	json_decref(words);
	return r;
}

int ctl_xml(struct ctl *ctl)
{
	static const char *const of_domain[] = {"name", "memory", "virt-type"};
	bool domain = ctl_has(ctl, "domain") || ctl_has(ctl, "fragment");
	int r = ctl_conflict(ctl, "domain", "fragment");

	if (r == CTL_OK && domain)
		r = ctl_conflict(ctl, "parent", ctl_has(ctl, "domain") ? "domain" : "fragment");
	for (size_t i = 0; r == CTL_OK && i < ARRAY_SIZE(of_domain); i++) {
		if (ctl_has(ctl, of_domain[i]) && !ctl_has(ctl, "domain"))
			r = ctl_usage(ctl, "--%s needs --domain", of_domain[i]);
	}
	if (r != CTL_OK)
		return r;
	if (domain)
		return xml_domain(ctl);
	if (ctl_has(ctl, "parent"))
		return xml_parent(ctl);
	if (ctl->n_operands != 1)
		return ctl_usage(ctl, ctl->n_operands ? "one UUID is enough; several need --domain"
						      : "a UUID or --parent is missing");
	return xml_mdev(ctl, ctl->operands[0]);
}
