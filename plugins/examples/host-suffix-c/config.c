/*
 * The plugin's options, and the checks that TOML's types cannot express.
 */
#include "plugin.h"

#include <stdlib.h>

/* Reports whether `name` is a token (RFC 9110, section 5.6.2). */
static bool is_token(const char *name)
{
    static const char octets[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
    for (const char *at = name; *at != '\0'; at++) {
        if (strchr(octets, to_lower(*at)) == NULL)
            return false;
    }
    return *name != '\0';
}

static char *lower(const char *text)
{
    size_t length = strlen(text);
    char *copy = pm_alloc(length + 1);
    for (size_t i = 0; i <= length; i++)
        copy[i] = to_lower(text[i]);
    return copy;
}

static const char *read_header(pm_value *value)
{
    const char *header = pm_as_text_or(value, "host");
    if (!is_token(header))
        pm_refuse(value, "\"%s\" is not the name of a header field", header);
    return lower(header);
}

static pm_str read_suffix(pm_value *value)
{
    const char *suffix = pm_as_text(value);
    if (*suffix == '\0')
        pm_refuse(value, "an empty suffix matches every value; for requests that no other rule "
                         "matches, set the frontend's `default_backend`");
    return pm_text(lower(suffix));
}

/* The suffixes of all rules, in their order. */
typedef struct suffixes {
    suffix *items;
    size_t count;
    size_t room;
} suffixes;

static void add_suffix(suffixes *list, pm_str text)
{
    if (list->count == list->room) {
        list->room = 2 * list->room + 8;
        suffix *items = pm_alloc_array(list->room, sizeof *items);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
    }
    list->items[list->count++].text = text;
}

/* Reads one suffix, or a list of suffixes any of which can match. */
static void read_suffixes(pm_value *value, suffixes *list)
{
    pm_kind kind = pm_kind_of(value);
    if (kind == PM_TEXT) {
        add_suffix(list, read_suffix(value));
    } else if (kind == PM_LIST) {
        for (size_t i = 0; i < pm_count(value); i++)
            add_suffix(list, read_suffix(pm_item(value, i)));
        if (pm_count(value) == 0)
            pm_refuse(value, "an empty list matches no request");
    } else {
        pm_refuse_type(value, "a text or a list of texts");
    }
}

/* Reads the rule in a table, and adds its suffixes. */
static group read_rule(pm_value *table, suffixes *list)
{
    size_t first = list->count;
    group alone = {0};
    alone.header = read_header(pm_find(table, "header"));
    alone.is_host = strcmp(alone.header, "host") == 0;
    read_suffixes(pm_get(table, "suffix"), list);
    const char *backend = pm_as_backend(pm_get(table, "backend"));
    alone.ignore_port = pm_as_bool(pm_find(table, "ignore_port"));
    alone.label_boundary = pm_as_bool(pm_find(table, "label_boundary"));
    for (size_t i = first; i < list->count; i++)
        list->items[i].backend = backend;
    alone.count = list->count - first;
    return alone;
}

static bool is_alike(const group *a, const group *b)
{
    return strcmp(a->header, b->header) == 0 && a->ignore_port == b->ignore_port &&
           a->label_boundary == b->label_boundary;
}

/* Orders suffixes alphabetically, and equal ones by their rules. */
static int compare(const void *a, const void *b)
{
    const suffix *left = *(suffix *const *)a;
    const suffix *right = *(suffix *const *)b;
    size_t shorter = left->text.len < right->text.len ? left->text.len : right->text.len;
    int order = memcmp(left->text.ptr, right->text.ptr, shorter);
    if (order == 0)
        order = (left->text.len > right->text.len) - (left->text.len < right->text.len);
    return order != 0 ? order : (left > right) - (left < right);
}

/* Removes the suffixes that an earlier rule has, since the entries of a matcher must differ. */
static void remove_repeated(group *group)
{
    suffix **sorted = pm_alloc_array(group->count, sizeof *sorted);
    for (size_t i = 0; i < group->count; i++)
        sorted[i] = &group->suffixes[i];
    qsort(sorted, group->count, sizeof *sorted, compare);
    pm_str before = pm_none();
    for (size_t i = 0; i < group->count; i++) {
        pm_str text = sorted[i]->text;
        if (pm_equal(text, before))
            sorted[i]->text = pm_none();
        before = text;
    }
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (!pm_is_none(group->suffixes[i].text))
            group->suffixes[count++] = group->suffixes[i];
    }
    group->count = count;
}

/* Returns the number of a backend. Suffixes with the same backend get the same number, so they
 * share cached decisions. A linear search is enough, since there are few backends. */
static uint32_t number_of(const group *group, const char *backend)
{
    for (size_t i = 0; i < group->count; i++) {
        if (strcmp(group->suffixes[i].backend, backend) == 0)
            return (uint32_t)i + 1;
    }
    return 0;
}

static void define(group *group, pm_value *rules)
{
    if (has_options(group))
        return;
    pm_numbered *entries = pm_alloc_array(group->count, sizeof *entries);
    for (size_t i = 0; i < group->count; i++) {
        entries[i].text = group->suffixes[i].text;
        entries[i].number = number_of(group, group->suffixes[i].backend);
    }
    /* Host is compared as sent, since it is not a list; other fields are compared member by
     * member. */
    const char *over =
        group->is_host ? "header:host" : pm_format("values:%s", group->header);
    group->in_field =
        pm_define_first_suffix(over, PM_IGNORE_CASE, entries, group->count, rules);
    if (group->is_host)
        group->in_connection =
            pm_define_first_suffix("host", PM_IGNORE_CASE, entries, group->count, rules);
}

groups read_groups(pm_value *config)
{
    pm_value *list = pm_get(config, "rules");
    size_t count = pm_count(list);
    suffixes suffixes = {NULL, 0, 0};
    /* There are no more groups than rules. */
    groups groups = {pm_alloc_array(count, sizeof *groups.items), 0};
    for (size_t i = 0; i < count; i++) {
        group rule = read_rule(pm_item(list, i), &suffixes);
        group *last = groups.count > 0 ? &groups.items[groups.count - 1] : NULL;
        if (last != NULL && is_alike(last, &rule))
            last->count += rule.count;
        else
            groups.items[groups.count++] = rule;
    }
    suffix *next = suffixes.items;
    for (size_t i = 0; i < groups.count; i++) {
        groups.items[i].suffixes = next;
        next += groups.items[i].count;
        remove_repeated(&groups.items[i]);
        define(&groups.items[i], list);
    }
    return groups;
}
