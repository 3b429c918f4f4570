/* Tests of octets: comparison, trimming, splitting, UTF-8. */
#include <stdlib.h>

#include "pointsman_internal.h"
#include "probe.h"

static void compares(void)
{
    PM_CHECK(pm_is(pm_text("a"), "a"));
    PM_CHECK(!pm_is(pm_text("a"), "A"));
    PM_CHECK(!pm_is(pm_text("a"), "ab"));
    PM_CHECK(!pm_is(pm_octets("a\0b", 3), "a"));
    PM_CHECK(!pm_is(pm_none(), ""));
    PM_CHECK(pm_is(pm_octets("", 0), ""));
    PM_CHECK(pm_is_nocase(pm_text("aZ[\xc4"), "Az[\xc4"));
    PM_CHECK(!pm_is_nocase(pm_text("@`"), "`@"));
    PM_CHECK(!pm_is_nocase(pm_none(), "") && pm_is_nocase(pm_octets("", 0), ""));
    PM_CHECK(pm_starts_with(pm_text("abc"), "ab") && !pm_starts_with(pm_text("a"), "ab"));
    PM_CHECK(pm_ends_with(pm_text("abc"), "bc") && !pm_ends_with(pm_text("c"), "bc"));
    PM_CHECK(pm_starts_with(pm_octets("", 0), "") && !pm_starts_with(pm_none(), ""));
    PM_CHECK(pm_equal(pm_none(), pm_none()) && !pm_equal(pm_none(), pm_octets("", 0)));
}

static void trims_and_splits(void)
{
    PM_EXPECT(kept(pm_trim(pm_text(" \t\r\n\fa b\v "))), "a b\v");
    PM_EXPECT(kept(pm_trim(pm_text("  "))), "");
    PM_EXPECT(kept(pm_trim(pm_none())), "(none)");
    pm_str rest = pm_text("a,,b,");
    pm_str part;
    static const char *const parts[] = {"a", "", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        PM_CHECK(pm_split(&rest, ',', &part));
        PM_EXPECT(kept(part), parts[i]);
    }
    PM_CHECK(!pm_split(&rest, ',', &part));
}

static void knows_utf8(void)
{
    static const char *const good[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",         "\xc0\x80",         "\xc1\xbf",
                                      "\xc3",         "\xe0\x9f\xbf",     "\xed\xa0\x80",
                                      "\xe2\x82",     "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80", "\xff",         "a\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        PM_CHECK(pm_is_utf8(pm_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        PM_CHECK(!pm_is_utf8(pm_text(bad[i])));
    PM_EXPECT(kept(pm_lossy(pm_text("a\xff\xc3\xa4\xe2\x82"))),
              "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd");
}

static void formats(void)
{
    pm_str octets = pm_octets("bcd", 2);
    pm_str none = pm_none();
    PM_EXPECT(pm_format("%d %s %.*s|", -1, "a", PM_ARG(octets)), "-1 a bc|");
    PM_EXPECT(pm_format("%.*s", PM_ARG(none)), "");
    pm_builder builder = {0};
    pm_append_integer(&builder, INT64_MIN);
    pm_append_quoted(&builder, pm_text("\"\\\n\x7f\xc3\xa4"));
    PM_EXPECT(pm_built(&builder).ptr, "-9223372036854775808\"\\\"\\\\\\x0a\\x7f\xc3\xa4\"");
    PM_EXPECT(pm_c_string(pm_octets("a\0b", 3)), "a");
}

void test_text(void)
{
    compares();
    trims_and_splits();
    knows_utf8();
    formats();
}
