package pointsman_test

import (
	"slices"
	"testing"
	"time"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

func TestEditsAreChecked(t *testing.T) {
	const value = `the field "a" cannot have this value`
	const host = "the field \"host\" is set by `set-authority`"
	built := pointsmantest.Get("/old")
	ask(t, built, func(request *pointsman.Request) {
		for i, c := range []struct {
			got  error
			want string
		}{
			{request.SetHeader("a b", "c"), `"a b" is not a field name`},
			{request.SetHeader("\xff", "c"), "\"\\xff\" is not a field name"},
			{request.AppendHeader("", "c"), `"" is not a field name`},
			{request.AppendHeader("a", "c\r\nd: e"), value},
			{request.SetHeader("a", "\x7f"), value},
			{request.SetPathWithQuery("a"), `"a" is not a target in origin form`},
			{request.SetPathWithQuery("/a b"), `"/a b" is not a target in origin form`},
			{request.SetPathWithQuery("/a#b"), `"/a#b" is not a target in origin form`},
			{request.SetPathWithQuery("/\xff"), "\"/\\xff\" is not a target in origin form"},
			{request.SetAuthority("a b"), `"a b" is not a host with an optional port`},
			{request.SetAuthority("user@a"), `"user@a" is not a host with an optional port`},
			{request.ReplacePathPrefix(-1, ""), "the path has no prefix of that length"},
			{request.ReplacePathPrefix(4, "/a?b"), `"/a?b" is not a part of a path`},
			{request.RemoveHeader("Content-Length"), `the field "Content-Length" is set by the proxy alone`},
			{request.SetHeader("sec-websocket-key", "a"), `the field "sec-websocket-key" is set by the proxy alone`},
			{request.AppendHeader("Host", "a"), host},
			{request.SetHeader("host", "a"), host},
			{request.SetResponseHeader("Connection", "close"), `the field "Connection" is set by the proxy alone`},
			{request.AppendResponseHeader("a", "\n"), value},
			{request.RemoveResponseHeader("a b"), `"a b" is not a field name`},
			{request.SetHeader("X-A", " \xff\t1 "), ""},
			{request.AppendHeader("x-b", ""), ""},
			{request.RemoveHeader("x-c"), ""},
			{request.SetAuthority("b.test:80"), ""},
			{request.SetPathWithQuery("/new?a=b"), ""},
			{request.ReplacePathPrefix(4, "/n"), ""},
			{request.SetResponseHeader("X-A", "1"), ""},
			{request.AppendResponseHeader("set-cookie", "a=b"), ""},
			{request.RemoveResponseHeader("server"), ""},
		} {
			if (c.got != nil || c.want != "") && (c.got == nil || c.got.Error() != c.want) {
				t.Errorf("%d: %v, not %q", i, c.got, c.want)
			}
		}
		if request.PathWithQuery() != "/old" {
			t.Error("reads show the request without edits")
		}
	})
	want := []string{
		"set x-a: \xff\t1", "append x-b: ", "remove x-c", "set host: b.test:80", "path-with-query /new?a=b",
		"path-prefix 4 bytes: /n",
	}
	if !slices.Equal(built.Edits(), want) {
		t.Errorf("%q", built.Edits())
	}
	if want := []string{"set x-a: 1", "append set-cookie: a=b", "remove server"}; !slices.Equal(built.ResponseEdits(), want) {
		t.Errorf("%q", built.ResponseEdits())
	}
}

func TestOptionsAreKeptInOrder(t *testing.T) {
	built := pointsmantest.Get("/")
	ask(t, built, func(request *pointsman.Request) {
		request.SetAffinity("\xff")
		request.SetQueueTimeout(0)
		request.SetConnectTimeout(time.Microsecond)
		request.SetServerTimeout(1500 * time.Millisecond)
		request.SetTunnelTimeout(10_000 * time.Hour)
		request.SetTries(3)
		request.Tag("tenant", "a\xff")
	})
	want := []string{
		"affinity: \xff", "queue-timeout: 0 ms", "connect-timeout: 1 ms", "server-timeout: 1500 ms",
		"tunnel-timeout: 4294967295 ms", "tries: 3", "tag tenant: a\uFFFD",
	}
	if !slices.Equal(built.Options(), want) {
		t.Errorf("%q", built.Options())
	}
}

func TestAnOptionOutOfBoundsIsAnError(t *testing.T) {
	for want, set := range map[string]func(*pointsman.Request){
		"Route panicked: a tag whose name is not a token of at most 64 characters": func(r *pointsman.Request) {
			r.Tag("a b", "c")
		},
		"Route panicked: a timeout of 0 is for the queue only": func(r *pointsman.Request) { r.SetServerTimeout(0) },
		"Route panicked: a timeout must not be negative: -1ns": func(r *pointsman.Request) { r.SetQueueTimeout(-1) },
		"Route panicked: tries must be 1 to 16: 0":             func(r *pointsman.Request) { r.SetTries(0) },
		"Route panicked: tries must be 1 to 16: 17":            func(r *pointsman.Request) { r.SetTries(pointsman.MaxTries + 1) },
	} {
		export(func(request *pointsman.Request) (pointsman.Decision, error) {
			set(request)
			return pointsman.DefaultBackend(), nil
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
