package main

import (
	"testing"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

func TestTheCookieDecides(t *testing.T) {
	instance, err := pointsmantest.Configure(`{"backend":"canary_backend"}`, "canary_backend")
	if err != nil {
		t.Fatal(err)
	}
	for cookies, want := range map[string]pointsman.Decision{
		"canary=1":          pointsman.Backend("canary_backend"),
		"a=b; canary=1;c=d": pointsman.Backend("canary_backend"),
		"canary=0":          pointsman.Next(),
		"canary=\xff":       pointsman.Next(),
		"xcanary=1":         pointsman.Next(),
		"":                  pointsman.Next(),
	} {
		request := pointsmantest.Get("/").Header("cookie", cookies)
		if got, err := instance.Route(request); got != want || err != nil {
			t.Errorf("%q: %v, %v, not %v", cookies, got, err, want)
		}
	}
}

func TestABadConfigurationIsRefusedAtItsKey(t *testing.T) {
	for config, want := range map[string]string{
		`{"backend":"x"}`: `backend: there is no backend "x"`,
		`{"bakend":"x"}`:  `bakend: unknown key`,
		`{"backend":5}`:   `backend: expected a text, found 5`,
		`{}`:              `missing key "backend"`,
	} {
		_, err := pointsmantest.Configure(config, "canary_backend")
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, not %q", config, err, want)
		}
	}
}
