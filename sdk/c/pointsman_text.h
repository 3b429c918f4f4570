/*
 * Octets, texts and memory. Part of pointsman.h.
 *
 * `const char *` is a text of the plugin's own, or one from its configuration. `pm_str` came with
 * a request: octets with a length, no NUL at the end, perhaps not UTF-8.
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

/* Octets with a length. `ptr` is NULL for none, as for a field that a request does not have, and
 * only then: an empty value has a `ptr` and no length. */
typedef struct pm_str {
    const char *ptr;
    size_t len;
} pm_str;

/* Several, as the lines of a field. */
typedef struct pm_strs {
    const pm_str *items;
    size_t len;
} pm_strs;

/* None. */
static inline pm_str pm_none(void)
{
    pm_str none = {NULL, 0};
    return none;
}

static inline bool pm_is_none(pm_str octets)
{
    return octets.ptr == NULL;
}

/* The octets at `ptr`. */
static inline pm_str pm_octets(const char *ptr, size_t len)
{
    pm_str octets = {ptr, len};
    return octets;
}

/* A text as octets; none for NULL. */
static inline pm_str pm_text(const char *text)
{
    return pm_octets(text, text == NULL ? 0 : strlen(text));
}

/* For "%.*s", of a variable: pm_info("host %.*s", PM_ARG(host)). */
#define PM_ARG(octets) (int)(octets).len, ((octets).ptr == NULL ? "" : (octets).ptr)

/* Whether these are the octets of `text`. None is equal to no text. */
bool pm_is(pm_str octets, const char *text);
/* The same, whatever the case of ASCII letters. */
bool pm_is_nocase(pm_str octets, const char *text);
/* Whether both are none, or have the same octets. */
bool pm_equal(pm_str a, pm_str b);
bool pm_equal_nocase(pm_str a, pm_str b);
bool pm_starts_with(pm_str octets, const char *text);
bool pm_ends_with(pm_str octets, const char *text);
bool pm_is_utf8(pm_str octets);
/* Without leading and trailing ASCII white space. */
pm_str pm_trim(pm_str octets);
/* Takes the octets before the next `separator` off the front of `*rest`; false once nothing is
 * left: while (pm_split(&rest, ',', &part)) ... */
bool pm_split(pm_str *rest, char separator, pm_str *part);
/* A copy with a NUL at the end. */
const char *pm_c_string(pm_str octets);
/* A text, formatted as by printf. */
const char *pm_format(const char *format, ...) PM_PRINTF(1, 2);
/* Memory that need not be freed (see pointsman.h); never NULL. Its contents are undefined. */
void *pm_alloc(size_t size);
/* Room for `count` items of `size` octets each, zeroed. */
void *pm_alloc_array(size_t count, size_t size);

#ifdef __cplusplus
}
#endif

#endif
