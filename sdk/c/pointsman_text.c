/*
 * Octets and strings. These functions accept any octets, since octets come from clients.
 */
#include "pointsman_internal.h"

#include <stdio.h>

char pm_lower(char octet)
{
    return octet >= 'A' && octet <= 'Z' ? (char)(octet + ('a' - 'A')) : octet;
}

bool pm_equal(pm_str a, pm_str b)
{
    if (pm_is_none(a) || pm_is_none(b))
        return pm_is_none(a) && pm_is_none(b);
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

bool pm_is(pm_str octets, const char *text)
{
    return text != NULL && pm_equal(octets, pm_text(text));
}

bool pm_equal_nocase(pm_str a, pm_str b)
{
    if (pm_is_none(a) != pm_is_none(b) || a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (pm_lower(a.ptr[i]) != pm_lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool pm_is_nocase(pm_str octets, const char *text)
{
    return text != NULL && pm_equal_nocase(octets, pm_text(text));
}

bool pm_starts_with(pm_str octets, const char *text)
{
    pm_str start = pm_text(text);
    if (pm_is_none(octets) || pm_is_none(start) || start.len > octets.len)
        return false;
    return memcmp(octets.ptr, start.ptr, start.len) == 0;
}

bool pm_ends_with(pm_str octets, const char *text)
{
    pm_str end = pm_text(text);
    if (pm_is_none(octets) || pm_is_none(end) || end.len > octets.len)
        return false;
    return memcmp(octets.ptr + octets.len - end.len, end.ptr, end.len) == 0;
}

static bool is_space(char octet)
{
    return octet == ' ' || octet == '\t' || octet == '\n' || octet == '\f' || octet == '\r';
}

pm_str pm_trim(pm_str octets)
{
    while (octets.len > 0 && is_space(octets.ptr[0])) {
        octets.ptr++;
        octets.len--;
    }
    while (octets.len > 0 && is_space(octets.ptr[octets.len - 1]))
        octets.len--;
    return octets;
}

bool pm_split(pm_str *rest, char separator, pm_str *part)
{
    if (pm_is_none(*rest))
        return false;
    *part = *rest;
    const char *found = memchr(rest->ptr, separator, rest->len);
    if (found == NULL) {
        *rest = pm_none();
    } else {
        part->len = (size_t)(found - rest->ptr);
        rest->ptr = found + 1;
        rest->len -= part->len + 1;
    }
    return true;
}

static bool continues(pm_str octets, size_t index)
{
    return index < octets.len && ((unsigned char)octets.ptr[index] & 0xC0) == 0x80;
}

size_t pm_utf8_length(pm_str octets)
{
    if (octets.len == 0)
        return 0;
    unsigned char first = (unsigned char)octets.ptr[0];
    unsigned char second = octets.len > 1 ? (unsigned char)octets.ptr[1] : 0;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return continues(octets, 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        /* Overlong sequences and halves of surrogate pairs are invalid. */
        bool wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F);
        return !wrong && continues(octets, 1) && continues(octets, 2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        /* Overlong sequences and values above the last code point are invalid. */
        bool wrong = (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
        bool whole = continues(octets, 1) && continues(octets, 2) && continues(octets, 3);
        return !wrong && whole ? 4 : 0;
    }
    return 0;
}

bool pm_is_utf8(pm_str octets)
{
    while (octets.len > 0) {
        size_t length = pm_utf8_length(octets);
        if (length == 0)
            return false;
        octets.ptr += length;
        octets.len -= length;
    }
    return true;
}

pm_str pm_lossy(pm_str octets)
{
    if (pm_is_utf8(octets))
        return octets;
    pm_builder builder = {0};
    while (octets.len > 0) {
        size_t length = pm_utf8_length(octets);
        if (length == 0) {
            length = 1;
            pm_append_text(&builder, "\xEF\xBF\xBD");
        } else {
            pm_append(&builder, pm_octets(octets.ptr, length));
        }
        octets.ptr += length;
        octets.len -= length;
    }
    return pm_built(&builder);
}

pm_str pm_copy(pm_str octets)
{
    if (octets.len > SIZE_MAX - 1)
        pm_panic("out of memory");
    char *copy = pm_alloc(octets.len + 1);
    if (octets.len > 0)
        memcpy(copy, octets.ptr, octets.len);
    copy[octets.len] = '\0';
    return pm_octets(copy, octets.len);
}

const char *pm_c_string(pm_str octets)
{
    return pm_copy(octets).ptr;
}

pm_str pm_format_list(const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = NULL;
    if (length >= 0) {
        text = pm_alloc((size_t)length + 1);
        length = vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    return length >= 0 ? pm_octets(text, (size_t)length) : pm_text(format);
}

const char *pm_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pm_str text = pm_format_list(format, arguments);
    va_end(arguments);
    return text.ptr;
}

void pm_append(pm_builder *builder, pm_str octets)
{
    if (octets.len == 0)
        return;
    if (octets.len > builder->room - builder->len) {
        if (octets.len > SIZE_MAX / 4 || builder->len > SIZE_MAX / 4)
            pm_panic("out of memory");
        builder->room = 2 * (builder->len + octets.len);
        char *moved = pm_alloc(builder->room);
        if (builder->len > 0)
            memcpy(moved, builder->ptr, builder->len);
        builder->ptr = moved;
    }
    memcpy(builder->ptr + builder->len, octets.ptr, octets.len);
    builder->len += octets.len;
}

void pm_append_text(pm_builder *builder, const char *text)
{
    pm_append(builder, pm_text(text));
}

void pm_append_integer(pm_builder *builder, int64_t number)
{
    char digits[20];
    size_t start = sizeof digits;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        digits[--start] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        pm_append_text(builder, "-");
    pm_append(builder, pm_octets(digits + start, sizeof digits - start));
}

void pm_append_quoted(pm_builder *builder, pm_str octets)
{
    static const char hex[] = "0123456789abcdef";
    pm_append_text(builder, "\"");
    for (size_t i = 0; i < octets.len; i++) {
        unsigned char octet = (unsigned char)octets.ptr[i];
        if (octet == '"' || octet == '\\')
            pm_append_text(builder, "\\");
        if (octet < 0x20 || octet == 0x7F) {
            char escape[] = {'\\', 'x', hex[octet >> 4], hex[octet & 15]};
            pm_append(builder, pm_octets(escape, sizeof escape));
        } else {
            pm_append(builder, pm_octets(octets.ptr + i, 1));
        }
    }
    pm_append_text(builder, "\"");
}

pm_str pm_built(const pm_builder *builder)
{
    return pm_copy(pm_octets(builder->ptr == NULL ? "" : builder->ptr, builder->len));
}
