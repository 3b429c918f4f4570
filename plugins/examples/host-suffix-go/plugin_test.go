package main

import (
	"encoding/json"
	"testing"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

// The full table of requests is in host-suffix's cases.toml, for `pointsman plugin test`. This test
// covers the main ones, and values that are not UTF-8.

func TestTheEndOfAHostDecides(t *testing.T) {
	const boundary = `"label_boundary":true`
	const port = `"ignore_port":true`
	for _, c := range []struct {
		suffix, options, host string
		matches               bool
	}{
		{"io.test.tld", "", "io.test.tld", true},
		{"IO.Test.tld", "", "foo.io.tEST.tld", true},
		{"io.test.tld", "", "evilio.test.tld", true},
		{"io.test.tld", "", "test.tld", false},
		{"io.test.tld", "", "io.test.tld.", false},
		{"io.test.tld", "", "io.test.tld:80", false},
		{"io.test.tld", "", " \tio.test.tld\t", true},
		{"io.test.tld", "", "io.test.tld,other", false},
		{"io.test.tld", "", "other,io.test.tld", true},
		{"io.test.tld", "", "\xff\xfe.io.test.tld", true},
		{"io.test.tld", "", "io.test.tl\xe4", false},
		{"ä", "", "\xc3\xa4", true},
		{"ä", "", "\xc3\x84", false},
		{"io.test.tld", "", "", false},
		{"io.test.tld", port, "io.test.tld:80", true},
		{"io.test.tld", port, "io.test.tld:", true},
		{"::1]", port, "[::1]:80", true},
		{"db8:", port, "2001:db8::1", false},
		{"a", port, "[", false},
		{"io.test.tld", boundary, "io.test.tld", true},
		{"io.test.tld", boundary, "foo.io.test.tld", true},
		{"io.test.tld", boundary, "evilio.test.tld", false},
		{".io.test.tld", boundary, "foo.io.test.tld", true},
		{"io.test.tld", boundary + "," + port, "foo.io.test.tld:443", true},
	} {
		rule := `"backend":"b","suffix":` + quote(c.suffix)
		if c.options != "" {
			rule += "," + c.options
		}
		decision := route(t, rule, pointsmantest.Get("/").Header("Host", c.host))
		if (decision == pointsman.Backend("b")) != c.matches {
			t.Errorf("%s: %q: %v", rule, c.host, decision)
		}
	}
	if decision := route(t, `"backend":"b","suffix":"a"`, pointsmantest.Get("/")); decision != pointsman.Next() {
		t.Errorf("no host: %v", decision)
	}
}

func TestEachValueOfAListIsTried(t *testing.T) {
	for _, c := range []struct {
		lines   []string
		matches bool
	}{
		{[]string{"acme-BETA"}, true},
		{[]string{"acme-beta , initech"}, true},
		{[]string{"initech", "a,,b", ",acme-beta,"}, true},
		{[]string{`"acme-beta,\"x-beta,", initech`}, false},
		{[]string{`"-beta`, `\`, `"\`, `,`}, true},
		{[]string{`"-beta,`, `"\`, `,`, ""}, false},
		{nil, false},
	} {
		request := pointsmantest.Get("/").Header("host", "a-beta")
		for _, line := range c.lines {
			request.Header("X-Tenant", line)
		}
		decision := route(t, `"backend":"b","suffix":["x","-beta"],"header":"x-TENANT"`, request)
		if (decision == pointsman.Backend("b")) != c.matches {
			t.Errorf("%q: %v", c.lines, decision)
		}
	}
}

func TestTheFirstRuleThatMatchesWins(t *testing.T) {
	const rules = `"backend":"b","suffix":".org"},
		{"backend":"c","suffix":"-beta","header":"x-tenant"},
		{"backend":"d","suffix":"io.test.tld"},
		{"backend":"b","suffix":"tld"`
	for tenant, backend := range map[string]string{"acme-beta": "c", "acme": "d"} {
		request := pointsmantest.Get("/").Header("host", "io.test.tld").Header("x-tenant", tenant)
		if decision := route(t, rules, request); decision != pointsman.Backend(backend) {
			t.Errorf("%s: %v", tenant, decision)
		}
	}
}

func TestASuffixIsThatOfTheFirstRule(t *testing.T) {
	const rules = `"backend":"b","suffix":["io.test.tld","a"]},{"backend":"c","suffix":["IO.test.tld","b"]`
	for host, want := range map[string]pointsman.Decision{
		"io.test.tld": pointsman.Backend("b"),
		"b":           pointsman.Backend("c"),
		"c":           pointsman.Next(),
	} {
		if got := route(t, rules, pointsmantest.Get("/").Header("host", host)); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestAConnectionIsRoutedByItsServerName(t *testing.T) {
	for _, options := range []string{"", `,"label_boundary":true`, `,"ignore_port":true`} {
		rule := `"backend":"b","suffix":"io.test.tld"` + options
		for name, want := range map[string]pointsman.Decision{
			"foo.io.test.tld": pointsman.Backend("b"),
			"test.tld":        pointsman.Next(),
			"":                pointsman.Next(),
		} {
			if got := route(t, rule, pointsmantest.Connection(name)); got != want {
				t.Errorf("%s: %q: %v", rule, name, got)
			}
		}
	}
}

func TestABadConfigurationIsRefusedAtItsKey(t *testing.T) {
	const empty = "an empty suffix matches every value; for requests that no other rule " +
		"matches, set the frontend's `default_backend`"
	for config, want := range map[string]string{
		`{"rules":[{"suffix":"a","backend":"b"},{"suffix":"a","backend":"x"}]}`: `rules[1].backend: there is no backend "x"`,
		`{"rules":[{"suffix":5,"backend":"b"}]}`:                                "rules[0].suffix: expected a text or a list of texts, found 5",
		`{"rules":[{"suffix":["a",5],"backend":"b"}]}`:                          "rules[0].suffix[1]: expected a text, found 5",
		`{"rules":[{"suffix":[],"backend":"b"}]}`:                               "rules[0].suffix: an empty list matches no request",
		`{"rules":[{"suffix":"","backend":"b"}]}`:                               "rules[0].suffix: " + empty,
		`{"rules":[{"suffix":["a",""],"backend":"b"}]}`:                         "rules[0].suffix[1]: " + empty,
		`{"rules":[{"suffix":"a","backend":"b","header":"x tenant"}]}`:          `rules[0].header: "x tenant" is not the name of a header field`,
		`{"rules":[{"suffix":"a","backend":"b","header":""}]}`:                  `rules[0].header: "" is not the name of a header field`,
		`{"rules":[{"suffix":"a","backend":"b","ignore_port":1}]}`:              `rules[0].ignore_port: expected true or false, found 1`,
		`{"rules":[{"sufix":"a","backend":"b"}]}`:                               "rules[0].sufix: unknown key",
		`{"rules":[{"suffix":"a"}]}`:                                            `rules[0]: missing key "backend"`,
		`{"rules":[{"backend":"b"}]}`:                                           `rules[0]: missing key "suffix"`,
		`{"rules":{}}`:                                                          "rules: expected a list, found a table",
		`{}`:                                                                    `missing key "rules"`,
		`{"rules":[],"rule":[]}`:                                                "rule: unknown key",
	} {
		if _, err := pointsmantest.Configure(config, "b"); err == nil || err.Error() != want {
			t.Errorf("%s\n%v\n%s", config, err, want)
		}
	}
}

// route returns the decision of a plugin that has this rule.
func route(t *testing.T, rule string, request *pointsmantest.Request) pointsman.Decision {
	t.Helper()
	instance, err := pointsmantest.Configure(`{"rules":[{`+rule+`}]}`, "b", "c", "d")
	if err != nil {
		t.Fatal(err)
	}
	decision, err := instance.Route(request)
	if err != nil || !instance.Cacheable() {
		t.Fatal(err)
	}
	return decision
}

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}
