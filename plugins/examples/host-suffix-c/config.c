/*
 * The plugin's options, and the checks that TOML's types cannot make.
 */
#include "plugin.h"

/* Whether `name` is a token (RFC 9110, section 5.6.2). */
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
        pm_refuse(value, "an empty suffix matches every value; for the requests that no other rule "
                         "matches there is the frontend's `default_backend`");
    return pm_text(lower(suffix));
}

/* A text, or a list of which any may match. */
static void read_suffixes(pm_value *value, rule *rule)
{
    pm_kind kind = pm_kind_of(value);
    if (kind != PM_LIST && kind != PM_TEXT) {
        pm_refuse_type(value, "a text or a list of texts");
        return;
    }
    rule->suffix_count = kind == PM_LIST ? pm_count(value) : 1;
    rule->suffixes = pm_alloc_array(rule->suffix_count, sizeof *rule->suffixes);
    for (size_t i = 0; i < rule->suffix_count; i++)
        rule->suffixes[i] = read_suffix(kind == PM_LIST ? pm_item(value, i) : value);
    if (rule->suffix_count == 0)
        pm_refuse(value, "an empty list matches no request");
}

/* Makes the rule of a table, and gives the field that it looks at, in lower case. */
static const char *read_rule(pm_value *table, rule *rule)
{
    const char *header = read_header(pm_find(table, "header"));
    read_suffixes(pm_get(table, "suffix"), rule);
    rule->backend = pm_as_backend(pm_get(table, "backend"));
    rule->ignore_port = pm_as_bool(pm_find(table, "ignore_port"));
    rule->label_boundary = pm_as_bool(pm_find(table, "label_boundary"));
    return header;
}

groups read_groups(pm_value *config)
{
    pm_value *list = pm_get(config, "rules");
    size_t count = pm_count(list);
    rule *rules = pm_alloc_array(count, sizeof *rules);
    /* There are no more groups than rules. */
    groups groups = {pm_alloc_array(count, sizeof *groups.items), 0};
    for (size_t i = 0; i < count; i++) {
        const char *header = read_rule(pm_item(list, i), &rules[i]);
        group *last = groups.count > 0 ? &groups.items[groups.count - 1] : NULL;
        if (last == NULL || strcmp(last->header, header) != 0) {
            last = &groups.items[groups.count++];
            last->header = header;
            last->is_host = strcmp(header, "host") == 0;
            last->rules = &rules[i];
        }
        last->rule_count++;
    }
    return groups;
}
