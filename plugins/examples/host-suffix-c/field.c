/*
 * Splits field lines into values, and compares the ends of values. Works on octets, since a value
 * need not be UTF-8.
 */
#include "plugin.h"

char to_lower(char octet)
{
    return octet >= 'A' && octet <= 'Z' ? (char)(octet + ('a' - 'A')) : octet;
}

/* Returns the position of the first comma outside of quotes, or the length if there is none. A
 * comma inside a quoted string does not separate values (RFC 9110, section 5.6.1). */
static size_t find_comma(pm_str line)
{
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '"')
            quoted = !quoted;
        else if (line.ptr[i] == '\\' && quoted)
            i++;
        else if (line.ptr[i] == ',' && !quoted)
            return i;
    }
    return line.len;
}

bool next_value(pm_str *line, pm_str *value)
{
    if (pm_is_none(*line))
        return false;
    size_t comma = find_comma(*line);
    *value = pm_trim(pm_octets(line->ptr, comma));
    *line = comma == line->len ? pm_none()
                               : pm_octets(line->ptr + comma + 1, line->len - comma - 1);
    return true;
}

pm_str without_port(pm_str host)
{
    pm_str rest = host;
    pm_str name;
    if (pm_starts_with(host, "[")) {
        pm_split(&rest, ']', &name);
        return pm_starts_with(rest, ":") ? pm_octets(host.ptr, name.len + 1) : host;
    }
    /* There must be only one colon: an address such as `::1` needs brackets before a port. */
    pm_str port;
    pm_str more;
    bool has_port = pm_split(&rest, ':', &name) && pm_split(&rest, ':', &port);
    return has_port && !pm_split(&rest, ':', &more) ? name : host;
}

bool ends_with(pm_str value, pm_str suffix)
{
    if (value.len < suffix.len)
        return false;
    const char *end = value.ptr + (value.len - suffix.len);
    /* Compares from the front: names of one site have the same end, so a difference is found sooner
     * at the front. */
    for (size_t i = 0; i < suffix.len; i++) {
        if (to_lower(end[i]) != suffix.ptr[i])
            return false;
    }
    return true;
}

bool starts_label(pm_str value, pm_str suffix)
{
    return suffix.ptr[0] == '.' || value.len == suffix.len ||
           value.ptr[value.len - suffix.len - 1] == '.';
}
