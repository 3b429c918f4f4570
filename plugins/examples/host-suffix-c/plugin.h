/* The rules, and how a value is compared. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "pointsman.h"

/* A suffix in lower case, never empty, and the backend of its rule. */
typedef struct suffix {
    pm_str text;
    const char *backend;
} suffix;

/* Rules that follow each other and look at the same field in the same way: their suffixes, in the
 * order of the rules, each once. */
typedef struct group {
    /* In lower case. */
    const char *header;
    /* `host` is no list: the proxy refuses a comma in it, and a second line. */
    bool is_host;
    /* The port is no part of what is compared. */
    bool ignore_port;
    /* A suffix may start only where a label does. */
    bool label_boundary;
    suffix *suffixes;
    size_t count;
    /* Without options. A number is that of the first suffix, from 1, with the same backend. */
    pm_question in_field;
    /* The same for connections without HTTP; defined for `host` alone. */
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
/* Takes the next value off a line that is a list; false once there is none. */
bool next_value(pm_str *line, pm_str *value);
/* A host without its port: `a` of `a:80`, `[::1]` of `[::1]:80`. */
pm_str without_port(pm_str host);
/* Whether `value` ends with `suffix`, which is in lower case, whatever its own case. */
bool ends_with(pm_str value, pm_str suffix);
/* Whether `suffix`, with which `value` ends, starts where a label of `value` does. */
bool starts_label(pm_str value, pm_str suffix);

#endif
