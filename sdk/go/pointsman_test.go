package pointsman_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

// export makes a plugin of a Route function.
func export(route func(request *pointsman.Request) (pointsman.Decision, error)) {
	pointsman.Export(func(pointsman.NoConfig) (pointsman.Router, error) {
		return pointsman.Router{Route: route}, nil
	})
}

func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		decision pointsman.Decision
		want     string
	}{
		{pointsman.Backend("a"), "backend a"},
		{pointsman.Backend(""), "backend "},
		{pointsman.DefaultBackend(), "default backend"},
		{pointsman.Decision{}, "default backend"},
		{pointsman.Respond(pointsman.Response{Status: 403}), "respond 403"},
		{pointsman.Redirect(308, "/a"), "respond 308"},
	} {
		export(func(*pointsman.Request) (pointsman.Decision, error) { return c.decision, nil })
		instance, err := pointsmantest.Configure(`{}`)
		if err != nil {
			t.Fatal(err)
		}
		got, err := instance.Route(pointsmantest.Get("/"))
		if got != c.decision || got.String() != c.want || err != nil {
			t.Errorf("%v, %v, not %s", got, err, c.want)
		}
	}
	response, _ := pointsman.Redirect(308, "/a").Response()
	if !slices.Equal(response.Headers, []pointsman.Field{{Name: "location", Value: "/a"}}) {
		t.Errorf("%v", response)
	}
}

func TestAnInstanceSeesBackendsAndLogLines(t *testing.T) {
	pointsman.Export(func(pointsman.NoConfig) (pointsman.Router, error) {
		if !pointsman.BackendExists("a") || pointsman.BackendExists("c") {
			t.Error("backends of the proxy")
		}
		return pointsman.Router{
			Cacheable: true,
			Route: func(*pointsman.Request) (pointsman.Decision, error) {
				pointsman.LogWarn("octets \xff")
				if state, _ := pointsman.BackendState("a"); state.Active > 0 {
					return pointsman.Backend("b"), nil
				}
				return pointsman.Backend("a"), nil
			},
		}, nil
	})
	instance, err := pointsmantest.Configure(`{}`, "a", "b")
	if err != nil || !instance.Cacheable() {
		t.Fatal(err)
	}
	for _, c := range []struct {
		active  uint32
		backend string
	}{{0, "a"}, {1, "b"}} {
		instance.SetBackend("a", pointsman.State{Active: c.active})
		got, err := instance.Route(pointsmantest.Get("/"))
		if got != pointsman.Backend(c.backend) || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	}
	if got := instance.TakeLog(); !slices.Equal(got, []string{"warn: octets \uFFFD", "warn: octets \uFFFD"}) {
		t.Errorf("%q", got)
	}
}

type nameless struct{}

func (*nameless) Error() string { panic("again") }

func TestAPanicBecomesAnErrorAndALogLine(t *testing.T) {
	for _, c := range []struct {
		panics func(index int)
		want   string
	}{
		{func(index int) { _ = []int{}[index] }, "Route panicked: runtime error: index out of range [7] with length 0"},
		{func(int) { panic("two\nlines") }, "Route panicked: two"},
		{func(int) { panic(errors.New("an error")) }, "Route panicked: an error"},
		{func(index int) { panic(index) }, "Route panicked: 7"},
		{func(int) { panic(1.5) }, "Route panicked: a value that is no text"},
		{func(int) { panic(new(nameless)) }, "Route panicked: a value that panics itself when asked for its text"},
	} {
		export(func(*pointsman.Request) (pointsman.Decision, error) {
			c.panics(7)
			return pointsman.Backend("a"), nil
		})
		instance, err := pointsmantest.Configure(`{}`)
		if err != nil {
			t.Fatal(err)
		}
		decision, err := instance.Route(pointsmantest.Get("/"))
		if err == nil || err.Error() != c.want || decision != pointsman.DefaultBackend() {
			t.Errorf("%v, %v, not %q", decision, err, c.want)
		}
		log := instance.TakeLog()
		if len(log) != 1 || !strings.HasPrefix(log[0], "error: "+c.want+"\n") && c.want != "Route panicked: two" ||
			!strings.Contains(log[0], "TestAPanicBecomesAnErrorAndALogLine") {
			t.Errorf("%q", log)
		}
	}
}

func TestAPluginThatCannotStartSaysWhy(t *testing.T) {
	for want, configure := range map[string]func(pointsman.NoConfig) (pointsman.Router, error){
		"configure panicked: no": func(pointsman.NoConfig) (pointsman.Router, error) { panic("no") },
		"configure returned a router without a Route function": func(pointsman.NoConfig) (pointsman.Router, error) {
			return pointsman.Router{}, nil
		},
		"rules[1].backend: is down": func(pointsman.NoConfig) (pointsman.Router, error) {
			return pointsman.Router{}, pointsman.ErrorAt(pointsman.At("rules", 1)+".backend", "is down")
		},
	} {
		pointsman.Export(configure)
		if _, err := pointsmantest.Configure(`{}`); err == nil || err.Error() != want {
			t.Errorf("%v, not %q", err, want)
		}
	}
}
