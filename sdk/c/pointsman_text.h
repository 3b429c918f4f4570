/*
 * Octets, strings and memory. Part of pointsman.h.
 *
 * A `const char *` is a string of the plugin itself or of its configuration. A `pm_str` comes from
 * a request: octets with a length, without a NUL at the end, and possibly not UTF-8.
 */
#ifndef POINTSMAN_TEXT_H
#define POINTSMAN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PM_PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))
#define PM_NORETURN __attribute__((__noreturn__))
#else
#define PM_PRINTF(at, first)
#define PM_NORETURN
#endif

/* Octets with a length. `ptr` is NULL only for none, as for a field that a request does not have.
 * An empty value has a `ptr`, and the length 0. */
typedef struct pm_str {
    const char *ptr;
    size_t len;
} pm_str;

/* A list of octets, such as the lines of a field. */
typedef struct pm_strs {
    const pm_str *items;
    size_t len;
} pm_strs;

/* Returns none. */
static inline pm_str pm_none(void)
{
    pm_str none = {NULL, 0};
    return none;
}

static inline bool pm_is_none(pm_str octets)
{
    return octets.ptr == NULL;
}

/* Returns the `len` octets at `ptr`. */
static inline pm_str pm_octets(const char *ptr, size_t len)
{
    pm_str octets = {ptr, len};
    return octets;
}

/* Returns a string as octets; none for NULL. */
static inline pm_str pm_text(const char *text)
{
    return pm_octets(text, text == NULL ? 0 : strlen(text));
}

/* Arguments for "%.*s", from a variable: pm_info("host %.*s", PM_ARG(host)). */
#define PM_ARG(octets) (int)(octets).len, ((octets).ptr == NULL ? "" : (octets).ptr)

/* Reports whether these are the octets of `text`. None is not equal to any string. */
bool pm_is(pm_str octets, const char *text);
/* Like pm_is, but ignores the case of ASCII letters. */
bool pm_is_nocase(pm_str octets, const char *text);
/* Reports whether both are none, or have the same octets. */
bool pm_equal(pm_str a, pm_str b);
bool pm_equal_nocase(pm_str a, pm_str b);
bool pm_starts_with(pm_str octets, const char *text);
bool pm_ends_with(pm_str octets, const char *text);
bool pm_is_utf8(pm_str octets);
/* Returns the octets without leading and trailing ASCII white space. */
pm_str pm_trim(pm_str octets);
/* Removes the octets before the next `separator` from the front of `*rest`, and stores them in
 * `*part`. Returns false once nothing is left: while (pm_split(&rest, ',', &part)) ... */
bool pm_split(pm_str *rest, char separator, pm_str *part);
/* Returns a copy with a NUL at the end. */
const char *pm_c_string(pm_str octets);
/* Returns a string, formatted as by printf. */
const char *pm_format(const char *format, ...) PM_PRINTF(1, 2);
/* Allocates memory that need not be freed (see pointsman.h). Never returns NULL. The contents are
 * undefined. */
void *pm_alloc(size_t size);
/* Allocates zeroed memory for `count` items of `size` octets each. */
void *pm_alloc_array(size_t count, size_t size);

#ifdef __cplusplus
}
#endif

#endif
