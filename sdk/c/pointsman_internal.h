/* Declarations that the SDK's files share. Not for plugins. */
#ifndef POINTSMAN_INTERNAL_H
#define POINTSMAN_INTERNAL_H

#include <stdarg.h>

#include "pointsman.h"

/* Memory (pointsman_memory.c). */

/* Ends configure: memory allocated until now is never freed. */
void pm_memory_seal(void);
/* Ends route: frees the memory allocated since it began. */
void pm_memory_reset(void);
/* Ends a test: frees all memory. Not used in the sandbox. */
void pm_memory_clear(void);

/* Octets (pointsman_text.c). */

/* Returns the length of the UTF-8 sequence that `octets` begin with; 0 if there is none. */
size_t pm_utf8_length(pm_str octets);
/* Replaces octets that are not UTF-8 with U+FFFD. They would trap if they were passed as a
 * string. */
pm_str pm_lossy(pm_str octets);
/* Returns a copy with a NUL after it. */
pm_str pm_copy(pm_str octets);
pm_str pm_format_list(const char *format, va_list arguments);
char pm_lower(char octet);

/* A string that is built in steps. */
typedef struct pm_builder {
    char *ptr;
    size_t len;
    size_t room;
} pm_builder;

void pm_append(pm_builder *builder, pm_str octets);
void pm_append_text(pm_builder *builder, const char *text);
void pm_append_integer(pm_builder *builder, int64_t number);
/* Appends octets in double quotes, and escapes what would break a line or the quotes. */
void pm_append_quoted(pm_builder *builder, pm_str octets);
pm_str pm_built(const pm_builder *builder);

/* JSON (pointsman_json.c). */

/* A value of JSON, its position, and whether the plugin has read it. */
struct pm_value {
    pm_value *parent;
    /* Key of an entry of a table; none for an item of a list. */
    pm_str key;
    size_t index;
    pm_kind kind;
    bool asked;
    bool boolean;
    /* A string, or a number as it was written, followed by a NUL. */
    pm_str text;
    /* Children of a list or a table. */
    pm_value **items;
    size_t count;
    /* The next sibling, until the parent's `items` are allocated. */
    pm_value *next;
};

/* Parses `text`, which must be one JSON value. Otherwise returns NULL, and the position of the
 * error. */
pm_value *pm_json_read(pm_str text, size_t *wrong);

/* The configuration (pointsman_config.c). */

/* Starts configure. Returns NULL, and the error, if `text` is not a JSON table. */
pm_value *pm_config_begin(pm_str text, pm_str *error);
/* Ends configure. Returns the error to report, or none. */
pm_str pm_config_end(void);

/* Refuses the configuration because of a question, at the key of `at`, or at no key if `at` is
 * NULL. */
void pm_refuse_question(pm_value *at, pm_str reason);

/* Undoes configure (pointsman.c). For tests only, not in the sandbox. */
void pm_forget(void);

#endif
