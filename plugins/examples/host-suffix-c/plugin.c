/*
 * Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.
 *
 * No field is looked at beyond those that rules name: each is part of a cached decision.
 */
#include "plugin.h"

/* In the order of their rules, of which the first that matches wins. */
static groups all;

pm_cacheability pm_configure(pm_value *config)
{
    all = read_groups(config);
    return PM_CACHEABLE;
}

/* Whether `value`, without blanks around it, ends as `rule` asks. */
static bool matches(const rule *rule, pm_str value)
{
    if (rule->ignore_port)
        value = pm_without_port(value);
    for (size_t i = 0; i < rule->suffix_count; i++) {
        pm_str suffix = rule->suffixes[i];
        if (ends_with(value, suffix) && (!rule->label_boundary || starts_label(value, suffix)))
            return true;
    }
    return false;
}

static bool matches_any(const rule *rule, pm_strs lines)
{
    for (size_t i = 0; i < lines.len; i++) {
        pm_str rest = lines.items[i];
        pm_str value;
        while (next_value(&rest, &value)) {
            if (matches(rule, value))
                return true;
        }
    }
    return false;
}

/* The first rule that one of the field's values matches, or NULL. */
static const rule *choose(const group *group, pm_request *request)
{
    pm_strs lines = pm_header_lines(request, group->header);
    bool is_whole = group->is_host && lines.len == 1;
    pm_str host = is_whole ? pm_trim(lines.items[0]) : pm_none();
    for (size_t i = 0; i < group->rule_count; i++) {
        const rule *rule = &group->rules[i];
        if (is_whole ? matches(rule, host) : matches_any(rule, lines))
            return rule;
    }
    return NULL;
}

pm_decision pm_route(pm_request *request)
{
    for (size_t i = 0; i < all.count; i++) {
        const rule *rule = choose(&all.items[i], request);
        if (rule != NULL)
            return pm_backend(rule->backend);
    }
    return pm_default_backend();
}
