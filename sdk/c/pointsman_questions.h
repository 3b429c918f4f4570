/*
 * Questions about a request, which the proxy answers by itself. Part of pointsman.h.
 *
 * Define them in pm_configure, ask them in pm_route. The proxy answers natively, once for each
 * request, and keeps decisions under the answers: one decision serves every request with the same
 * answers, whatever their paths, hosts and cookies are.
 *
 * `over` names the part of the request that a question is about: `method`, `scheme`, `authority`,
 * `host`, `path`, `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each
 * member of a comma-separated list, quotes respected), `cookie:NAME`, `client-address`,
 * `server-name`, or `body-json:POINTER` (RFC 6901). Of several lines or members a match takes the
 * best of all, PM_EXACT the first that matches, a share or a look-up the first. Case means ASCII
 * case.
 *
 * A definition that makes no sense, such as two equal entries, refuses the configuration with the
 * proxy's reason: at the key of `at`, or at no key if that is NULL. Nobody has to check.
 */
#ifndef POINTSMAN_QUESTIONS_H
#define POINTSMAN_QUESTIONS_H

#include "pointsman_text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_request pm_request;
typedef struct pm_value pm_value;

/* An entry of a matcher, and the number that the proxy answers if it matches. Entries may share a
 * number: then they share cached decisions, too. 0 is refused, since pm_ask returns it for none. */
typedef struct pm_numbered {
    pm_str text;
    uint32_t number;
} pm_numbered;

/* A question whose answer is a number. */
typedef struct pm_question {
    uint32_t id;
} pm_question;

/* A question whose answer is a value. */
typedef struct pm_value_question {
    uint32_t id;
} pm_value_question;

typedef enum pm_case { PM_MATCH_CASE, PM_IGNORE_CASE } pm_case;

/* How a matcher compares. */
typedef enum pm_match {
    PM_EXACT,
    PM_PREFIX,
    PM_PATH_PREFIX,
    PM_SUFFIX,
    PM_FIRST_SUFFIX,
    PM_DOMAIN,
    PM_NETWORK,
    PM_REGEX
} pm_match;

/* The entry that is the whole part. */
static inline pm_question pm_define_exact(const char *over, pm_case letters,
                                          const pm_numbered *entries, size_t count, pm_value *at);
/* The longest entry that the part begins with. */
static inline pm_question pm_define_prefix(const char *over, pm_case letters,
                                           const pm_numbered *entries, size_t count, pm_value *at);
/* The same, ending at a `/` or at the end; a `/` at an entry's end is ignored. */
static inline pm_question pm_define_path_prefix(const char *over, pm_case letters,
                                                const pm_numbered *entries, size_t count,
                                                pm_value *at);
/* The longest entry that the part ends with. */
static inline pm_question pm_define_suffix(const char *over, pm_case letters,
                                           const pm_numbered *entries, size_t count, pm_value *at);
/* The first entry, in the order given, that the part ends with. */
static inline pm_question pm_define_first_suffix(const char *over, pm_case letters,
                                                 const pm_numbered *entries, size_t count,
                                                 pm_value *at);
/* The longest entry that the part, a host name, equals or is a subdomain of. */
static inline pm_question pm_define_domain(const char *over, const pm_numbered *entries,
                                           size_t count, pm_value *at);
/* The smallest network (CIDR) that contains the part, an address. */
static inline pm_question pm_define_network(const char *over, const pm_numbered *entries,
                                            size_t count, pm_value *at);
/* The first regular expression, in the order given, that matches: on bytes, unanchored, in the
 * syntax of Rust's crate `regex`. */
static inline pm_question pm_define_regex(const char *over, const pm_numbered *entries,
                                          size_t count, pm_value *at);

/* Whether the request is in a share of `per_million`: 1, or 0. Equal parts and salts are always in
 * the same share; a larger share contains a smaller one; a part that is absent or empty is in
 * none. `over` may also be `random`: drawn once per request, so that equal salts agree. */
static inline pm_question pm_define_share(const char *over, const char *salt, uint32_t per_million,
                                          pm_value *at);
/* Whether a backend has a usable server: 1, or 0. Answered anew at each attempt. */
static inline pm_question pm_define_usable(const char *backend, pm_value *at);
/* The value in the operator's table under the part as key. */
static inline pm_value_question pm_define_look_up(const char *table, const char *over,
                                                  pm_value *at);
/* The part itself. Used through one of the `_by` functions below, it is no part of the key under
 * which the decision is cached. */
static inline pm_value_question pm_define_value(const char *over, pm_value *at);

/* The number of the entry that matches, or 1 for yes; 0 if nothing does. */
uint32_t pm_ask(pm_request *request, pm_question question);
/* The value, or none. */
pm_str pm_ask_value(pm_request *request, pm_value_question question);

/* Options and edits by the answer to a question, which need not be asked. See pm_set_header,
 * pm_set_affinity and pm_tag. Without an answer, pm_set_header_by removes the field. */
static inline bool pm_set_header_by(pm_request *request, const char *name,
                                    pm_value_question question);
void pm_set_affinity_by(pm_request *request, pm_value_question question);
static inline void pm_tag_by(pm_request *request, const char *name, pm_value_question question);

/* The same with texts that have a length, which those above are made of. */
pm_question pm_define_matcher_n(pm_match match, pm_str over, pm_case letters,
                                const pm_numbered *entries, size_t count, pm_value *at);
pm_question pm_define_share_n(pm_str over, pm_str salt, uint32_t per_million, pm_value *at);
pm_question pm_define_usable_n(pm_str backend, pm_value *at);
pm_value_question pm_define_look_up_n(pm_str table, pm_str over, pm_value *at);
pm_value_question pm_define_value_n(pm_str over, pm_value *at);
bool pm_set_header_by_n(pm_request *request, pm_str name, pm_value_question question);
void pm_tag_by_n(pm_request *request, pm_str name, pm_value_question question);

static inline pm_question pm_define_exact(const char *over, pm_case letters,
                                          const pm_numbered *entries, size_t count, pm_value *at)
{
    return pm_define_matcher_n(PM_EXACT, pm_text(over), letters, entries, count, at);
}

static inline pm_question pm_define_prefix(const char *over, pm_case letters,
                                           const pm_numbered *entries, size_t count, pm_value *at)
{
    return pm_define_matcher_n(PM_PREFIX, pm_text(over), letters, entries, count, at);
}

static inline pm_question pm_define_path_prefix(const char *over, pm_case letters,
                                                const pm_numbered *entries, size_t count,
                                                pm_value *at)
{
    return pm_define_matcher_n(PM_PATH_PREFIX, pm_text(over), letters, entries, count, at);
}

static inline pm_question pm_define_suffix(const char *over, pm_case letters,
                                           const pm_numbered *entries, size_t count, pm_value *at)
{
    return pm_define_matcher_n(PM_SUFFIX, pm_text(over), letters, entries, count, at);
}

static inline pm_question pm_define_first_suffix(const char *over, pm_case letters,
                                                 const pm_numbered *entries, size_t count,
                                                 pm_value *at)
{
    return pm_define_matcher_n(PM_FIRST_SUFFIX, pm_text(over), letters, entries, count, at);
}

static inline pm_question pm_define_domain(const char *over, const pm_numbered *entries,
                                           size_t count, pm_value *at)
{
    return pm_define_matcher_n(PM_DOMAIN, pm_text(over), PM_IGNORE_CASE, entries, count, at);
}

static inline pm_question pm_define_network(const char *over, const pm_numbered *entries,
                                            size_t count, pm_value *at)
{
    return pm_define_matcher_n(PM_NETWORK, pm_text(over), PM_IGNORE_CASE, entries, count, at);
}

static inline pm_question pm_define_regex(const char *over, const pm_numbered *entries,
                                          size_t count, pm_value *at)
{
    return pm_define_matcher_n(PM_REGEX, pm_text(over), PM_MATCH_CASE, entries, count, at);
}

static inline pm_question pm_define_share(const char *over, const char *salt, uint32_t per_million,
                                          pm_value *at)
{
    return pm_define_share_n(pm_text(over), pm_text(salt), per_million, at);
}

static inline pm_question pm_define_usable(const char *backend, pm_value *at)
{
    return pm_define_usable_n(pm_text(backend), at);
}

static inline pm_value_question pm_define_look_up(const char *table, const char *over, pm_value *at)
{
    return pm_define_look_up_n(pm_text(table), pm_text(over), at);
}

static inline pm_value_question pm_define_value(const char *over, pm_value *at)
{
    return pm_define_value_n(pm_text(over), at);
}

static inline bool pm_set_header_by(pm_request *request, const char *name,
                                    pm_value_question question)
{
    return pm_set_header_by_n(request, pm_text(name), question);
}

static inline void pm_tag_by(pm_request *request, const char *name, pm_value_question question)
{
    pm_tag_by_n(request, pm_text(name), question);
}

#ifdef __cplusplus
}
#endif

#endif
