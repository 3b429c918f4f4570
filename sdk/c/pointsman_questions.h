/*
 * Questions about a request that the proxy answers by itself. Part of pointsman.h.
 *
 * Define them in pm_configure, and ask them in pm_route. The proxy answers natively, once for each
 * request, and uses the answers as the key of its decision cache. So one cached decision serves
 * every request with the same answers, whatever the paths, hosts and cookies.
 *
 * `over` names the part of the request that a question is about: `method`, `scheme`, `authority`,
 * `host`, `path`, `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each
 * member of a comma-separated list, quotes respected), `cookie:NAME`, `client-address`,
 * `server-name`, or `body-json:POINTER` (RFC 6901). If the part has several lines or members, a
 * matcher uses the best match of all of them, and PM_EXACT the first that matches. A share or a
 * lookup uses the first line or member. Case means ASCII case.
 *
 * An invalid definition, such as one with two equal entries, refuses the configuration with the
 * proxy's reason. The error is at the key of `at`, or at no key if that is NULL. The plugin need
 * not check for it.
 */
#ifndef POINTSMAN_QUESTIONS_H
#define POINTSMAN_QUESTIONS_H

#include "pointsman_text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_request pm_request;
typedef struct pm_value pm_value;

/* An entry of a matcher, and the number that the proxy answers if the entry matches. Entries with
 * the same number share cached decisions. 0 is refused, since pm_ask returns it if no entry
 * matches. */
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

/* The kind of comparison that a matcher makes. */
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

/* Defines a matcher for the entry that equals the whole part. If the part has several lines or
 * members, the first that equals an entry wins. */
static inline pm_question pm_define_exact(const char *over, pm_case letters,
                                          const pm_numbered *entries, size_t count, pm_value *at);
/* Defines a matcher for the longest entry that is a prefix of the part. */
static inline pm_question pm_define_prefix(const char *over, pm_case letters,
                                           const pm_numbered *entries, size_t count, pm_value *at);
/* Defines a matcher for the longest entry that is a prefix of the part in whole segments: `/api`
 * matches `/api` and `/api/x`, but not `/apiary`. A `/` at the end of an entry is ignored. */
static inline pm_question pm_define_path_prefix(const char *over, pm_case letters,
                                                const pm_numbered *entries, size_t count,
                                                pm_value *at);
/* Defines a matcher for the longest entry that is a suffix of the part. */
static inline pm_question pm_define_suffix(const char *over, pm_case letters,
                                           const pm_numbered *entries, size_t count, pm_value *at);
/* Defines a matcher for the first entry, in the order given, that is a suffix of the part. */
static inline pm_question pm_define_first_suffix(const char *over, pm_case letters,
                                                 const pm_numbered *entries, size_t count,
                                                 pm_value *at);
/* Defines a matcher for the longest entry that the part, a host name, equals or is a subdomain
 * of. */
static inline pm_question pm_define_domain(const char *over, const pm_numbered *entries,
                                           size_t count, pm_value *at);
/* Defines a matcher for the smallest network (CIDR) that contains the part, an address. */
static inline pm_question pm_define_network(const char *over, const pm_numbered *entries,
                                            size_t count, pm_value *at);
/* Defines a matcher for the first regular expression, in the order given, that matches anywhere in
 * the part. Expressions match bytes and have the syntax of Rust's crate `regex`. */
static inline pm_question pm_define_regex(const char *over, const pm_numbered *entries,
                                          size_t count, pm_value *at);

/* Defines the question of whether the request is in a share of `per_million` requests out of
 * 1,000,000. The answer is 1 or 0, and depends only on the part and the salt. A request in a share
 * is also in every larger share with the same salt. A request in which the part is absent or empty
 * is in no share. `over` can also be `random`: a number drawn once per request, so shares with the
 * same salt and size give the same answer. */
static inline pm_question pm_define_share(const char *over, const char *salt, uint32_t per_million,
                                          pm_value *at);
/* Defines the question of whether a backend has a usable server: 1 or 0. The question is answered
 * again at each attempt. */
static inline pm_question pm_define_usable(const char *backend, pm_value *at);
/* Defines a lookup of the part in the operator's table `table`. The answer is the table's value for
 * the part. */
static inline pm_value_question pm_define_look_up(const char *table, const char *over,
                                                  pm_value *at);
/* Defines a question whose answer is the part itself. If only pm_set_header_by, pm_set_affinity_by
 * or pm_tag_by use the answer, it is not part of the key under which the decision is cached. */
static inline pm_value_question pm_define_value(const char *over, pm_value *at);

/* Returns the number of the matching entry, or 1 for yes; 0 if nothing matches. */
uint32_t pm_ask(pm_request *request, pm_question question);
/* Returns the value, or none. */
pm_str pm_ask_value(pm_request *request, pm_value_question question);

/* Options and edits that use the answer to a question. The plugin need not ask the question. See
 * pm_set_header, pm_set_affinity and pm_tag. If there is no answer, pm_set_header_by removes the
 * field. */
static inline bool pm_set_header_by(pm_request *request, const char *name,
                                    pm_value_question question);
void pm_set_affinity_by(pm_request *request, pm_value_question question);
static inline void pm_tag_by(pm_request *request, const char *name, pm_value_question question);

/* The same functions for strings with a length. The functions above call these. */
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
