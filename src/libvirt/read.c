/* SPDX-License-Identifier: BSD-3-Clause */
/* XML in. See read.h. */
#include "libvirt/read.h"

#include <ctype.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <stdio.h>
#include <string.h>

#define READ_UUID_LEN 36

/* One document while it is read. */
struct read {
	struct libvirt_mdev *mdev;
	bool has_capability;
	bool has_type;
	bool has_group;
	struct umdev_error *err;
};

/* An element that may stand somewhere, and who takes it. */
struct read_rule {
	const char *name;
	/* NULL: libvirt writes it and does not read it, nor do we. */
	int (*take)(struct read *read, xmlNodePtr node);
};

/* ---- Errors ---------------------------------------------------------------------------------- */

static int read_fail(struct read *read, xmlNodePtr node, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int read_fail(struct read *read, xmlNodePtr node, const char *key, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set_key(read->err, ERROR_INVALID, key, "line %ld: %s", xmlGetLineNo(node),
			     text);
}

static int read_no_memory(struct read *read)
{
	return error_set(read->err, ERROR_NO_MEMORY, "out of memory");
}

static const char *read_name(xmlNodePtr node)
{
	return (const char *)node->name;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* The text without the blanks around it. */
static char *read_trimmed(const char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	return strndup(text, len);
}

static int read_check_value(struct read *read, xmlNodePtr node, const char *what, const char *value)
{
	if (!value[0])
		return read_fail(read, node, what, "%s is empty", what);
	if (strlen(value) > LIBVIRT_VALUE_MAX)
		return read_fail(read, node, what, "%s has %zu bytes, at most %d are taken", what,
				 strlen(value), LIBVIRT_VALUE_MAX);
	for (const char *c = value; *c; c++) {
		if (iscntrl((unsigned char)*c))
			return read_fail(read, node, what, "%s has a control character in it",
					 what);
	}
	return 0;
}

/* What is in @node, which must hold no elements, as a new text. */
static int read_content(struct read *read, xmlNodePtr node, char **ret_text)
{
	xmlChar *content;

	for (xmlNodePtr child = node->children; child; child = child->next) {
		if (child->type == XML_ELEMENT_NODE)
			return read_fail(read, child, read_name(child),
					 "<%s> cannot be in <%s>, which holds text",
					 read_name(child), read_name(node));
	}
	content = xmlNodeGetContent(node);
	*ret_text = content ? strdup((const char *)content) : NULL;
	xmlFree(content);
	return *ret_text ? 0 : read_no_memory(read);
}

/* The text in @node, without the blanks around it, in *@value (NULL before, else it is given
 * twice).
 */
static int read_text(struct read *read, xmlNodePtr node, char **value)
{
	umdev_autofree char *content = NULL;
	int r;

	if (*value)
		return read_fail(read, node, read_name(node), "<%s> is given twice",
				 read_name(node));
	r = read_content(read, node, &content);
	if (r < 0)
		return r;
	*value = read_trimmed(content);
	return *value ? read_check_value(read, node, read_name(node), *value)
		      : read_no_memory(read);
}

/* The same of words that may stand on several lines. */
static int read_words(struct read *read, xmlNodePtr node, char **value)
{
	int r = read_content(read, node, value);

	for (char *c = *value; c && *c; c++) {
		if (isspace((unsigned char)*c))
			*c = ' ';
	}
	return r < 0 ? r : read_check_value(read, node, read_name(node), *value);
}

/* Attribute @name of @node in *@value; NULL when it is not there. */
static int read_attribute(struct read *read, xmlNodePtr node, const char *name, char **value)
{
	xmlChar *text = xmlGetNoNsProp(node, (const xmlChar *)name);

	if (!text)
		return 0;
	*value = strdup((const char *)text);
	xmlFree(text);
	return *value ? 0 : read_no_memory(read);
}

/* Refuses attributes of @node that are not among @names, which end with NULL. */
static int read_only_attributes(struct read *read, xmlNodePtr node, const char *const *names)
{
	if (node->nsDef)
		return read_fail(read, node, "xmlns", "<%s> takes no namespace", read_name(node));
	for (xmlAttrPtr attr = node->properties; attr; attr = attr->next) {
		const char *const *name = names;

		while (*name && strcmp(*name, (const char *)attr->name) != 0)
			name++;
		if (!*name || attr->ns)
			return read_fail(read, node, (const char *)attr->name,
					 "<%s> has no attribute %.64s", read_name(node),
					 (const char *)attr->name);
	}
	return 0;
}

static const char *const read_no_attributes[] = {NULL};

static int read_plain_text(struct read *read, xmlNodePtr node, char **value)
{
	int r = read_only_attributes(read, node, read_no_attributes);

	return r < 0 ? r : read_text(read, node, value);
}

/* Goes through the elements in @node, each of which must have a rule. */
static int read_children(struct read *read, xmlNodePtr node, const struct read_rule *rules)
{
	for (xmlNodePtr child = node->children; child; child = child->next) {
		const struct read_rule *rule = rules;
		int r = 0;

		if (child->type == XML_TEXT_NODE && !xmlIsBlankNode(child))
			return read_fail(read, child, read_name(node), "there is text in <%s>",
					 read_name(node));
		if (child->type != XML_ELEMENT_NODE)
			continue;
		while (rule->name && strcmp(rule->name, read_name(child)) != 0)
			rule++;
		/* What is of another namespace is another element. */
		if (!rule->name || child->ns)
			return read_fail(read, child, read_name(child),
					 "<%.64s> is not known in <%s>", read_name(child),
					 read_name(node));
		if (rule->take)
			r = rule->take(read, child);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- The capability -------------------------------------------------------------------------- */

static int read_type(struct read *read, xmlNodePtr node)
{
	static const char *const names[] = {"id", "name", NULL};
	struct libvirt_mdev *mdev = read->mdev;
	char *content = NULL;
	int r = 0;

	if (read->has_type)
		return read_fail(read, node, "type", "<type> is given twice");
	read->has_type = true;
	r = read_only_attributes(read, node, names);
	if (r == 0)
		r = read_attribute(read, node, "id", &mdev->type);
	if (r == 0)
		r = read_attribute(read, node, "name", &mdev->type_name);
	if (r < 0)
		return r;
	if (mdev->type && mdev->type_name)
		return read_fail(read, node, "type", "<type> has an id or a name, not both");
	if (mdev->type || mdev->type_name) {
		if (node->children)
			return read_fail(read, node, "type",
					 "<type> has an attribute or text, not both");
		return read_check_value(read, node, "type",
					mdev->type ? mdev->type : mdev->type_name);
	}
	/* <type>11</type>: the nearest that XML has to the <type='11'/> of 2016. */
	r = read_text(read, node, &content);
	mdev->type = content;
	return r;
}

/* Whether it is a UUID; else @node, a <@what>, is refused. */
static int read_check_uuid(struct read *read, xmlNodePtr node, const char *what, const char *text)
{
	for (size_t i = 0; i <= READ_UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (i == READ_UUID_LEN
			    ? text[i] != '\0'
			    : !(dash ? text[i] == '-' : isxdigit((unsigned char)text[i])))
			return read_fail(read, node, what,
					 "'%.64s' is no UUID: 36 characters such as "
					 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
					 text);
	}
	return 0;
}

static int read_uuid(struct read *read, xmlNodePtr node)
{
	int r = read_plain_text(read, node, &read->mdev->uuid);

	return r < 0 ? r : read_check_uuid(read, node, "uuid", read->mdev->uuid);
}

/* Adds an attribute of the device. */
static int read_add(struct read *read, xmlNodePtr node, const char *name, const char *value)
{
	json_t *pair;

	if (json_array_size(read->mdev->attrs) >= LIBVIRT_ATTRS_MAX)
		return read_fail(read, node, name, "there are more than %d attributes",
				 LIBVIRT_ATTRS_MAX);
	if (strlen(name) > 128)
		return read_fail(read, node, "attr", "the name of an attribute is too long");
	pair = json_pack("{s:s}", name, value);
	if (!pair || json_array_append_new(read->mdev->attrs, pair) < 0)
		return read_no_memory(read);
	return 0;
}

static int read_attr(struct read *read, xmlNodePtr node)
{
	static const char *const names[] = {"name", "value", NULL};
	umdev_autofree char *name = NULL;
	umdev_autofree char *value = NULL;
	int r = read_only_attributes(read, node, names);

	if (r == 0)
		r = read_attribute(read, node, "name", &name);
	if (r == 0)
		r = read_attribute(read, node, "value", &value);
	if (r < 0)
		return r;
	if (!name || !value || node->children)
		return read_fail(read, node, "attr",
				 "<attr> needs a name and a value, as attributes");
	r = read_check_value(read, node, "name", name);
	/* A value may be empty: that is one for some attributes. */
	if (r == 0 && value[0])
		r = read_check_value(read, node, name, value);
	return r < 0 ? r : read_add(read, node, name, value);
}

static bool read_is_between(char c)
{
	return isspace((unsigned char)c) || c == ',' || c == ';';
}

static bool read_is_quote(char c)
{
	return c == '\'' || c == '"';
}

/* <group> of 2016 is the attribute mdev/group. */
static int read_group(struct read *read, xmlNodePtr node)
{
	umdev_autofree char *text = NULL;
	int r = 0;

	if (read->has_group)
		r = read_fail(read, node, "group", "<group> is given twice");
	read->has_group = true;
	if (r == 0)
		r = read_plain_text(read, node, &text);
	if (r == 0)
		r = read_check_uuid(read, node, "group", text);
	if (r < 0)
		return r;
	for (char *c = text; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return read_add(read, node, "mdev/group", text);
}

/* Takes the quotes around the whole text away: '...' is how the proposal of 2016 wrote it. */
static char *read_unwrap(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	if (len < 2 || !read_is_quote(text[0]) || strchr(text + 1, text[0]) != text + len - 1)
		return text;
	text[len - 1] = '\0';
	return text + 1;
}

/* The end of the word that begins at @at, without its quotes, which hold together what is in them;
 * *@ret_next is where to go on. NULL when a quote is not closed. */
static char *read_word(char *at, char **ret_next)
{
	char quote = '\0';
	char *to = at;

	for (; *at && (quote || !read_is_between(*at)); at++) {
		if (quote ? *at == quote : read_is_quote(*at))
			quote = quote ? '\0' : *at;
		else
			*to++ = *at;
	}
	*ret_next = *at ? at + 1 : at;
	return quote ? NULL : to;
}

/* One key=value of <params>; the first of them is attribute @first of the device. */
static int read_param(struct read *read, xmlNodePtr node, char *word, size_t first)
{
	char *equals = strchr(word, '=');

	if (!equals || equals == word)
		return read_fail(read, node, "params",
				 "'%.64s' in <params> is not key=value, with an attribute of the "
				 "device as key",
				 word);
	*equals = '\0';
	for (; first < json_array_size(read->mdev->attrs); first++) {
		if (json_object_get(json_array_get(read->mdev->attrs, first), word))
			return read_fail(read, node, word, "%.64s stands in <params> twice", word);
	}
	return 0;
}

static int read_params(struct read *read, xmlNodePtr node)
{
	size_t first = json_array_size(read->mdev->attrs);
	umdev_autofree char *text = NULL;
	int r = read_only_attributes(read, node, read_no_attributes);

	if (r == 0)
		r = read_words(read, node, &text);
	if (r < 0)
		return r;
	for (char *at = read_unwrap(text); r == 0 && *at;) {
		char *word = at;
		char *end;

		if (read_is_between(*at)) {
			at++;
			continue;
		}
		end = read_word(word, &at);
		if (!end)
			return read_fail(read, node, "params", "a quote in <params> is not closed");
		*end = '\0';
		r = read_param(read, node, word, first);
		if (r == 0)
			r = read_add(read, node, word, word + strlen(word) + 1);
	}
	return r;
}

static int read_capability(struct read *read, xmlNodePtr node)
{
	static const char *const names[] = {"type", NULL};
	static const struct read_rule rules[] = {
		{"type", read_type},	 {"uuid", read_uuid},
		{"attr", read_attr},	 {"group", read_group},
		{"params", read_params}, {"iommuGroup", NULL},
		{"parent_addr", NULL},	 {NULL, NULL},
	};
	umdev_autofree char *type = NULL;
	int r = read_only_attributes(read, node, names);

	if (read->has_capability)
		return read_fail(read, node, "capability", "<capability> is given twice");
	read->has_capability = true;
	if (r == 0)
		r = read_attribute(read, node, "type", &type);
	if (r < 0)
		return r;
	if (!type || strcmp(type, "mdev") != 0)
		return read_fail(read, node, "capability",
				 "<capability> is of type '%.64s'; only 'mdev' can be created",
				 type ? type : "");
	r = read_children(read, node, rules);
	if (r == 0 && !read->has_type)
		r = read_fail(read, node, "type", "<capability> says no <type id='...'/>");
	return r;
}

/* ---- The device ------------------------------------------------------------------------------ */

static int read_parent(struct read *read, xmlNodePtr node)
{
	return read_plain_text(read, node, &read->mdev->parent);
}

static int read_device(struct read *read, xmlNodePtr root)
{
	static const struct read_rule rules[] = {
		{"parent", read_parent},
		{"capability", read_capability},
		{"name", NULL},
		{"path", NULL},
		{"devnode", NULL},
		{"driver", NULL},
		{NULL, NULL},
	};
	int r;

	if (strcmp(read_name(root), "device") != 0)
		return read_fail(read, root, read_name(root),
				 "<%.64s> is no node device: that begins with <device>",
				 read_name(root));
	r = read_only_attributes(read, root, read_no_attributes);
	if (r == 0)
		r = read_children(read, root, rules);
	if (r == 0 && !read->has_capability)
		r = read_fail(read, root, "capability", "<device> has no <capability type='mdev'>");
	if (r == 0 && !read->mdev->parent)
		r = read_fail(read, root, "parent", "<device> says no <parent>");
	return r;
}

/* ---- The document ---------------------------------------------------------------------------- */

/* A document type is where entities come from; there is none in what we read. */
static void read_refuse_dtd(void *data, const xmlChar *name, const xmlChar *external,
			    const xmlChar *system)
{
	xmlParserCtxtPtr ctxt = data;

	*(bool *)ctxt->_private = true;
	xmlStopParser(ctxt);
}

/* The line @number of @text, to look at it. */
static const char *read_line(const char *text, size_t len, int number, size_t *ret_len)
{
	const char *end = text + len;

	while (--number > 0 && text < end) {
		const char *next = memchr(text, '\n', (size_t)(end - text));

		text = next ? next + 1 : end;
	}
	*ret_len = (size_t)(end - text);
	end = memchr(text, '\n', *ret_len);
	if (end)
		*ret_len = (size_t)(end - text);
	return text;
}

static int read_not_well_formed(xmlParserCtxtPtr ctxt, const char *text, size_t len,
				struct umdev_error *err)
{
	xmlErrorPtr fault = xmlCtxtGetLastError(ctxt);
	int number = fault && fault->line > 0 ? fault->line : 1;
	char why[160];
	size_t line_len;
	const char *line = read_line(text, len, number, &line_len);

	if (memmem(line, line_len, "<type=", strlen("<type=")))
		return error_set_key(err, ERROR_INVALID, "type",
				     "line %d: <type='...'/> is no XML: write <type id='...'/>",
				     number);
	snprintf(why, sizeof(why), "%s", fault && fault->message ? fault->message : "no XML");
	why[strcspn(why, "\n")] = '\0';
	if (strstr(why, "Excessive depth"))
		return error_set(err, ERROR_INVALID, "line %d: elements are nested too deep",
				 number);
	return error_set(err, ERROR_INVALID, "line %d: not well-formed: %s", number, why);
}

/* The document of @text, or NULL and @err. */
static xmlDocPtr read_document(xmlParserCtxtPtr ctxt, const char *text, size_t len,
			       struct umdev_error *err)
{
	bool has_dtd = false;
	xmlDocPtr doc;

	ctxt->_private = &has_dtd;
	ctxt->sax->internalSubset = read_refuse_dtd;
	ctxt->sax->externalSubset = read_refuse_dtd;
	doc = xmlCtxtReadMemory(ctxt, text, (int)len, NULL, NULL,
				XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
					XML_PARSE_NOCDATA | XML_PARSE_BIG_LINES);
	if (has_dtd) {
		xmlFreeDoc(doc);
		error_set_key(err, ERROR_INVALID, "DOCTYPE",
			      "line %d: a document type is not taken: leave <!DOCTYPE ...> out",
			      ctxt->input ? ctxt->input->line : 1);
		return NULL;
	}
	if (!doc)
		read_not_well_formed(ctxt, text, len, err);
	return doc;
}

int libvirt_mdev_read(const char *text, size_t len, struct libvirt_mdev *ret_mdev,
		      struct umdev_error *err)
{
	struct libvirt_mdev mdev = {.attrs = json_array()};
	struct read read = {.mdev = &mdev, .err = err};
	xmlParserCtxtPtr ctxt = NULL;
	xmlDocPtr doc = NULL;
	int r = -1;

	if (len > LIBVIRT_TEXT_MAX)
		r = error_set(err, ERROR_INVALID,
			      "%zu bytes are too long for a device: at most %lu", len,
			      LIBVIRT_TEXT_MAX);
	else if (memchr(text, '\0', len))
		r = error_set(err, ERROR_INVALID, "there is a NUL byte in it");
	else
		ctxt = xmlNewParserCtxt();
	if (ctxt)
		doc = read_document(ctxt, text, len, err);
	else if (r == -1)
		r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (doc)
		r = read_device(&read, xmlDocGetRootElement(doc));
	else if (r == -1)
		r = -error_word_errno(err->word);
	xmlFreeDoc(doc);
	xmlFreeParserCtxt(ctxt);
	if (r < 0) {
		libvirt_mdev_done(&mdev);
		return r;
	}
	*ret_mdev = mdev;
	return 0;
}

void libvirt_mdev_done(struct libvirt_mdev *mdev)
{
	free(mdev->parent);
	free(mdev->type);
	free(mdev->type_name);
	free(mdev->uuid);
	json_decref(mdev->attrs);
	memset(mdev, 0, sizeof(*mdev));
}
