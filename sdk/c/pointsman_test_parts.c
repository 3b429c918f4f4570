/*
 * The double: a simple version of the proxy's parsing of a request's parts.
 */
#include "pointsman_test_internal.h"

/* A part that is one value, by its name. */
typedef struct part {
    const char *name;
    pm_str (*find)(void);
} part;

/* Returns the first line of a field, or none. */
static pm_str first_line(const char *name)
{
    for (size_t i = 0; i < test_now.field_count; i++) {
        if (pm_is_nocase(test_octets(&test_now.fields[i].name), name))
            return test_octets(&test_now.fields[i].value);
    }
    return pm_none();
}

pm_str test_authority(void)
{
    pm_str host = first_line("host");
    return pm_is_none(host) ? pm_octets("", 0) : host;
}

pm_str test_host(void)
{
    /* Without HTTP, the host is the server name. */
    pm_str host = test_now.has_version ? test_authority() : test_octets(&test_now.server_name);
    size_t end = 0;
    if (pm_starts_with(host, "[")) {
        const char *bracket = memchr(host.ptr, ']', host.len);
        end = bracket == NULL ? host.len : (size_t)(bracket - host.ptr) + 1;
    } else {
        while (end < host.len && host.ptr[end] != ':')
            end++;
    }
    if (end > 0 && host.ptr[end - 1] == '.')
        end--;
    char *lower = pm_alloc(end + 1);
    for (size_t i = 0; i < end; i++)
        lower[i] = pm_lower(host.ptr[i]);
    return pm_octets(lower, end);
}

pm_str test_path(void)
{
    pm_str rest = test_octets(&test_now.target);
    pm_str path = pm_none();
    pm_split(&rest, '?', &path);
    return path;
}

static int hex_digit(char digit)
{
    digit = pm_lower(digit);
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Decodes form data: `+` is a space, and %XX an octet. An invalid escape stays as it is. */
static pm_str decode(pm_str part)
{
    char *decoded = pm_alloc(part.len + 1);
    size_t length = 0;
    for (size_t i = 0; i < part.len; i++) {
        char octet = part.ptr[i] == '+' ? ' ' : part.ptr[i];
        int high = octet == '%' && part.len - i > 2 ? hex_digit(part.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(part.ptr[i + 2]) : -1;
        if (low >= 0) {
            octet = (char)(high << 4 | low);
            i += 2;
        }
        decoded[length++] = octet;
    }
    return pm_octets(decoded, length);
}

pm_str test_query_parameter(pm_str name)
{
    pm_str query = test_octets(&test_now.target);
    pm_str parameter;
    pm_split(&query, '?', &parameter);
    while (pm_split(&query, '&', &parameter)) {
        pm_str value = parameter;
        pm_str key;
        pm_split(&value, '=', &key);
        if (pm_equal(decode(key), name))
            return pm_is_none(value) ? pm_octets("", 0) : decode(value);
    }
    return pm_none();
}

pm_str test_cookie(pm_str name)
{
    for (size_t i = 0; i < test_now.field_count; i++) {
        pm_str rest = test_octets(&test_now.fields[i].value);
        pm_str pair;
        bool is_cookie = pm_is_nocase(test_octets(&test_now.fields[i].name), "cookie");
        while (is_cookie && pm_split(&rest, ';', &pair)) {
            pm_str value = pm_trim(pair);
            pm_str key;
            pm_split(&value, '=', &key);
            if (!pm_is_none(value) && pm_equal(key, name))
                return value;
        }
    }
    return pm_none();
}

/* Returns the position of the first comma outside of quotes, or the length if there is none. */
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

static void add_value(pm_strs *list, pm_str value)
{
    pm_str *items = pm_alloc_array(list->len + 1, sizeof *items);
    if (list->len > 0)
        memcpy(items, list->items, list->len * sizeof *items);
    items[list->len++] = value;
    list->items = items;
}

static void add_members(pm_strs *list, pm_str line)
{
    while (true) {
        size_t comma = find_comma(line);
        add_value(list, pm_trim(pm_octets(line.ptr, comma)));
        if (comma == line.len)
            return;
        line = pm_octets(line.ptr + comma + 1, line.len - comma - 1);
    }
}

static pm_strs field_values(pm_str name, bool is_list)
{
    pm_strs values = {NULL, 0};
    for (size_t i = 0; i < test_now.field_count; i++) {
        pm_str line = test_octets(&test_now.fields[i].value);
        if (!pm_equal_nocase(test_octets(&test_now.fields[i].name), name))
            continue;
        if (is_list)
            add_members(&values, line);
        else
            add_value(&values, line);
    }
    return values;
}

/* Returns the child of a JSON value that a token of a pointer names; NULL if there is none, or if
 * there are two. */
static pm_value *child(const pm_value *value, pm_str token)
{
    pm_value *found = NULL;
    pm_builder key = {0};
    for (size_t i = 0; i < token.len; i++) {
        bool escaped = token.ptr[i] == '~' && i + 1 < token.len;
        pm_str octet = pm_octets(token.ptr + i, 1);
        if (escaped)
            octet = pm_text(token.ptr[++i] == '1' ? "/" : "~");
        pm_append(&key, octet);
    }
    for (size_t i = 0; i < value->count; i++) {
        pm_str name = value->kind == PM_LIST ? pm_text(pm_format("%zu", i)) : value->items[i]->key;
        if (!pm_equal(name, pm_built(&key)))
            continue;
        if (found != NULL)
            return NULL;
        found = value->items[i];
    }
    return found;
}

static pm_str body_member(pm_str pointer)
{
    size_t wrong = 0;
    pm_str coding = first_line("content-encoding");
    bool is_plain = pm_is_none(coding) || pm_is_nocase(coding, "identity");
    bool is_whole = test_now.has_body && test_now.body_is_complete;
    pm_value *value =
        is_plain && is_whole ? pm_json_read(test_octets(&test_now.body), &wrong) : NULL;
    pm_str token;
    /* The text before the first `/` is empty. */
    pm_split(&pointer, '/', &token);
    while (value != NULL && pm_split(&pointer, '/', &token))
        value = child(value, token);
    switch (pm_kind_of(value)) {
    case PM_TEXT:
    case PM_NUMBER:
        return value->text;
    case PM_BOOL:
        return pm_text(value->boolean ? "true" : "false");
    default:
        return pm_none();
    }
}

static pm_str method(void)
{
    return test_octets(&test_now.method);
}

static pm_str scheme(void)
{
    return pm_text(test_now.has_tls ? "https" : "http");
}

static pm_str path_with_query(void)
{
    return test_octets(&test_now.target);
}

static pm_str client_address(void)
{
    return test_octets(&test_now.address);
}

static pm_str server_name(void)
{
    return test_now.has_server_name ? test_octets(&test_now.server_name) : pm_none();
}

static const part *find_part(pm_str over)
{
    static const part parts[] = {
        {"method", method},       {"scheme", scheme},
        {"path", test_path},      {"path-with-query", path_with_query},
        {"host", test_host},      {"authority", test_authority},
        {"client-address", client_address}, {"server-name", server_name},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (pm_is(over, parts[i].name))
            return &parts[i];
    }
    return NULL;
}

/* Splits `over` into its kind and its name: `cookie:NAME`. */
static bool split_part(pm_str over, pm_str *kind, pm_str *name)
{
    *name = over;
    return pm_split(name, ':', kind) && !pm_is_none(*name);
}

bool test_is_part(pm_str over)
{
    static const char *const kinds[] = {"query", "header", "values", "cookie", "body-json"};
    pm_str kind;
    pm_str name;
    if (!split_part(over, &kind, &name))
        return find_part(over) != NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (pm_is(kind, kinds[i]))
            return true;
    }
    return false;
}

pm_strs test_part(pm_str over)
{
    pm_strs values = {NULL, 0};
    pm_str value = pm_none();
    pm_str kind;
    pm_str name;
    if (!split_part(over, &kind, &name)) {
        const part *one = find_part(over);
        value = one == NULL ? pm_none() : one->find();
    } else if (pm_is(kind, "header") || pm_is(kind, "values")) {
        return field_values(name, pm_is(kind, "values"));
    } else if (pm_is(kind, "query")) {
        value = test_query_parameter(name);
    } else if (pm_is(kind, "cookie")) {
        value = test_cookie(name);
    } else {
        value = body_member(name);
    }
    if (!pm_is_none(value))
        add_value(&values, value);
    return values;
}
