/*
 * The double: questions, and the facts that a test sets for them.
 */
#include "pointsman_test_internal.h"

#include <stdlib.h>

typedef pointsman_router_request_borrow_request_head_t borrowed;
typedef pointsman_router_request_field_value_t field_value;

typedef enum kind { MATCHER, SHARE, USABLE, LOOK_UP, VALUE } kind;

typedef struct question {
    kind kind;
    text over;
    /* The salt, the backend or the table. */
    text name;
    uint32_t per_million;
    test_matcher matcher;
} question;

static question *questions;
static size_t question_count;

static struct share {
    text salt;
    bool applies;
} *shares;
static size_t share_count;

static struct row {
    text table;
    text key;
    text value;
} *rows;
static size_t row_count;

/* Facts that the test sets. */

void pm_test_share(const char *salt, bool applies)
{
    size_t i = 0;
    while (i < share_count && !pm_is(test_octets(&shares[i].salt), salt))
        i++;
    if (i == share_count) {
        shares = test_grow(shares, ++share_count, sizeof *shares);
        memset(&shares[i], 0, sizeof *shares);
        test_set(&shares[i].salt, salt);
    }
    shares[i].applies = applies;
}

void test_clear_shares(void)
{
    while (share_count > 0)
        test_clear(&shares[--share_count].salt);
    free(shares);
    shares = NULL;
}

static struct row *find_row(pm_str table, pm_str key)
{
    for (size_t i = 0; i < row_count; i++) {
        if (pm_equal(test_octets(&rows[i].table), table) &&
            (pm_is_none(key) || pm_equal(test_octets(&rows[i].key), key)))
            return &rows[i];
    }
    return NULL;
}

void pm_test_table(const char *table, const char *key, const char *value)
{
    struct row *row = find_row(pm_text(table), pm_text(key));
    if (row == NULL) {
        rows = test_grow(rows, ++row_count, sizeof *rows);
        row = &rows[row_count - 1];
        memset(row, 0, sizeof *row);
        test_set(&row->table, table);
        test_set(&row->key, key);
    }
    test_set(&row->value, value);
}

void pm_test_no_tables(void)
{
    while (row_count > 0) {
        struct row *row = &rows[--row_count];
        test_clear(&row->table);
        test_clear(&row->key);
        test_clear(&row->value);
    }
    free(rows);
    rows = NULL;
}

void test_clear_questions(void)
{
    while (question_count > 0) {
        question *last = &questions[--question_count];
        test_clear_matcher(&last->matcher);
        test_clear(&last->over);
        test_clear(&last->name);
    }
    free(questions);
    questions = NULL;
}

/* Definitions. */

/* Returns the storage for a new question, and its number in `*ret`. */
static question *add_question(kind kind, uint32_t *ret)
{
    *ret = (uint32_t)question_count;
    questions = test_grow(questions, ++question_count, sizeof *questions);
    question *added = &questions[*ret];
    memset(added, 0, sizeof *added);
    added->kind = kind;
    return added;
}

static bool is_part(const router_string_t *over, router_string_t *error)
{
    pm_str name = test_checked(over);
    if (test_is_part(name))
        return true;
    return test_refuse(error, pm_format("\"%.*s\" is not a part of a request", PM_ARG(name)));
}

static bool define_matcher(pm_match match, const router_string_t *over, bool ignore_case,
                           const router_list_tuple2_string_u32_t *entries, uint32_t *ret,
                           router_string_t *error)
{
    if (!is_part(over, error))
        return false;
    question *added = add_question(MATCHER, ret);
    added->matcher.match = match;
    added->matcher.ignore_case = ignore_case;
    test_add_octets(&added->over, test_checked(over));
    for (size_t i = 0; i < entries->len; i++) {
        pm_str text = test_checked(&entries->ptr[i].f0);
        if (!test_add_entry(&added->matcher, text, entries->ptr[i].f1, error))
            return false;
    }
    return true;
}

bool pointsman_router_questions_define_exact(router_string_t *over, bool ignore_case,
                                             router_list_tuple2_string_u32_t *entries,
                                             uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_EXACT, over, ignore_case, entries, ret, err);
}

bool pointsman_router_questions_define_prefix(router_string_t *over, bool ignore_case,
                                              router_list_tuple2_string_u32_t *entries,
                                              uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_PREFIX, over, ignore_case, entries, ret, err);
}

bool pointsman_router_questions_define_path_prefix(router_string_t *over, bool ignore_case,
                                                   router_list_tuple2_string_u32_t *entries,
                                                   uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_PATH_PREFIX, over, ignore_case, entries, ret, err);
}

bool pointsman_router_questions_define_suffix(router_string_t *over, bool ignore_case,
                                              router_list_tuple2_string_u32_t *entries,
                                              uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_SUFFIX, over, ignore_case, entries, ret, err);
}

bool pointsman_router_questions_define_first_suffix(router_string_t *over, bool ignore_case,
                                                    router_list_tuple2_string_u32_t *entries,
                                                    uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_FIRST_SUFFIX, over, ignore_case, entries, ret, err);
}

bool pointsman_router_questions_define_domain(router_string_t *over,
                                              router_list_tuple2_string_u32_t *entries,
                                              uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_DOMAIN, over, true, entries, ret, err);
}

bool pointsman_router_questions_define_network(router_string_t *over,
                                               router_list_tuple2_string_u32_t *entries,
                                               uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_NETWORK, over, true, entries, ret, err);
}

bool pointsman_router_questions_define_regex(router_string_t *over,
                                             router_list_tuple2_string_u32_t *entries,
                                             uint32_t *ret, router_string_t *err)
{
    return define_matcher(PM_REGEX, over, false, entries, ret, err);
}

bool pointsman_router_questions_define_share(router_string_t *over, router_string_t *salt,
                                             uint32_t per_million, uint32_t *ret,
                                             router_string_t *err)
{
    bool random = pm_is(test_checked(over), "random");
    if (!random && !is_part(over, err))
        return false;
    if (per_million > 1000000)
        return test_refuse(err, "a share is at most 1000000 per million");
    question *added = add_question(SHARE, ret);
    test_add_octets(&added->over, test_checked(over));
    test_add_octets(&added->name, test_checked(salt));
    added->per_million = per_million;
    return true;
}

bool pointsman_router_questions_define_look_up(router_string_t *table, router_string_t *over,
                                               uint32_t *ret, router_string_t *err)
{
    pm_str name = test_checked(table);
    if (!is_part(over, err))
        return false;
    if (find_row(name, pm_none()) == NULL)
        return test_refuse(err, pm_format("there is no table \"%.*s\"", PM_ARG(name)));
    question *added = add_question(LOOK_UP, ret);
    test_add_octets(&added->over, test_checked(over));
    test_add_octets(&added->name, name);
    return true;
}

bool pointsman_router_questions_define_value(router_string_t *over, uint32_t *ret,
                                             router_string_t *err)
{
    if (!is_part(over, err))
        return false;
    test_add_octets(&add_question(VALUE, ret)->over, test_checked(over));
    return true;
}

bool pointsman_router_questions_define_usable(router_string_t *backend, uint32_t *ret,
                                              router_string_t *err)
{
    pm_str name = test_checked(backend);
    if (test_backend_state(name) == NULL)
        return test_refuse(err, pm_format("there is no backend \"%.*s\"", PM_ARG(name)));
    test_add_octets(&add_question(USABLE, ret)->name, name);
    return true;
}

/* Answers. */

static bool is_in_share(const question *share)
{
    bool random = pm_is(test_octets(&share->over), "random");
    pm_strs values = test_part(test_octets(&share->over));
    if (!random && (values.len == 0 || values.items[0].len == 0))
        return false;
    for (size_t i = 0; i < share_count; i++) {
        if (pm_equal(test_octets(&shares[i].salt), test_octets(&share->name)))
            return share->per_million > 0 && (shares[i].applies || share->per_million == 1000000);
    }
    return share->per_million == 1000000;
}

static const question *find_question(uint32_t id, bool is_value)
{
    if (id >= question_count)
        test_trap("a question was asked that is not defined");
    bool has_value = questions[id].kind == LOOK_UP || questions[id].kind == VALUE;
    if (has_value != is_value)
        test_trap("a question of another kind was asked");
    return &questions[id];
}

pm_str test_value_question(uint32_t id)
{
    const question *asked = find_question(id, true);
    if (asked->kind == VALUE)
        return test_octets(&asked->over);
    return pm_text(pm_format("%s[%s]", asked->name.ptr, asked->over.ptr));
}

bool pointsman_router_request_method_request_head_ask(borrowed self, uint32_t id, uint32_t *ret)
{
    static const char *const names[] = {"exact over",  "prefix over",       "path-prefix over",
                                        "suffix over", "first-suffix over", "domain over",
                                        "network over", "regex over"};
    (void)self;
    const question *asked = find_question(id, false);
    const pm_backend_state *state;
    switch (asked->kind) {
    case MATCHER:
        test_note_read(names[asked->matcher.match], test_octets(&asked->over));
        *ret = test_match(&asked->matcher, test_part(test_octets(&asked->over)));
        break;
    case SHARE:
        test_note_read("share over", test_octets(&asked->over));
        *ret = is_in_share(asked);
        break;
    default:
        test_note_read("usable", test_octets(&asked->name));
        state = test_backend_state(test_octets(&asked->name));
        *ret = state != NULL && state->usable_servers > 0;
        break;
    }
    return *ret != 0;
}

bool pointsman_router_request_method_request_head_ask_value(borrowed self, uint32_t id,
                                                            field_value *ret)
{
    (void)self;
    const question *asked = find_question(id, true);
    bool is_look_up = asked->kind == LOOK_UP;
    test_note_read(is_look_up ? "look-up" : "value over", test_value_question(id));
    pm_strs values = test_part(test_octets(&asked->over));
    pm_str value = values.len > 0 ? values.items[0] : pm_none();
    if (is_look_up && !pm_is_none(value)) {
        const struct row *row = find_row(test_octets(&asked->name), value);
        value = row == NULL ? pm_none() : test_octets(&row->value);
    }
    if (!pm_is_none(value))
        *ret = test_lift_value(value);
    return !pm_is_none(value);
}
