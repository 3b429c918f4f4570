/* The rules, and the comparison of values. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "pointsman.h"

/* A suffix in lower case, never empty, and the backend of its rule. */
typedef struct suffix {
    pm_str text;
    const char *backend;
} suffix;

/* Consecutive rules that compare the same field in the same way: their suffixes, in the order of
 * the rules, each once. */
typedef struct group {
    /* In lower case. */
    const char *header;
    /* `host` is not a list: the proxy rejects requests that have a comma in Host or several Host
     * lines. */
    bool is_host;
    /* Whether the port is left out of the comparison. */
    bool ignore_port;
    /* Whether a suffix matches only if it starts at a label. */
    bool label_boundary;
    suffix *suffixes;
    size_t count;
    /* The question of a group without options. The answer is the number, from 1, of the first
     * suffix with the same backend. */
    pm_question in_field;
    /* The question for connections without HTTP, which have no fields. Defined only if the field is
     * `host`. */
    pm_question in_connection;
} group;

static inline bool has_options(const group *group)
{
    return group->ignore_port || group->label_boundary;
}

typedef struct groups {
    group *items;
    size_t count;
} groups;

/* config.c */
groups read_groups(pm_value *config);

/* field.c */
char to_lower(char octet);
/* Removes the next value from the front of `line`, which is a list, and stores it in `value`.
 * Returns false if there is none. */
bool next_value(pm_str *line, pm_str *value);
/* Returns a host without its port: `a` for `a:80`, `[::1]` for `[::1]:80`. */
pm_str without_port(pm_str host);
/* Reports whether `value`, in any case, ends with `suffix`, which is in lower case. */
bool ends_with(pm_str value, pm_str suffix);
/* Reports whether `suffix` starts at a label of `value`, which must end with `suffix`. */
bool starts_label(pm_str value, pm_str suffix);

#endif
