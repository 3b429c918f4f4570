package pointsman_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

// An answerer asks a question that it has defined, and returns the answer as a string.
type answerer func(request *pointsman.Request) string

// asking makes an instance that asks one question.
func asking(t *testing.T, define func() (answerer, error)) *testedQuestion {
	t.Helper()
	question := &testedQuestion{}
	pointsman.Export(func(pointsman.NoConfig) (pointsman.Router, error) {
		answer, err := define()
		return pointsman.Router{Route: func(request *pointsman.Request) (pointsman.Decision, error) {
			question.answer = answer(request)
			return pointsman.Next(), nil
		}}, err
	})
	proxy := pointsmantest.Proxy{
		Backends: []string{"primary"},
		Tables:   map[string]map[string]string{"tenants": {"acme": "acme_backend"}},
	}
	question.instance, question.err = proxy.Configure(`{}`)
	return question
}

type testedQuestion struct {
	instance *pointsmantest.Instance
	answer   string
	err      error
}

func (q *testedQuestion) of(t *testing.T, request *pointsmantest.Request) string {
	t.Helper()
	if q.err != nil {
		t.Fatal(q.err)
	}
	if _, err := q.instance.Route(request); err != nil {
		t.Fatal(err)
	}
	return q.answer
}

// matching returns an answerer for a matcher: the entry that matches, or none.
func matching(matcher *pointsman.Matcher[string], err error) (answerer, error) {
	return func(request *pointsman.Request) string {
		if value, found := matcher.Of(request); found {
			return value
		}
		return "none"
	}, err
}

func entries(texts ...string) []pointsman.Entry[string] {
	var entries []pointsman.Entry[string]
	for _, text := range texts {
		entries = append(entries, pointsman.Entry[string]{Text: text, Value: text})
	}
	return entries
}

func TestAMatcherFindsItsEntry(t *testing.T) {
	type options = []pointsman.Option
	type define = func(string, []pointsman.Entry[string], ...pointsman.Option) (*pointsman.Matcher[string], error)
	without := func(plain func(string, []pointsman.Entry[string]) (*pointsman.Matcher[string], error)) define {
		return func(over string, entries []pointsman.Entry[string], _ ...pointsman.Option) (*pointsman.Matcher[string], error) {
			return plain(over, entries)
		}
	}
	exact, prefix, pathPrefix := pointsman.Exact[string], pointsman.Prefix[string], pointsman.PathPrefix[string]
	suffix, firstSuffix := pointsman.Suffix[string], pointsman.FirstSuffix[string]
	domain, network, regex := without(pointsman.Domain), without(pointsman.Network), without(pointsman.Regex)
	ignoreCase := options{pointsman.IgnoreCase}
	for _, c := range []struct {
		define  define
		options options
		entries string
		// lines contains the X-A lines of a request, separated by |.
		over, lines, want string
	}{
		{exact, nil, "a|b", "header:x-a", "b", "b"},
		{exact, nil, "a|b", "header:x-a", "B", "none"},
		{exact, ignoreCase, "a|B", "header:x-a", "b", "B"},
		{exact, nil, "a|b", "header:x-a", "c|b|a", "b"},
		{exact, nil, "bb|a", "header:x-a", "c|a|bb", "a"},
		{exact, nil, "bb|a", "values:x-a", "c|a,bb", "a"},
		{exact, nil, "a|b", "header:x-a", "a,b", "none"},
		{exact, nil, "a|b", "values:x-a", `"a", c ,b`, "b"},
		{exact, nil, "a|b", "values:x-a", `"x,a",c`, "none"},
		{prefix, nil, "a|ab|b", "header:x-a", "abc", "ab"},
		{prefix, nil, "a|ab", "header:x-a", "ax|abx", "ab"},
		{prefix, ignoreCase, "AB", "header:x-a", "abc", "AB"},
		{pathPrefix, nil, "/a|/a/b/", "header:x-a", "/a/b", "/a/b/"},
		{pathPrefix, nil, "/a|/a/b/", "header:x-a", "/a/bc", "/a"},
		{pathPrefix, nil, "/a|/a/b/", "header:x-a", "/ab", "none"},
		{pathPrefix, nil, "/", "path", "", "/"},
		{suffix, nil, "tld|test.tld", "header:x-a", "a.test.tld", "test.tld"},
		{suffix, nil, "\u00e4", "header:x-a", "\xc3\xa4", "\u00e4"},
		{suffix, nil, "tld", "header:x-a", "\xff.tld", "tld"},
		{firstSuffix, nil, "tld|test.tld", "header:x-a", "a.test.tld", "tld"},
		{firstSuffix, nil, "b|a", "header:x-a", "a|b", "b"},
		{domain, nil, "test.tld|a.test.tld", "header:x-a", "B.A.test.tld", "a.test.tld"},
		{domain, nil, "Test.tld.", "header:x-a", "test.tld.", "Test.tld."},
		{domain, nil, "test.tld", "header:x-a", "atest.tld", "none"},
		{network, nil, "10.0.0.0/8|10.1.0.0/16", "header:x-a", "10.1.2.3", "10.1.0.0/16"},
		{network, nil, "::/0|10.1.0.0/16", "header:x-a", "::ffff:10.1.2.3", "10.1.0.0/16"},
		{network, nil, "10.0.0.0/8", "header:x-a", "11.0.0.0|x", "none"},
		{network, nil, "::1|::/8", "header:x-a", "[::1]", "::1"},
		{network, nil, "127.0.0.0/8", "client-address", "", "127.0.0.0/8"},
		{regex, nil, "^b|a+$", "header:x-a", "baa", "^b"},
		{regex, nil, "^b|a+$", "header:x-a", "\xffaa", "a+$"},
		{exact, nil, "GET", "method", "", "GET"},
		{exact, nil, "http", "scheme", "", "http"},
		{exact, nil, "A.test:80", "authority", "", "A.test:80"},
		{exact, nil, "a.test", "host", "", "a.test"},
		{exact, nil, "/p", "path", "", "/p"},
		{exact, nil, "/p?q=%61", "path-with-query", "", "/p?q=%61"},
		{exact, nil, "a", "query:q", "", "a"},
		{exact, nil, "1", "cookie:c", "", "1"},
		{exact, nil, "", "server-name", "", "none"},
		{exact, nil, "", "header:x-a", "", "none"},
	} {
		question := asking(t, func() (answerer, error) {
			return matching(c.define(c.over, entries(strings.Split(c.entries, "|")...), c.options...))
		})
		request := pointsmantest.Get("/p?q=%61").Header("Host", "A.test:80").Header("cookie", "b=2; c=1")
		if c.lines != "" {
			for line := range strings.SplitSeq(c.lines, "|") {
				request.Header("X-A", line)
			}
		}
		if got := question.of(t, request); got != c.want {
			t.Errorf("%s over %s, %q: %q, not %q", c.entries, c.over, c.lines, got, c.want)
		}
	}
}

func TestAMemberOfABodyIsFound(t *testing.T) {
	for _, c := range []struct {
		pointer, body, want string
	}{
		{"/model", `{"a":1,"model":"gpt"}`, "gpt"},
		{"/model", `{"model":"\u0061\n"}`, "a\n"},
		{"/model", `{"model":1.50}`, "1.50"},
		{"/model", `{"model":true}`, "true"},
		{"/model", `{"model":null}`, "none"},
		{"/model", `{"model":{}}`, "none"},
		{"/model", `{"model":"a","model":"a"}`, "none"},
		{"/model", `{"model":"a"`, "none"},
		{"/model", `{"model":"a"} x`, "none"},
		{"/model", `["model"]`, "none"},
		{"/a/1/b", `{"a":[0,{"b":"c"}],"b":[]}`, "c"},
		{"/a/01", `{"a":["b","c"]}`, "none"},
		{"/a~1b/m~0", `{"a/b":{"m~":"x"}}`, "x"},
		{"", `"x"`, "x"},
	} {
		question := asking(t, func() (answerer, error) { return valued(pointsman.ValueOf("body-json:" + c.pointer)) })
		if got := question.of(t, pointsmantest.Get("/").Body(c.body)); got != c.want {
			t.Errorf("%s of %s: %q, not %q", c.pointer, c.body, got, c.want)
		}
		for _, request := range []*pointsmantest.Request{
			pointsmantest.Get("/"),
			pointsmantest.Get("/").BodyPrefix(c.body),
			pointsmantest.Get("/").Body(c.body).Header("content-encoding", "identity, gzip"),
		} {
			if got := question.of(t, request); got != "none" {
				t.Errorf("%s of %s: %q, though the body is not there as it is", c.pointer, c.body, got)
			}
		}
	}
}

// valued returns an answerer for a value question: the value, or none.
func valued(question *pointsman.ValueQuestion, err error) (answerer, error) {
	return func(request *pointsman.Request) string {
		if value, found := question.Of(request); found {
			return value
		}
		return "none"
	}, err
}

// holding returns an answerer for a condition: yes or no.
func holding(condition *pointsman.Condition, err error) (answerer, error) {
	return func(request *pointsman.Request) string {
		if condition.Of(request) {
			return "yes"
		}
		return "no"
	}, err
}

func TestEqualValuesAreOneAnswer(t *testing.T) {
	question := asking(t, func() (answerer, error) {
		texts := append(pointsman.EntriesFor("x", "a", "b"), pointsman.EntriesOf(map[string]string{"c": "y", "d": "x"})...)
		return matching(pointsman.Exact("path", texts))
	})
	for path, want := range map[string]string{"a": "x", "b": "x", "c": "y", "d": "x", "e": "none"} {
		if got := question.of(t, pointsmantest.Get(path)); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestTheTestSetsWhoIsInAShare(t *testing.T) {
	session := func(value string) *pointsmantest.Request { return pointsmantest.Get("/").Header("cookie", "s="+value) }
	question := asking(t, func() (answerer, error) { return holding(pointsman.Share("cookie:s", "canary", 50_000)) })
	for _, c := range []struct {
		set     bool
		request *pointsmantest.Request
		want    string
	}{
		{false, session("a"), "no"},
		{false, session("a").Share("canary", true), "yes"},
		{false, session("").Share("canary", true), "no"},
		{false, pointsmantest.Get("/").Share("canary", true), "no"},
		{true, session("a"), "yes"},
		{true, session("a").Share("canary", false), "no"},
	} {
		question.instance.SetShare("canary", c.set)
		if got := question.of(t, c.request); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	for perMillion, want := range map[uint32]string{0: "no", 1_000_000: "yes"} {
		question := asking(t, func() (answerer, error) { return holding(pointsman.Share("random", "", perMillion)) })
		if got := question.of(t, pointsmantest.Get("/")); got != want {
			t.Errorf("%d: %s", perMillion, got)
		}
	}
}

func TestATableAnswersAndIsReplaced(t *testing.T) {
	question := asking(t, func() (answerer, error) { return valued(pointsman.LookUp("tenants", "header:x-tenant")) })
	acme := pointsmantest.Get("/").Header("x-tenant", "acme").Header("x-tenant", "b")
	if got := question.of(t, acme); got != "acme_backend" {
		t.Error(got)
	}
	question.instance.SetTable("tenants", map[string]string{"b": "c"})
	if got := question.of(t, acme); got != "none" {
		t.Error("only the first line is looked up: " + got)
	}
}

func TestABackendIsUsableAsItsServersAre(t *testing.T) {
	question := asking(t, func() (answerer, error) { return holding(pointsman.Usable("primary")) })
	for _, c := range []struct {
		usable bool
		want   string
	}{{true, "yes"}, {false, "no"}, {true, "yes"}} {
		question.instance.SetUsable("primary", c.usable)
		if got := question.of(t, pointsmantest.Get("/")); got != c.want {
			t.Errorf("%v: %s", c.usable, got)
		}
	}
}

func TestAnswersAreUsedWithoutBeingRead(t *testing.T) {
	pointsman.Export(func(pointsman.NoConfig) (pointsman.Router, error) {
		session, err := pointsman.ValueOf("cookie:session")
		if err != nil {
			return pointsman.Router{}, err
		}
		tenant, err := pointsman.LookUp("tenants", "header:x-tenant")
		return pointsman.Router{Route: func(request *pointsman.Request) (pointsman.Decision, error) {
			request.SetAffinityBy(session)
			request.TagBy("tenant", tenant)
			return pointsman.Next(), request.SetHeaderBy("X-Tenant", tenant)
		}}, err
	})
	instance, err := pointsmantest.Proxy{Tables: map[string]map[string]string{"tenants": nil}}.Configure(`{}`)
	if err != nil {
		t.Fatal(err)
	}
	request := pointsmantest.Get("/")
	if _, err := instance.Route(request); err != nil {
		t.Fatal(err)
	}
	const lookUp = `lookup of header:x-tenant in table "tenants"`
	options := []string{"affinity by value of cookie:session", "tag tenant by " + lookUp}
	edits := []string{"set x-tenant by " + lookUp}
	if !slices.Equal(request.Options(), options) || !slices.Equal(request.Edits(), edits) {
		t.Errorf("%q, %q", request.Options(), request.Edits())
	}
}

func TestADefinitionThatMakesNoSenseIsRefused(t *testing.T) {
	for want, define := range map[string]func() (answerer, error){
		`"hosts" is not a part of a request`:  func() (answerer, error) { return matching(pointsman.Exact("hosts", entries("a"))) },
		`"query:" is not a part of a request`: func() (answerer, error) { return valued(pointsman.ValueOf("query:")) },
		`"header:a b" is not a part of a request`: func() (answerer, error) {
			return holding(pointsman.Share("header:a b", "", 1))
		},
		`"random" is not a part of a request`: func() (answerer, error) { return valued(pointsman.ValueOf("random")) },
		`entry 2 repeats entry 1, "a"`: func() (answerer, error) {
			return matching(pointsman.Exact("path", entries("a", "A"), pointsman.IgnoreCase))
		},
		`entry 2 repeats entry 1, "/a"`: func() (answerer, error) {
			return matching(pointsman.PathPrefix("path", entries("/a", "/a/")))
		},
		`entry 1, "10.0.0.0/33", is not a network (CIDR), as in 192.0.2.0/24`: func() (answerer, error) {
			return matching(pointsman.Network("client-address", entries("10.0.0.0/33")))
		},
		`entry 2, "10.0.0.1/8", is not a network: it begins at 10.0.0.0/8`: func() (answerer, error) {
			return matching(pointsman.Network("client-address", entries("::/0", "10.0.0.1/8")))
		},
		`entry 2 repeats entry 1, "10.0.0.1/32"`: func() (answerer, error) {
			return matching(pointsman.Network("client-address", entries("10.0.0.1", "::ffff:10.0.0.1/128")))
		},
		`entry 1, "a..b", is not a host name, as in example.com`: func() (answerer, error) {
			return matching(pointsman.Domain("host", entries("a..b")))
		},
		`entry "\xff" is not UTF-8`: func() (answerer, error) {
			return matching(pointsman.Suffix("path", entries("a", "\xff")))
		},
		"a share is 0 to 1000000 per million, not 1000001": func() (answerer, error) {
			return holding(pointsman.Share("path", "", 1_000_001))
		},
		`there is no table "x" in the configuration`:   func() (answerer, error) { return valued(pointsman.LookUp("x", "path")) },
		`there is no backend "x" in the configuration`: func() (answerer, error) { return holding(pointsman.Usable("x")) },
	} {
		if question := asking(t, define); question.err == nil || question.err.Error() != want {
			t.Errorf("%v, not %q", question.err, want)
		}
	}
}

func TestAQuestionThatWasNotDefinedIsAnError(t *testing.T) {
	foreign := &pointsman.Condition{}
	asking(t, func() (answerer, error) {
		if _, err := pointsman.ValueOf("path"); err != nil {
			return nil, err
		}
		defined, err := pointsman.Share("path", "", 1)
		foreign = defined
		return holding(defined, err)
	})
	for want, route := range map[string]func(*pointsman.Request){
		"Route panicked: a question was asked that was not defined": func(request *pointsman.Request) {
			(&pointsman.Condition{}).Of(request)
		},
		"Route panicked: a question was defined outside configure": func(*pointsman.Request) { pointsman.ValueOf("path") },
		"Route panicked: question 1 is of another instance":        func(request *pointsman.Request) { foreign.Of(request) },
	} {
		export(func(request *pointsman.Request) (pointsman.Decision, error) {
			route(request)
			return pointsman.Next(), nil
		})
		instance, err := pointsmantest.Configure(`{}`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := instance.Route(pointsmantest.Get("/")); err == nil || err.Error() != want {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

func TestInstancesThatDifferAreRefused(t *testing.T) {
	count := 0
	question := asking(t, func() (answerer, error) {
		count++
		return matching(pointsman.Exact("path", entries(strings.Repeat("a", count))))
	})
	if question.err == nil || !strings.HasPrefix(question.err.Error(), "configure defined other questions") {
		t.Error(question.err)
	}
}

func TestAnErrorIsShownAtTheElementThatItNames(t *testing.T) {
	for message, want := range map[string]string{
		`entry 3, "a", is not b`:   `nets[2]: entry 3, "a", is not b`,
		`entry 12 repeats entry 1`: `nets[11]: entry 12 repeats entry 1`,
		"entry 0":                  "nets: entry 0",
		"entry ":                   "nets: entry ",
		`entry "\xff" is no`:       `nets: entry "\xff" is no`,
		"too many":                 "nets: too many",
	} {
		if got := pointsman.ErrorAtEntry("nets", errors.New(message)).Error(); got != want {
			t.Errorf("%s: %s", message, got)
		}
	}
	question := asking(t, func() (answerer, error) {
		matcher, err := pointsman.Network("client-address", entries("::/0", "x"))
		if err != nil {
			err = pointsman.ErrorAtEntry("nets", err)
		}
		return matching(matcher, err)
	})
	if question.err == nil || !strings.HasPrefix(question.err.Error(), `nets[1]: entry 2, "x", is not`) {
		t.Error(question.err)
	}
}
