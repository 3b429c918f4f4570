/* Declarations that the SDK's files share. Not for plugins. */
#ifndef POINTSMAN_INTERNAL_H
#define POINTSMAN_INTERNAL_H

#include <stdarg.h>

#include "pointsman.h"

/* Memory (pointsman_memory.c). */

/* Ends configure: memory given out until now stays for good. */
void pm_memory_seal(void);
/* Ends route: frees the memory given out since. */
void pm_memory_reset(void);
/* Ends a test: frees everything. Not in the sandbox. */
void pm_memory_clear(void);

/* Octets (pointsman_text.c). */

/* The length of the UTF-8 sequence that `octets` begin with; 0 where there is none. */
size_t pm_utf8_length(pm_str octets);
/* Replaces octets that are not UTF-8 by U+FFFD: passed as text, they
 * would trap. */
pm_str pm_lossy(pm_str octets);
/* A copy, which has a NUL after it. */
pm_str pm_copy(pm_str octets);
pm_str pm_format_list(const char *format, va_list arguments);
char pm_lower(char octet);

/* A text that grows. */
typedef struct pm_builder {
    char *ptr;
    size_t len;
    size_t room;
} pm_builder;

void pm_append(pm_builder *builder, pm_str octets);
void pm_append_text(pm_builder *builder, const char *text);
void pm_append_integer(pm_builder *builder, int64_t number);
/* In double quotes, with escapes for what would break a line or the quotes. */
void pm_append_quoted(pm_builder *builder, pm_str octets);
pm_str pm_built(const pm_builder *builder);

/* JSON (pointsman_json.c). */

/* Any value of JSON, where it stands, and whether the plugin has asked for it. */
struct pm_value {
    pm_value *parent;
    /* Of an entry of a table; none for an item of a list. */
    pm_str key;
    size_t index;
    pm_kind kind;
    bool asked;
    bool boolean;
    /* A text, or a number as it was written; with a NUL at the end. */
    pm_str text;
    /* Of a list or a table. */
    pm_value **items;
    size_t count;
    /* Its next sibling, until `items` of its parent is made. */
    pm_value *next;
};

/* Reads `text` to its end; NULL, and where it went wrong, for what is not one value of JSON. */
pm_value *pm_json_read(pm_str text, size_t *wrong);

/* The configuration (pointsman_config.c). */

/* Begins configure; NULL, and the error, for what is no table. */
pm_value *pm_config_begin(pm_str text, pm_str *error);
/* Ends it: the error to tell, or none. */
pm_str pm_config_end(void);

/* Refuses the configuration because of a question: at `at`, or at no key if that is NULL. */
void pm_refuse_question(pm_value *at, pm_str reason);

/* For tests, not in the sandbox: as if there had been no configure (pointsman.c). */
void pm_forget(void);

#endif
