/* The rules, and what is compared of a field line. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "pointsman.h"

/* A rule, checked. */
typedef struct rule {
    /* In lower case, none empty. */
    pm_str *suffixes;
    size_t suffix_count;
    const char *backend;
    /* The port is no part of what is compared. */
    bool ignore_port;
    /* A suffix may start only where a label does. */
    bool label_boundary;
} rule;

/* Rules that follow each other and look at the same field, which is read once for all. */
typedef struct group {
    /* In lower case. */
    const char *header;
    /* `host` is no list: a comma in it is refused before routing, as is a second line. */
    bool is_host;
    rule *rules;
    size_t rule_count;
} group;

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
/* Whether `value` ends with `suffix`, which is in lower case, whatever its own case. */
bool ends_with(pm_str value, pm_str suffix);
/* Whether `suffix`, with which `value` ends, starts where a label of `value` does. */
bool starts_label(pm_str value, pm_str suffix);

#endif
