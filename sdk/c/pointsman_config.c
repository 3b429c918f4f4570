/*
 * Reads of the configuration, which is JSON, and the one error that the proxy shows.
 */
#include "pointsman_internal.h"

#include <stdlib.h>

static pm_value *root;
/* The error for the first value that was refused, either for its type or by the plugin; none if no
 * value was refused. */
static pm_str refused;
/* The error for the first key that is missing. If a key is unknown, that error is reported instead,
 * since the unknown key is often the missing one, misspelled. */
static pm_str missing;

/* Replaces a value whose absence has been reported. */
static pm_value absent;

pm_value *pm_config_begin(pm_str text, pm_str *error)
{
    size_t wrong = 0;
    refused = pm_none();
    missing = pm_none();
    root = pm_json_read(text, &wrong);
    if (root != NULL && root->kind == PM_TABLE)
        return root;
    pm_builder builder = {0};
    if (root != NULL) {
        pm_append_text(&builder, "the configuration is not a table");
    } else {
        pm_append_text(&builder, "the configuration is no JSON, as of octet ");
        pm_append_integer(&builder, (int64_t)wrong);
    }
    *error = pm_built(&builder);
    return NULL;
}

/* Appends the path of a value, as in `rules[0].suffix`; nothing for the whole configuration. */
static void append_path(pm_builder *builder, const pm_value *value)
{
    if (value->parent == NULL)
        return;
    append_path(builder, value->parent);
    if (pm_is_none(value->key)) {
        pm_append_text(builder, "[");
        pm_append_integer(builder, (int64_t)value->index);
        pm_append_text(builder, "]");
    } else {
        if (value->parent->parent != NULL)
            pm_append_text(builder, ".");
        pm_append(builder, value->key);
    }
}

static pm_builder error_at(const pm_value *value)
{
    pm_builder builder = {0};
    append_path(&builder, value);
    if (value->parent != NULL)
        pm_append_text(&builder, ": ");
    return builder;
}

/* Returns a key that the plugin has not read, in a part of the configuration that it has read. */
static const pm_value *unasked(const pm_value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        const pm_value *child = value->items[i];
        if (!child->asked && value->kind == PM_TABLE)
            return child;
        const pm_value *found = child->asked ? unasked(child) : NULL;
        if (found != NULL)
            return found;
    }
    return NULL;
}

pm_str pm_config_end(void)
{
    if (!pm_is_none(refused))
        return refused;
    const pm_value *unknown = unasked(root);
    if (unknown == NULL)
        return missing;
    pm_builder builder = error_at(unknown);
    pm_append_text(&builder, "unknown key");
    return pm_built(&builder);
}

static bool is_there(const pm_value *value)
{
    return pm_kind_of(value) != PM_ABSENT;
}

void pm_refuse_n(pm_value *value, pm_str message)
{
    /* An absent value is either not an error, or has been reported. */
    if (!pm_is_none(refused) || !is_there(value))
        return;
    pm_builder builder = error_at(value);
    pm_append(&builder, pm_lossy(message));
    refused = pm_built(&builder);
}

void pm_refuse_question(pm_value *at, pm_str reason)
{
    if (at != NULL)
        pm_refuse_n(at, reason);
    else if (pm_is_none(refused))
        refused = pm_copy(pm_lossy(reason));
}

void pm_refuse(pm_value *value, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pm_refuse_n(value, pm_format_list(format, arguments));
    va_end(arguments);
}

void pm_refuse_type(pm_value *value, const char *expected)
{
    if (!is_there(value))
        return;
    pm_builder builder = {0};
    pm_append_text(&builder, "expected ");
    pm_append_text(&builder, expected);
    pm_append_text(&builder, ", not ");
    switch (value->kind) {
    case PM_TEXT:
        pm_append_quoted(&builder, value->text);
        break;
    case PM_NUMBER:
        pm_append(&builder, value->text);
        break;
    case PM_BOOL:
        pm_append_text(&builder, value->boolean ? "true" : "false");
        break;
    case PM_LIST:
        pm_append_text(&builder, "a list");
        break;
    case PM_TABLE:
        pm_append_text(&builder, "a table");
        break;
    default:
        pm_append_text(&builder, "null");
        break;
    }
    pm_refuse_n(value, pm_built(&builder));
}

/* Returns whether `value` is there and of this kind. Reports an error if it is of another kind. */
static bool has_kind(pm_value *value, pm_kind kind, const char *expected)
{
    if (!is_there(value))
        return false;
    if (value->kind == kind)
        return true;
    pm_refuse_type(value, expected);
    return false;
}

pm_kind pm_kind_of(const pm_value *value)
{
    return value == NULL ? PM_ABSENT : value->kind;
}

pm_value *pm_find_n(pm_value *table, pm_str key)
{
    if (!has_kind(table, PM_TABLE, "a table"))
        return NULL;
    for (size_t i = 0; i < table->count; i++) {
        pm_value *value = table->items[i];
        if (pm_equal(value->key, key)) {
            value->asked = true;
            return value;
        }
    }
    return NULL;
}

pm_value *pm_get_n(pm_value *table, pm_str key)
{
    pm_value *value = pm_find_n(table, key);
    if (value != NULL)
        return value;
    if (pm_kind_of(table) == PM_TABLE && pm_is_none(missing)) {
        pm_builder builder = error_at(table);
        pm_append_text(&builder, "missing key ");
        pm_append_quoted(&builder, pm_lossy(key));
        missing = pm_built(&builder);
    }
    return &absent;
}

pm_str pm_as_text_n(pm_value *value)
{
    return has_kind(value, PM_TEXT, "a text") ? value->text : pm_text("");
}

const char *pm_as_text(pm_value *value)
{
    pm_str text = pm_as_text_n(value);
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        pm_refuse_n(value, pm_text("a NUL character in a text"));
        return "";
    }
    return text.ptr;
}

const char *pm_as_text_or(pm_value *value, const char *otherwise)
{
    return is_there(value) ? pm_as_text(value) : otherwise;
}

pm_str pm_as_backend_n(pm_value *value)
{
    pm_str name = pm_as_text_n(value);
    pm_backend_state state;
    if (pm_kind_of(value) == PM_TEXT && !pm_get_backend_state_n(name, &state)) {
        pm_builder builder = {0};
        pm_append_text(&builder, "there is no backend ");
        pm_append_quoted(&builder, name);
        pm_refuse_n(value, pm_built(&builder));
    }
    return name;
}

const char *pm_as_backend(pm_value *value)
{
    pm_as_backend_n(value);
    return pm_as_text(value);
}

bool pm_as_bool(pm_value *value)
{
    return has_kind(value, PM_BOOL, "true or false") && value->boolean;
}

bool pm_as_bool_or(pm_value *value, bool otherwise)
{
    return is_there(value) ? pm_as_bool(value) : otherwise;
}

/* Parses an integer; false for a fraction, an exponent, or a value that does not fit in 64 bits. */
static bool parse_integer(const char *literal, int64_t *number)
{
    bool negative = *literal == '-';
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t magnitude = 0;
    for (literal += negative; *literal != '\0'; literal++) {
        if (*literal < '0' || *literal > '9')
            return false;
        unsigned digit = (unsigned)(*literal - '0');
        if (magnitude > (limit - digit) / 10)
            return false;
        magnitude = magnitude * 10 + digit;
    }
    if (!negative)
        *number = (int64_t)magnitude;
    else
        *number = magnitude == limit ? INT64_MIN : -(int64_t)magnitude;
    return true;
}

int64_t pm_as_integer(pm_value *value, int64_t min, int64_t max)
{
    int64_t number = 0;
    if (!is_there(value))
        return 0;
    if (value->kind == PM_NUMBER && parse_integer(value->text.ptr, &number) && number >= min &&
        number <= max)
        return number;
    pm_builder builder = {0};
    pm_append_text(&builder, "an integer");
    if (min != INT64_MIN || max != INT64_MAX) {
        pm_append_text(&builder, " from ");
        pm_append_integer(&builder, min);
        pm_append_text(&builder, " to ");
        pm_append_integer(&builder, max);
    }
    pm_refuse_type(value, pm_built(&builder).ptr);
    return 0;
}

int64_t pm_as_integer_or(pm_value *value, int64_t min, int64_t max, int64_t otherwise)
{
    return is_there(value) ? pm_as_integer(value, min, max) : otherwise;
}

double pm_as_number(pm_value *value, double min, double max)
{
    if (!is_there(value))
        return 0;
    double number = value->kind == PM_NUMBER ? strtod(value->text.ptr, NULL) : 0;
    if (value->kind == PM_NUMBER && number >= min && number <= max)
        return number;
    pm_refuse_type(value, pm_format("a number from %g to %g", min, max));
    return 0;
}

double pm_as_number_or(pm_value *value, double min, double max, double otherwise)
{
    return is_there(value) ? pm_as_number(value, min, max) : otherwise;
}

size_t pm_count(pm_value *list)
{
    return has_kind(list, PM_LIST, "a list") ? list->count : 0;
}

pm_value *pm_item(pm_value *list, size_t index)
{
    if (index >= pm_count(list))
        return &absent;
    list->items[index]->asked = true;
    return list->items[index];
}

size_t pm_entries(pm_value *table)
{
    return has_kind(table, PM_TABLE, "a table") ? table->count : 0;
}

pm_value *pm_entry(pm_value *table, size_t index, const char **key)
{
    if (index >= pm_entries(table)) {
        *key = "";
        return &absent;
    }
    pm_value *value = table->items[index];
    value->asked = true;
    *key = value->key.ptr;
    return value;
}
