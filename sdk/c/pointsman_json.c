/*
 * A strict parser of JSON (RFC 8259), which accepts hostile input.
 */
#include "pointsman_internal.h"

/* Deeper nesting is refused, since the parser is recursive and a plugin has little stack. */
#define MAX_DEPTH 100

typedef struct reader {
    const char *at;
    const char *end;
    unsigned depth;
} reader;

static pm_value *read_value(reader *in, pm_value *parent);

static void skip_space(reader *in)
{
    while (in->at < in->end) {
        char octet = *in->at;
        if (octet != ' ' && octet != '\t' && octet != '\n' && octet != '\r')
            return;
        in->at++;
    }
}

/* Consumes `octet` if it is next. */
static bool take(reader *in, char octet)
{
    if (in->at == in->end || *in->at != octet)
        return false;
    in->at++;
    return true;
}

static bool take_word(reader *in, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length) != 0)
        return false;
    in->at += length;
    return true;
}

static bool take_digits(reader *in)
{
    const char *start = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return in->at > start;
}

static bool read_number(reader *in, pm_str *literal)
{
    const char *start = in->at;
    take(in, '-');
    if (!take(in, '0') && !take_digits(in))
        return false;
    if (take(in, '.') && !take_digits(in))
        return false;
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+'))
            take(in, '-');
        if (!take_digits(in))
            return false;
    }
    *literal = pm_copy(pm_octets(start, (size_t)(in->at - start)));
    return true;
}

/* Reads four hexadecimal digits. */
static bool read_unit(reader *in, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        if (in->at == in->end)
            return false;
        char digit = pm_lower(*in->at++);
        if (digit >= '0' && digit <= '9')
            *unit = *unit * 16 + (uint32_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            *unit = *unit * 16 + (uint32_t)(digit - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* Reads the rest of an escape after `\u`, which can be a surrogate pair. */
static bool read_scalar(reader *in, uint32_t *scalar)
{
    if (!read_unit(in, scalar))
        return false;
    if (*scalar < 0xD800 || *scalar > 0xDFFF)
        return true;
    uint32_t low = 0;
    if (*scalar > 0xDBFF || !take_word(in, "\\u") || !read_unit(in, &low))
        return false;
    if (low < 0xDC00 || low > 0xDFFF)
        return false;
    *scalar = 0x10000 + ((*scalar - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static char *put_scalar(char *to, uint32_t scalar)
{
    if (scalar < 0x80) {
        *to++ = (char)scalar;
    } else if (scalar < 0x800) {
        *to++ = (char)(0xC0 | scalar >> 6);
        *to++ = (char)(0x80 | (scalar & 0x3F));
    } else if (scalar < 0x10000) {
        *to++ = (char)(0xE0 | scalar >> 12);
        *to++ = (char)(0x80 | (scalar >> 6 & 0x3F));
        *to++ = (char)(0x80 | (scalar & 0x3F));
    } else {
        *to++ = (char)(0xF0 | scalar >> 18);
        *to++ = (char)(0x80 | (scalar >> 12 & 0x3F));
        *to++ = (char)(0x80 | (scalar >> 6 & 0x3F));
        *to++ = (char)(0x80 | (scalar & 0x3F));
    }
    return to;
}

static bool read_escape(reader *in, char **to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end)
        return false;
    char name = *in->at++;
    if (name == 'u') {
        uint32_t scalar = 0;
        if (!read_scalar(in, &scalar))
            return false;
        *to = put_scalar(*to, scalar);
        return true;
    }
    const char *found = memchr(names, name, sizeof names - 1);
    if (found == NULL)
        return false;
    *(*to)++ = meanings[found - names];
    return true;
}

/* Gets the length of the string before the closing quote; false if there is no closing quote. */
static bool quoted_length(const reader *in, size_t *length)
{
    for (const char *at = in->at; at < in->end; at++) {
        if (*at == '"') {
            *length = (size_t)(at - in->at);
            return true;
        }
        if (*at == '\\' && ++at == in->end)
            return false;
    }
    return false;
}

static bool read_text(reader *in, pm_str *text)
{
    size_t length = 0;
    if (!take(in, '"') || !quoted_length(in, &length))
        return false;
    /* An escape is never shorter than the character that it stands for. */
    char *start = pm_alloc(length + 1);
    char *to = start;
    while (!take(in, '"')) {
        if ((unsigned char)*in->at < 0x20)
            return false;
        if (take(in, '\\')) {
            if (!read_escape(in, &to))
                return false;
        } else {
            *to++ = *in->at++;
        }
    }
    *to = '\0';
    *text = pm_octets(start, (size_t)(to - start));
    return true;
}

/* Stores the children of a list or a table, which are linked last first, so that they can be
 * indexed. */
static void number_children(pm_value *value, pm_value *last)
{
    value->items = pm_alloc_array(value->count, sizeof *value->items);
    size_t index = value->count;
    while (index > 0) {
        value->items[--index] = last;
        last->index = index;
        last = last->next;
    }
}

/* Reads the items of a list, or the items of a table, each after its key. */
static bool read_children(reader *in, pm_value *value, char closing)
{
    pm_value *last = NULL;
    skip_space(in);
    if (take(in, closing))
        return true;
    do {
        pm_str key = pm_none();
        skip_space(in);
        if (value->kind == PM_TABLE) {
            if (!read_text(in, &key))
                return false;
            skip_space(in);
            if (!take(in, ':'))
                return false;
        }
        pm_value *child = read_value(in, value);
        if (child == NULL)
            return false;
        child->key = key;
        child->next = last;
        last = child;
        value->count++;
        skip_space(in);
    } while (take(in, ','));
    number_children(value, last);
    return take(in, closing);
}

static bool read_nested(reader *in, pm_value *value, char closing)
{
    if (in->depth == MAX_DEPTH)
        return false;
    in->depth++;
    bool good = read_children(in, value, closing);
    in->depth--;
    return good;
}

static bool read_kind(reader *in, pm_value *value)
{
    skip_space(in);
    if (take(in, '{')) {
        value->kind = PM_TABLE;
        return read_nested(in, value, '}');
    }
    if (take(in, '[')) {
        value->kind = PM_LIST;
        return read_nested(in, value, ']');
    }
    if (in->at < in->end && *in->at == '"') {
        value->kind = PM_TEXT;
        return read_text(in, &value->text);
    }
    value->boolean = take_word(in, "true");
    if (value->boolean || take_word(in, "false")) {
        value->kind = PM_BOOL;
        return true;
    }
    if (take_word(in, "null")) {
        value->kind = PM_NULL;
        return true;
    }
    value->kind = PM_NUMBER;
    return read_number(in, &value->text);
}

static pm_value *read_value(reader *in, pm_value *parent)
{
    pm_value *value = pm_alloc_array(1, sizeof *value);
    value->parent = parent;
    return read_kind(in, value) ? value : NULL;
}

pm_value *pm_json_read(pm_str text, size_t *wrong)
{
    *wrong = 0;
    if (pm_is_none(text) || !pm_is_utf8(text))
        return NULL;
    reader in = {text.ptr, text.ptr + text.len, 0};
    pm_value *value = read_value(&in, NULL);
    skip_space(&in);
    *wrong = (size_t)(in.at - text.ptr);
    return in.at == in.end ? value : NULL;
}
