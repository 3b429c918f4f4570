package pointsman_test

import (
	"slices"
	"strings"
	"testing"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

// ask shows a request to a plugin.
func ask(t *testing.T, built *pointsmantest.Request, look func(request *pointsman.Request)) {
	t.Helper()
	pointsman.Export(func(pointsman.NoConfig) (pointsman.Router, error) {
		return pointsman.Router{Route: func(request *pointsman.Request) (pointsman.Decision, error) {
			look(request)
			return pointsman.DefaultBackend(), nil
		}}, nil
	})
	instance, err := pointsmantest.Configure(`{}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Route(built); err != nil {
		t.Fatal(err, instance.TakeLog())
	}
}

func TestTheTargetSplitsAtItsFirstQuestionMark(t *testing.T) {
	for _, c := range []struct {
		target, path, query string
		found               bool
	}{
		{"/", "/", "", false},
		{"/a?b=c", "/a", "b=c", true},
		{"/a?", "/a", "", true},
		{"/?a?b", "/", "a?b", true},
		{"*", "*", "", false},
		{"", "", "", false},
	} {
		ask(t, pointsmantest.Get(c.target), func(request *pointsman.Request) {
			query, found := request.Query()
			if request.PathWithQuery() != c.target || request.Path() != c.path || query != c.query || found != c.found {
				t.Errorf("%q: %q, %q, %v", c.target, request.Path(), query, found)
			}
		})
	}
}

func TestAParameterIsFoundAndDecoded(t *testing.T) {
	for _, c := range []struct {
		target, name, value string
		found               bool
	}{
		{"/?a=1&b=2", "b", "2", true},
		{"/?a=1&a=2", "a", "1", true},
		{"/?aa=1&a=2", "a", "2", true},
		{"/?a", "a", "", true},
		{"/?a=b=c", "a", "b=c", true},
		{"/?&&a=1&", "a", "1", true},
		{"/?a+b=c+d", "a b", "c d", true},
		{"/?%61=%ff%00%2B", "a", "\xff\x00+", true},
		{"/?a=%", "a", "%", true},
		{"/?a=%4", "a", "%4", true},
		{"/?a=%zz%4g%g4", "a", "%zz%4g%g4", true},
		{"/?a=%%41", "a", "%A", true},
		{"/?A=1", "a", "", false},
		{"/?", "", "", false},
		{"/?=1", "", "1", true},
		{"/", "a", "", false},
		{"/a=1", "a", "", false},
		{"/?b=1;a=2", "a", "", false},
		{"/?b?a=1", "b?a", "1", true},
	} {
		ask(t, pointsmantest.Get(c.target), func(request *pointsman.Request) {
			value, found := request.QueryParam(c.name)
			if value != c.value || found != c.found {
				t.Errorf("%s, %q: %q, %v", c.target, c.name, value, found)
			}
		})
	}
}

func TestAHostLosesItsPort(t *testing.T) {
	for host, name := range map[string]string{
		"a":           "a",
		"a:80":        "a",
		"a:":          "a",
		":80":         "",
		"":            "",
		":":           "",
		"[::1]":       "[::1]",
		"[::1]:80":    "[::1]",
		"[::1]x":      "[::1]x",
		"[::1":        "[::1",
		"[":           "[",
		"[]:":         "[]",
		"2001:db8::1": "2001:db8::1",
		"a:b:c":       "a:b:c",
		"\xff.test:1": "\xff.test",
		"a\x00:1":     "a\x00",
	} {
		ask(t, pointsmantest.Get("/").Header("Host", host), func(request *pointsman.Request) {
			whole, found := request.Host()
			got, gotFound := request.Hostname()
			if whole != host || got != name || !found || !gotFound {
				t.Errorf("%q: %q, %v", host, got, gotFound)
			}
		})
	}
	ask(t, pointsmantest.Get("/"), func(request *pointsman.Request) {
		if host, found := request.Hostname(); host != "" || found {
			t.Errorf("no host: %q", host)
		}
	})
}

func TestACookieIsFoundAmongOthers(t *testing.T) {
	built := pointsmantest.Get("/").
		Header("cookie", "ab=1; a=2;a=3").
		Header("Cookie", "b=\xff; =x;c ; d=; e=f=g;;").
		Header("cookie", "").
		Header("cookie", ";=;\xff=\xfe; z")
	ask(t, built, func(request *pointsman.Request) {
		for _, c := range []struct {
			name, value string
			found       bool
		}{
			{"a", "2", true},
			{"ab", "1", true},
			{"A", "", false},
			{"b", "\xff", true},
			{"c", "", false},
			{"d", "", true},
			{"e", "f=g", true},
			{"", "x", true},
			{"\xff", "\xfe", true},
			{"z", "", false},
			{"cookie", "", false},
		} {
			value, found := request.Cookie(c.name)
			if value != c.value || found != c.found {
				t.Errorf("%q: %q, %v", c.name, value, found)
			}
		}
	})
	ask(t, pointsmantest.Get("/"), func(request *pointsman.Request) {
		if _, found := request.Cookie("a"); found {
			t.Error("a cookie without a field")
		}
	})
}

func TestAFieldIsReadInAnyCaseAndAsOctets(t *testing.T) {
	built := pointsmantest.Get("/").Header("Host", "\xff.test").Header("X-A", "1").Header("x-a", "2")
	ask(t, built, func(request *pointsman.Request) {
		if _, found := request.HeaderText("host"); found {
			t.Error("octets are no text")
		}
		if text, found := request.HeaderText("x-A"); text != "1" || !found {
			t.Errorf("%q", text)
		}
		if lines := request.HeaderLines("X-a"); !slices.Equal(lines, []string{"1", "2"}) {
			t.Errorf("%q", lines)
		}
		if lines := request.HeaderLines("y"); lines != nil {
			t.Errorf("%q", lines)
		}
		want := []pointsman.Field{{Name: "host", Value: "\xff.test"}, {Name: "x-a", Value: "1"}, {Name: "x-a", Value: "2"}}
		if fields := request.Headers(); !slices.Equal(fields, want) {
			t.Errorf("%q", fields)
		}
		if _, found := request.Header("\xff\x00"); found {
			t.Error("no field has such a name")
		}
	})
}

func TestFactsOfTheConnection(t *testing.T) {
	ask(t, pointsmantest.New("PURGE", "*"), func(request *pointsman.Request) {
		client := request.Client()
		_, secure := request.TLS()
		if request.Method() != "PURGE" || request.Scheme() != "http" || secure ||
			client.Address != "127.0.0.1" || request.Attempt() != 0 {
			t.Errorf("%+v", request)
		}
	})
	session := pointsman.TLS{ServerName: "a.test", ALPN: "h2"}
	built := pointsmantest.Get("/").TLS(session).Client("::1", 7).Attempt(2)
	ask(t, built, func(request *pointsman.Request) {
		got, secure := request.TLS()
		if got != session || !secure || request.Scheme() != "https" ||
			request.Client() != (pointsman.Client{Address: "::1", Port: 7}) || request.Attempt() != 2 {
			t.Errorf("%+v", request)
		}
	})
}

func TestEditsAreChecked(t *testing.T) {
	built := pointsmantest.Get("/old")
	ask(t, built, func(request *pointsman.Request) {
		for i, c := range []struct{ got, want error }{
			{request.SetHeader("a b", "c"), pointsman.ErrInvalidSyntax},
			{request.SetHeader("\xff", "c"), pointsman.ErrInvalidSyntax},
			{request.AppendHeader("", "c"), pointsman.ErrInvalidSyntax},
			{request.AppendHeader("a", "c\r\nd: e"), pointsman.ErrInvalidSyntax},
			{request.SetHeader("a", "\x7f"), pointsman.ErrInvalidSyntax},
			{request.SetPathWithQuery("a"), pointsman.ErrInvalidSyntax},
			{request.SetPathWithQuery("/a b"), pointsman.ErrInvalidSyntax},
			{request.SetPathWithQuery("/a#b"), pointsman.ErrInvalidSyntax},
			{request.SetPathWithQuery("/\xff"), pointsman.ErrInvalidSyntax},
			{request.RemoveHeader("Content-Length"), pointsman.ErrForbidden},
			{request.SetHeader("sec-websocket-key", "a"), pointsman.ErrForbidden},
			{request.AppendHeader("Host", "a"), pointsman.ErrForbidden},
			{request.RemoveHeader("host"), pointsman.ErrForbidden},
			{request.SetHeader("X-A", "\xff\t1"), nil},
			{request.AppendHeader("x-b", ""), nil},
			{request.RemoveHeader("x-c"), nil},
			{request.SetPathWithQuery("/new?a=b"), nil},
		} {
			if c.got != c.want {
				t.Errorf("%d: %v, not %v", i, c.got, c.want)
			}
		}
		if request.PathWithQuery() != "/old" {
			t.Error("reads tell what the client sent")
		}
	})
	want := "set x-a: \xff\t1|append x-b: |remove x-c|path-with-query /new?a=b"
	if got := strings.Join(built.Edits(), "|"); got != want {
		t.Errorf("%q", got)
	}
}
