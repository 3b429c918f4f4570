/*
 * Routes by the end of a header field, as HAProxy's ACL `hdr_end(host) -i` does, with a few more
 * options.
 *
 * Rules without options become a question, which the proxy answers by itself, so one cached
 * decision serves every value with the same answer. A rule with an option has to read the field,
 * which then becomes part of the decision's cache key.
 */
#include "plugin.h"

/* Groups in the order of their rules. The first rule that matches wins. */
static groups all;

pm_cacheability pm_configure(pm_value *config)
{
    all = read_groups(config);
    return PM_CACHEABLE;
}

/* Reports whether `value`, without surrounding blanks, ends as the group's options require. */
static bool matches(const group *group, const suffix *suffix, pm_str value)
{
    if (group->ignore_port)
        value = without_port(value);
    return ends_with(value, suffix->text) &&
           (!group->label_boundary || starts_label(value, suffix->text));
}

/* Reports whether a line matches or, if the field is a list, whether one of the line's values
 * matches. */
static bool matches_line(const group *group, const suffix *suffix, pm_str line)
{
    pm_str value;
    if (group->is_host)
        return matches(group, suffix, line);
    while (next_value(&line, &value)) {
        if (matches(group, suffix, value))
            return true;
    }
    return false;
}

/* Reports whether the rules compare Host and the connection does not use HTTP. Such a connection
 * has no fields, but its server name serves as the host. */
static bool has_no_http(const group *group, pm_request *request)
{
    return group->is_host && pm_is_none(pm_version(request));
}

/* Returns the backend of the first suffix that one of the field's values matches, or NULL. */
static const char *read_field(const group *group, pm_request *request)
{
    pm_strs lines = pm_header_lines(request, group->header);
    pm_str host;
    if (lines.len == 0 && has_no_http(group, request)) {
        host = pm_host(request);
        lines.items = &host;
        lines.len = 1;
    }
    for (size_t i = 0; i < group->count; i++) {
        for (size_t j = 0; j < lines.len; j++) {
            if (matches_line(group, &group->suffixes[i], lines.items[j]))
                return group->suffixes[i].backend;
        }
    }
    return NULL;
}

static const char *choose(const group *group, pm_request *request)
{
    if (has_options(group))
        return read_field(group, request);
    uint32_t number = pm_ask(request, group->in_field);
    if (number == 0 && has_no_http(group, request))
        number = pm_ask(request, group->in_connection);
    return number == 0 ? NULL : group->suffixes[number - 1].backend;
}

pm_decision pm_route(pm_request *request)
{
    for (size_t i = 0; i < all.count; i++) {
        const char *backend = choose(&all.items[i], request);
        if (backend != NULL)
            return pm_backend(backend);
    }
    return pm_next();
}
