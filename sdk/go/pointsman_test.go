package pointsman_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

// export exports a plugin with this Route function.
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
		{pointsman.Next(), "next"},
		{pointsman.Server("a", "b", pointsman.AnotherServer), "server b of backend a"},
		{pointsman.Server("a", "b", pointsman.AskAgain), "server b of backend a, or ask again"},
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

func TestADecisionHasWhatItWasMadeOf(t *testing.T) {
	for _, c := range []struct {
		decision        pointsman.Decision
		backend, server string
		named, one      bool
	}{
		{pointsman.Backend("a"), "a", "", true, false},
		{pointsman.Server("a", "b", pointsman.AskAgain), "a", "b", true, true},
		{pointsman.Next(), "", "", false, false},
		{pointsman.DefaultBackend(), "", "", false, false},
	} {
		backend, named := c.decision.Backend()
		server, _, one := c.decision.Server()
		if backend != c.backend || named != c.named || server != c.server || one != c.one {
			t.Errorf("%v: %q, %v, %q, %v", c.decision, backend, named, server, one)
		}
	}
	if _, otherwise, _ := pointsman.Server("a", "b", pointsman.AskAgain).Server(); otherwise != pointsman.AskAgain {
		t.Error("the fallback is lost")
	}
}

func TestAnInstanceSeesBackendsAndLogLines(t *testing.T) {
	servers := []pointsman.ServerState{
		{Name: "one", Usable: true, Weight: 2, Active: 3, Limit: 4, Latency: 5 * time.Millisecond},
		{Name: "two", Active: 1},
	}
	var names []string
	var state pointsman.State
	var seen []pointsman.ServerState
	pointsman.Export(func(pointsman.NoConfig) (pointsman.Router, error) {
		if !pointsman.BackendExists("a") || pointsman.BackendExists("c") {
			t.Error("backends of the proxy")
		}
		if err := pointsman.RequireBackend("to", "c"); err == nil || err.Error() != `to: there is no backend "c"` {
			t.Error(err)
		}
		return pointsman.Router{
			Cacheable: true,
			Route: func(*pointsman.Request) (pointsman.Decision, error) {
				pointsman.LogWarn("octets \xff")
				names = pointsman.BackendNames()
				state, _ = pointsman.BackendState("a")
				seen, _ = pointsman.BackendServers("a")
				if _, found := pointsman.BackendServers("c"); found {
					t.Error("servers of no backend")
				}
				return pointsman.DefaultBackend(), pointsman.RequireBackend("a", "a")
			},
		}, nil
	})
	instance, err := pointsmantest.Configure(`{}`, "b", "a")
	if err != nil || !instance.Cacheable() {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set     func()
		state   pointsman.State
		servers []pointsman.ServerState
	}{
		{func() {}, pointsman.State{UsableServers: 1}, []pointsman.ServerState{{Name: "server", Usable: true, Weight: 1}}},
		{func() { instance.SetServers("a", servers...) }, pointsman.State{UsableServers: 1, Active: 4}, servers},
		{func() { instance.SetServers("a"); instance.SetQueued("a", 2) }, pointsman.State{Queued: 2}, nil},
	} {
		c.set()
		if _, err := instance.Route(pointsmantest.Get("/")); err != nil {
			t.Error(err)
		}
		if !slices.Equal(names, []string{"a", "b"}) || state != c.state || !slices.Equal(seen, c.servers) {
			t.Errorf("%v, %+v, %+v", names, state, seen)
		}
	}
	if got := instance.TakeLog(); len(got) != 3 || got[0] != "warn: octets \uFFFD" || instance.TakeLog() != nil {
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
