/*
 * The double: a simple version of the proxy's matchers.
 */
#define _GNU_SOURCE

#include "pointsman_test_internal.h"

#include <arpa/inet.h>
#include <limits.h>
#include <regex.h>
#include <stdlib.h>

struct test_entry {
    text text;
    uint32_t number;
    bool is_compiled;
    regex_t regex;
};

/* Parses a network into its address and the number of bits; false if it is not a network. */
static bool parse_network(pm_str network, unsigned char address[16], int *family, unsigned *bits)
{
    pm_str prefix = network;
    pm_str host;
    pm_split(&prefix, '/', &host);
    *family = memchr(host.ptr, ':', host.len) == NULL ? AF_INET : AF_INET6;
    unsigned most = *family == AF_INET ? 32 : 128;
    *bits = 0;
    for (size_t i = 0; i < prefix.len; i++) {
        if (prefix.ptr[i] < '0' || prefix.ptr[i] > '9' || *bits > most)
            return false;
        *bits = *bits * 10 + (unsigned)(prefix.ptr[i] - '0');
    }
    if (pm_is_none(prefix))
        *bits = most;
    else if (prefix.len == 0)
        return false;
    return *bits <= most && inet_pton(*family, pm_c_string(host), address) == 1;
}

static bool same_entry(const test_matcher *matcher, pm_str a, pm_str b)
{
    return matcher->ignore_case ? pm_equal_nocase(a, b) : pm_equal(a, b);
}

bool test_add_entry(test_matcher *matcher, pm_str octets, uint32_t number, router_string_t *error)
{
    size_t last = matcher->entry_count++;
    matcher->entries = test_grow(matcher->entries, last + 1, sizeof *matcher->entries);
    test_entry *entry = &matcher->entries[last];
    memset(entry, 0, sizeof *entry);
    test_add_octets(&entry->text, octets);
    entry->number = number;
    unsigned char address[16];
    int family;
    unsigned bits;
    for (size_t i = 0; i < last; i++) {
        if (same_entry(matcher, test_octets(&matcher->entries[i].text), octets))
            return test_refuse(error, pm_format("entry %zu repeats entry %zu, \"%.*s\"", last + 1,
                                                i + 1, PM_ARG(octets)));
    }
    if (matcher->match == PM_NETWORK && !parse_network(octets, address, &family, &bits))
        return test_refuse(error, pm_format("entry %zu, \"%.*s\", is not a network (CIDR)",
                                            last + 1, PM_ARG(octets)));
    if (matcher->match == PM_REGEX) {
        entry->is_compiled = regcomp(&entry->regex, entry->text.ptr, REG_EXTENDED) == 0;
        if (!entry->is_compiled)
            return test_refuse(error, pm_format("entry %zu, \"%.*s\", is not a regular expression",
                                                last + 1, PM_ARG(octets)));
    }
    return true;
}

void test_clear_matcher(test_matcher *matcher)
{
    while (matcher->entry_count > 0) {
        test_entry *entry = &matcher->entries[--matcher->entry_count];
        if (entry->is_compiled)
            regfree(&entry->regex);
        test_clear(&entry->text);
    }
    free(matcher->entries);
    matcher->entries = NULL;
}

static bool is_at(const test_matcher *matcher, pm_str value, size_t start, pm_str entry)
{
    return same_entry(matcher, pm_octets(value.ptr + start, entry.len), entry);
}

static bool network_contains(pm_str network, pm_str address)
{
    unsigned char net[16];
    unsigned char host[16];
    int net_family;
    int host_family;
    unsigned bits;
    unsigned all;
    if (memchr(address.ptr, '/', address.len) != NULL ||
        !parse_network(network, net, &net_family, &bits) ||
        !parse_network(address, host, &host_family, &all) || net_family != host_family)
        return false;
    for (unsigned i = 0; i < bits; i++) {
        if (((net[i / 8] ^ host[i / 8]) >> (7 - i % 8) & 1) != 0)
            return false;
    }
    return true;
}

static pm_str without(pm_str octets, char last)
{
    if (octets.len > 0 && octets.ptr[octets.len - 1] == last)
        octets.len--;
    return octets;
}

static bool entry_matches(const test_matcher *matcher, const test_entry *entry, pm_str value)
{
    pm_str octets = test_octets(&entry->text);
    if (matcher->match == PM_NETWORK)
        return network_contains(octets, value);
    if (matcher->match == PM_REGEX) {
        regmatch_t all = {0, (regoff_t)value.len};
        return value.len <= INT_MAX && regexec(&entry->regex, value.ptr, 1, &all, REG_STARTEND) == 0;
    }
    if (matcher->match == PM_PATH_PREFIX)
        octets = without(octets, '/');
    if (matcher->match == PM_DOMAIN) {
        octets = without(octets, '.');
        value = without(value, '.');
    }
    if (octets.len > value.len)
        return false;
    size_t rest = value.len - octets.len;
    switch (matcher->match) {
    case PM_EXACT:
        return rest == 0 && is_at(matcher, value, 0, octets);
    case PM_PREFIX:
        return is_at(matcher, value, 0, octets);
    case PM_PATH_PREFIX:
        return is_at(matcher, value, 0, octets) && (rest == 0 || value.ptr[octets.len] == '/');
    case PM_DOMAIN:
        return is_at(matcher, value, rest, octets) && (rest == 0 || value.ptr[rest - 1] == '.');
    default:
        return is_at(matcher, value, rest, octets);
    }
}

/* Reports whether the entry `a`, which matches, is better than the best one so far, `b`. */
static bool is_better(const test_matcher *matcher, const test_entry *a, const test_entry *b)
{
    unsigned char address[16];
    int family;
    unsigned bits_of_a;
    unsigned bits_of_b;
    switch (matcher->match) {
    case PM_FIRST_SUFFIX:
    case PM_REGEX:
        return a < b;
    case PM_EXACT:
        return false;
    case PM_NETWORK:
        return parse_network(test_octets(&a->text), address, &family, &bits_of_a) &&
               parse_network(test_octets(&b->text), address, &family, &bits_of_b) &&
               bits_of_a > bits_of_b;
    default:
        return a->text.len > b->text.len;
    }
}

uint32_t test_match(const test_matcher *matcher, pm_strs values)
{
    const test_entry *best = NULL;
    for (size_t i = 0; i < values.len; i++) {
        for (size_t j = 0; j < matcher->entry_count; j++) {
            const test_entry *entry = &matcher->entries[j];
            if (entry_matches(matcher, entry, values.items[i]) &&
                (best == NULL || is_better(matcher, entry, best)))
                best = entry;
        }
    }
    return best == NULL ? 0 : best->number;
}
