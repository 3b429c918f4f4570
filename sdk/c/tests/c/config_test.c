/* Tests of JSON, and of configuration errors. */
#include <stdlib.h>

#include "probe.h"

static const char *text;
static int64_t integer;
static double number;

static void read_table(pm_value *config)
{
    pm_value *rules = pm_get(config, "rules");
    for (size_t i = 0; i < pm_count(rules); i++) {
        pm_value *rule = pm_item(rules, i);
        text = pm_as_text(pm_get(rule, "suffix"));
        integer = pm_as_integer_or(pm_find(rule, "port"), 1, 65535, 80);
        if (*text == '\0')
            pm_refuse(pm_find(rule, "suffix"), "is %s", "empty");
    }
}

static void refuses(const char *json, const char *expected)
{
    PM_EXPECT(configure(json, read_table), expected);
}

static void errors_name_the_key(void)
{
    refuses("{}", "missing key \"rules\"");
    refuses("{\"rules\": {}}", "rules: expected a list, not a table");
    refuses("{\"rules\": [[]]}", "rules[0]: expected a table, not a list");
    refuses("{\"rules\": [{\"suffix\": \"a\"}, {\"suffix\": 5}]}",
            "rules[1].suffix: expected a text, not 5");
    refuses("{\"rules\": [{\"suffix\": null}]}", "rules[0].suffix: expected a text, not null");
    refuses("{\"rules\": [{\"suffix\": true}]}", "rules[0].suffix: expected a text, not true");
    refuses("{\"rules\": [{\"suffix\": \"\\u0000\"}]}",
            "rules[0].suffix: a NUL character in a text");
    refuses("{\"rules\": [{\"suffix\": \"\"}]}", "rules[0].suffix: is empty");
    refuses("{\"rules\": [{}]}", "rules[0]: missing key \"suffix\"");
    refuses("{\"rules\": [{\"suffix\": \"a\", \"port\": 65536}]}",
            "rules[0].port: expected an integer from 1 to 65535, not 65536");
    refuses("{\"rules\": [{\"suffix\": \"a\", \"port\": \"b\\\"\\n\"}]}",
            "rules[0].port: expected an integer from 1 to 65535, not \"b\\\"\\x0a\"");
    refuses("{\"rules\": [{\"suffix\": \"a\", \"port\": 80.0}]}",
            "rules[0].port: expected an integer from 1 to 65535, not 80.0");
}

static void a_key_that_is_not_read_is_an_error(void)
{
    refuses("{\"rules\": [], \"rule\": []}", "rule: unknown key");
    refuses("{\"rules\": [{\"suffix\": \"a\", \"sufix\": \"b\"}]}", "rules[0].sufix: unknown key");
    /* A misspelled key is also missing. */
    refuses("{\"rules\": [{\"sufix\": \"b\"}]}", "rules[0].sufix: unknown key");
    refuses("{\"rules\": [], \"\": 1}", ": unknown key");
    refuses("{\"rules\": [{\"suffix\": \"a\", \"suffix\": \"b\"}]}",
            "rules[0].suffix: unknown key");
    PM_EXPECT(configure("{\"a\": {}}", NULL), "a: unknown key");
    PM_EXPECT(configure("{}", NULL), "uncacheable");
}

static void takes_no_keys_of(pm_value *config)
{
    const char *key;
    for (size_t i = 0; i < pm_entries(config); i++) {
        pm_value *value = pm_entry(config, i, &key);
        if (strcmp(key, "a.b") == 0)
            pm_as_bool(pm_get(value, "c"));
        else if (strcmp(key, "backend") == 0)
            text = pm_as_backend(value);
        else if (strcmp(key, "number") == 0)
            number = pm_as_number(value, 0, 100);
        else
            pm_as_bool_or(value, true);
    }
    pm_entry(config, 99, &key);
    PM_CHECK(pm_kind_of(pm_item(config, 0)) == PM_ABSENT || pm_count(config) == 0);
}

static void takes_tables_with_keys_of_the_user(void)
{
    PM_EXPECT(configure("{\"x\": 1}", takes_no_keys_of), "x: expected true or false, not 1");
    PM_EXPECT(configure("{\"a.b\": {\"c\": 1}}", takes_no_keys_of),
              "a.b.c: expected true or false, not 1");
    PM_EXPECT(configure("{\"a.b\": {\"c\": true, \"d\": 1}}", takes_no_keys_of),
              "expected a list, not a table");
    pm_test_backend("\xc3\xa4");
    PM_EXPECT(configure("{\"backend\": \"b \\\" c\"}", takes_no_keys_of),
              "backend: there is no backend \"b \\\" c\"");
    PM_EXPECT(configure("{\"number\": 1e3}", takes_no_keys_of),
              "number: expected a number from 0 to 100, not 1e3");
    PM_EXPECT(configure("{\"number\": 1e999}", takes_no_keys_of),
              "number: expected a number from 0 to 100, not 1e999");
}

static void read_values(pm_value *config)
{
    text = pm_as_text_or(pm_find(config, "text"), "otherwise");
    integer = pm_as_integer_or(pm_find(config, "integer"), INT64_MIN, INT64_MAX, 7);
    number = pm_as_number_or(pm_find(config, "number"), -1e300, 1e300, 0.5);
    PM_CHECK(pm_as_bool_or(pm_find(config, "bool"), true));
    PM_CHECK(!pm_as_bool(NULL) && pm_as_integer(NULL, 1, 2) == 0 && pm_count(NULL) == 0);
    PM_EXPECT(pm_as_backend(NULL), "");
}

static void reads_values(void)
{
    configure("{}", read_values);
    PM_EXPECT(text, "otherwise");
    PM_CHECK(integer == 7 && number == 0.5);
    PM_EXPECT(configure(" {\"text\" :\"\\u00e4\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\" ,\t\n"
                        "\"integer\":-9223372036854775808,\"number\": -2.5e+1, \"bool\": true}\r ",
                        read_values),
              "uncacheable");
    PM_EXPECT(text, "\xc3\xa4\xf0\x9f\x98\x80\"\\/\b\f\n\r\t");
    PM_CHECK(integer == INT64_MIN && number == -25);
    PM_EXPECT(configure("{\"integer\": 9223372036854775807}", read_values), "uncacheable");
    PM_CHECK(integer == INT64_MAX);
    PM_EXPECT(configure("{\"integer\": 9223372036854775808}", read_values),
              "integer: expected an integer, not 9223372036854775808");
    PM_EXPECT(configure("{\"integer\": -9223372036854775809}", read_values),
              "integer: expected an integer, not -9223372036854775809");
    PM_EXPECT(configure("{\"integer\": 99999999999999999999999}", read_values),
              "integer: expected an integer, not 99999999999999999999999");
}

static void refuses_what_is_no_json(void)
{
    static const char *const texts[] = {
        "",        "{",         "{} {}",     "[",           "{\"a\"}",    "{\"a\":}",
        "{\"a\":1,}", "{,}",    "{a:1}",     "{\"a\":01}",  "{\"a\":1.}", "{\"a\":.5}",
        "{\"a\":+1}", "{\"a\":1e}", "{\"a\":-}", "{\"a\":tru}", "{\"a\":nul}", "{\"a\":[1,]}",
        "{\"a\":[1 2]}", "{\"a\":\"}", "{\"a\":\"\\", "{\"a\":\"\\\"}", "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}", "{\"a\":\"\\u123g\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\\ud800\\ud800\"}", "{\"a\":\"\n\"}",
        "{\"a\":\"\xff\"}", "'", "{'a':1}", "{\"a\":NaN}", "//\n{}", "\xef\xbb\xbf{}", "{}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *error = configure(texts[i], NULL);
        if (strncmp(error, "the configuration is no JSON, as of octet ", 42) != 0)
            PM_EXPECT(error, texts[i]);
    }
    PM_EXPECT(pm_test_configure_n(pm_octets("{}\0", 3)),
              "the configuration is no JSON, as of octet 2");
    PM_EXPECT(configure("[]", NULL), "the configuration is not a table");
    PM_EXPECT(configure("5", NULL), "the configuration is not a table");
}

static void read_deep(pm_value *value)
{
    while (pm_kind_of(value) == PM_LIST || pm_kind_of(value) == PM_TABLE)
        value = pm_kind_of(value) == PM_LIST ? pm_item(value, 0) : pm_find(value, "a");
}

static void bounds_nesting(void)
{
    static char deep[100000];
    for (size_t depth = 10; depth < 40000; depth *= 2) {
        size_t length = 0;
        memcpy(deep, "{\"a\":", 5);
        memset(deep + 5, '[', depth);
        memset(deep + 5 + depth, ']', depth);
        length = 5 + 2 * depth;
        deep[length++] = '}';
        deep[length] = '\0';
        const char *answer = configure(deep, read_deep);
        PM_CHECK((strcmp(answer, "uncacheable") == 0) == (depth < 100));
        deep[5 + depth] = '\0';
        configure(deep, read_deep);
    }
}

static void touch_all(pm_value *value)
{
    const char *key;
    pm_kind kind = pm_kind_of(value);
    if (kind == PM_TABLE) {
        for (size_t i = 0; i < pm_entries(value); i++)
            touch_all(pm_entry(value, i, &key));
    } else if (kind == PM_LIST) {
        for (size_t i = 0; i < pm_count(value); i++)
            touch_all(pm_item(value, i));
    }
    pm_as_text(value);
    pm_as_integer(value, -5, 5);
    pm_as_number(value, -5, 5);
}

static void survives_any_json(void)
{
    static const char start[] =
        "{\"a\": [1, -2.5e3, \"x\\u00e4\\n\", {\"b\": null, \"c\": [true, false]}], \"d\": {}}";
    static const char octets[] = "{}[]:,\"\\u0019dDeE+-. \n\x80\xc3\xff\0tfn";
    char json[sizeof start];
    srand(3);
    for (int round = 0; round < 20000; round++) {
        memcpy(json, start, sizeof start);
        for (int change = rand() % 4; change >= 0; change--)
            json[(size_t)rand() % (sizeof start - 1)] = octets[(size_t)rand() % (sizeof octets - 1)];
        configure("{}", touch_all);
        pm_str cut = pm_octets(json, sizeof start - 1 - (round % 3 == 0 ? (size_t)rand() % 20 : 0));
        PM_CHECK(strlen(pm_test_configure_n(cut)) > 0);
    }
}

void test_config(void)
{
    errors_name_the_key();
    a_key_that_is_not_read_is_an_error();
    takes_tables_with_keys_of_the_user();
    reads_values();
    refuses_what_is_no_json();
    bounds_nesting();
    survives_any_json();
}
