/*
 * Questions: their definitions and their answers.
 */
#include "pointsman_request.h"

/* A matcher's entries are passed on without a copy. */
_Static_assert(sizeof(pm_numbered) == sizeof(router_tuple2_string_u32_t), "same layout");
_Static_assert(offsetof(pm_numbered, number) == offsetof(router_tuple2_string_u32_t, f1),
               "same layout");

/* The number of a question whose definition failed. Such a plugin receives no requests, so it never
 * asks the question. */
#define NO_QUESTION UINT32_MAX

static uint32_t refused(pm_value *at, const char *message)
{
    pm_refuse_question(at, pm_text(message));
    return NO_QUESTION;
}

static uint32_t defined(pm_value *at, bool done, uint32_t id, const router_string_t *error)
{
    if (done)
        return id;
    pm_refuse_question(at, pm_from_string(*error));
    return NO_QUESTION;
}

static uint32_t define_matcher(pm_match match, router_string_t over, bool ignore_case,
                               router_list_tuple2_string_u32_t entries, pm_value *at)
{
    uint32_t id = NO_QUESTION;
    router_string_t error = {NULL, 0};
    bool done = false;
    switch (match) {
    case PM_EXACT:
        done = pointsman_router_questions_define_exact(&over, ignore_case, &entries, &id, &error);
        break;
    case PM_PREFIX:
        done = pointsman_router_questions_define_prefix(&over, ignore_case, &entries, &id, &error);
        break;
    case PM_PATH_PREFIX:
        done = pointsman_router_questions_define_path_prefix(&over, ignore_case, &entries, &id,
                                                             &error);
        break;
    case PM_SUFFIX:
        done = pointsman_router_questions_define_suffix(&over, ignore_case, &entries, &id, &error);
        break;
    case PM_FIRST_SUFFIX:
        done = pointsman_router_questions_define_first_suffix(&over, ignore_case, &entries, &id,
                                                              &error);
        break;
    case PM_DOMAIN:
        done = pointsman_router_questions_define_domain(&over, &entries, &id, &error);
        break;
    case PM_NETWORK:
        done = pointsman_router_questions_define_network(&over, &entries, &id, &error);
        break;
    case PM_REGEX:
        done = pointsman_router_questions_define_regex(&over, &entries, &id, &error);
        break;
    }
    return defined(at, done, id, &error);
}

pm_question pm_define_matcher_n(pm_match match, pm_str over, pm_case letters,
                                const pm_numbered *entries, size_t count, pm_value *at)
{
    pm_question question = {NO_QUESTION};
    for (size_t i = 0; i < count; i++) {
        const char *reason = NULL;
        if (entries[i].number == 0)
            reason = "the number is 0, which stands for no answer";
        else if (!pm_is_utf8(entries[i].text))
            reason = "the text is not UTF-8";
        if (reason != NULL) {
            refused(at, pm_format("entry %u: %s", (unsigned)(i + 1), reason));
            return question;
        }
    }
    if (!pm_is_utf8(over)) {
        refused(at, "the name of a part is not UTF-8");
        return question;
    }
    router_list_tuple2_string_u32_t list = {(void *)(uintptr_t)entries, count};
    question.id =
        define_matcher(match, pm_to_string(over), letters == PM_IGNORE_CASE, list, at);
    return question;
}

pm_question pm_define_share_n(pm_str over, pm_str salt, uint32_t per_million, pm_value *at)
{
    pm_question question = {NO_QUESTION};
    if (!pm_is_utf8(over) || !pm_is_utf8(salt)) {
        refused(at, "a share's part or salt is not UTF-8");
        return question;
    }
    router_string_t part = pm_to_string(over);
    router_string_t text = pm_to_string(salt);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_questions_define_share(&part, &text, per_million, &question.id,
                                                        &error);
    question.id = defined(at, done, question.id, &error);
    return question;
}

pm_question pm_define_usable_n(pm_str backend, pm_value *at)
{
    pm_question question = {NO_QUESTION};
    if (!pm_is_utf8(backend)) {
        refused(at, "the name of the backend is not UTF-8");
        return question;
    }
    router_string_t name = pm_to_string(backend);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_questions_define_usable(&name, &question.id, &error);
    question.id = defined(at, done, question.id, &error);
    return question;
}

pm_value_question pm_define_look_up_n(pm_str table, pm_str over, pm_value *at)
{
    pm_value_question question = {NO_QUESTION};
    if (!pm_is_utf8(table) || !pm_is_utf8(over)) {
        refused(at, "a look-up's table or part is not UTF-8");
        return question;
    }
    router_string_t name = pm_to_string(table);
    router_string_t part = pm_to_string(over);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_questions_define_look_up(&name, &part, &question.id, &error);
    question.id = defined(at, done, question.id, &error);
    return question;
}

pm_value_question pm_define_value_n(pm_str over, pm_value *at)
{
    pm_value_question question = {NO_QUESTION};
    if (!pm_is_utf8(over)) {
        refused(at, "the name of a part is not UTF-8");
        return question;
    }
    router_string_t part = pm_to_string(over);
    router_string_t error = {NULL, 0};
    bool done = pointsman_router_questions_define_value(&part, &question.id, &error);
    question.id = defined(at, done, question.id, &error);
    return question;
}

uint32_t pm_ask(pm_request *request, pm_question question)
{
    uint32_t number = 0;
    bool applies = pointsman_router_request_method_request_head_ask(request->head, question.id,
                                                                    &number);
    return applies ? number : 0;
}

pm_str pm_ask_value(pm_request *request, pm_value_question question)
{
    pointsman_router_request_field_value_t value;
    bool found = pointsman_router_request_method_request_head_ask_value(request->head, question.id,
                                                                        &value);
    return found ? pm_from_value(value) : pm_none();
}
