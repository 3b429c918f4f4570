package pointsman_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

// ask passes a request to a plugin.
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
			value, found := request.QueryParameter(c.name)
			if value != c.value || found != c.found {
				t.Errorf("%s, %q: %q, %v", c.target, c.name, value, found)
			}
		})
	}
}

func TestAHostLosesCasePortAndTrailingDot(t *testing.T) {
	for authority, host := range map[string]string{
		"a":           "a",
		"A.Test:80":   "a.test",
		"a.:":         "a",
		"a..":         "a.",
		":80":         "",
		"":            "",
		"[::1]":       "[::1]",
		"[::1]:80":    "[::1]",
		"\xff.test:1": "\xff.test",
	} {
		ask(t, pointsmantest.Get("/").Header("Host", authority), func(request *pointsman.Request) {
			if request.Authority() != authority || request.Host() != host {
				t.Errorf("%q: %q, %q", authority, request.Authority(), request.Host())
			}
		})
	}
	ask(t, pointsmantest.Get("/"), func(request *pointsman.Request) {
		if request.Authority() != "" || request.Host() != "" {
			t.Error("no host")
		}
	})
}

func TestACookieIsFoundAmongOthers(t *testing.T) {
	built := pointsmantest.Get("/").
		Header("cookie", "ab=1; a=2;a=3").
		Header("Cookie", "b=\xff; =x;c ; d=; e=f=g;;").
		Header("cookie", "")
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
	built := pointsmantest.Get("/").Header("Host", "\xff.test").Header("X-A", " 1\t").Header("x-a", "2")
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
		want := []pointsman.Field{{Name: "Host", Value: "\xff.test"}, {Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}}
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
		version, _ := request.Version()
		_, named := request.ServerName()
		_, agreed := request.ALPN()
		_, issued := request.ClientCertificate().Issuer()
		_, ends := request.ClientCertificate().NotAfter()
		_, waited := request.BodyPrefix()
		if request.Method() != "PURGE" || request.Scheme() != "http" || version != "1.1" || named || agreed ||
			issued || ends || waited || request.BodyIsComplete() || request.ClientAddress() != "127.0.0.1" ||
			request.Attempt() != 0 || request.ClientCertificate().Names() != nil {
			t.Errorf("%+v", request)
		}
	})
	certificate := pointsmantest.Certificate{
		Subject: "CN=a", Issuer: "CN=b", Names: []string{"a.test", "spiffe://a"}, Serial: "1f", SHA256: "ab",
		NotAfter: time.Unix(1<<33, 0),
	}
	built := pointsmantest.Get("/").TLS("a.test", "h2").Version("2").Client("::1", 7).Attempt(2).
		ClientCertificate(certificate).Body("{}")
	ask(t, built, func(request *pointsman.Request) {
		version, _ := request.Version()
		name, _ := request.ServerName()
		protocol, _ := request.ALPN()
		body, _ := request.BodyPrefix()
		if version != "2" || name != "a.test" || protocol != "h2" || request.Scheme() != "https" ||
			request.ClientAddress() != "::1" || request.ClientPort() != 7 || request.Attempt() != 2 ||
			body != "{}" || !request.BodyIsComplete() {
			t.Errorf("%+v", request)
		}
		read := request.ClientCertificate()
		var got pointsmantest.Certificate
		got.Subject, _ = read.Subject()
		got.Issuer, _ = read.Issuer()
		got.Names = read.Names()
		got.Serial, _ = read.Serial()
		got.SHA256, _ = read.SHA256()
		got.NotAfter, _ = read.NotAfter()
		if !reflect.DeepEqual(got, certificate) {
			t.Errorf("%+v", got)
		}
	})
	ask(t, pointsmantest.Get("/").BodyPrefix("{").Scheme("https"), func(request *pointsman.Request) {
		if body, found := request.BodyPrefix(); body != "{" || !found || request.BodyIsComplete() || request.Scheme() != "https" {
			t.Errorf("%q", body)
		}
	})
}

func TestAConnectionHasNoHTTP(t *testing.T) {
	ask(t, pointsmantest.Connection("a.test"), func(request *pointsman.Request) {
		_, hasVersion := request.Version()
		if request.Host() != "a.test" || request.Authority() != "" || request.Method() != "" ||
			request.Path() != "" || hasVersion {
			t.Errorf("%+v", request)
		}
		if request.SetHeader("a", "b") == nil || request.SetPathWithQuery("/") == nil || request.SetAuthority("a") == nil {
			t.Error("edits fail")
		}
	})
}
