package pointsman

import (
	"strconv"
	"time"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A State is the load of a backend.
type State struct {
	// UsableServers is the number of servers that are up and not draining, with or without a free
	// slot.
	UsableServers uint32
	// Active is the number of requests and tunnels in progress.
	Active uint32
	// Queued is the number of requests that wait for a free slot.
	Queued uint32
}

// A ServerState is the state of one server.
type ServerState struct {
	Name string
	// Usable is true if the server is up and not draining, with or without a free slot.
	Usable bool
	Weight uint32
	// Active is the number of requests and tunnels in progress.
	Active uint32
	// Limit is the maximum number of concurrent requests; 0 if there is no limit.
	Limit uint32
	// Latency is the moving average of the time until a response's head arrives; 0 before the first
	// response.
	Latency time.Duration
}

// BackendNames returns the names of all backends in the proxy's configuration. Calling this or
// another Backend function in Route makes the decision uncacheable. To find out whether a backend
// is usable, ask the question Usable instead.
func BackendNames() []string {
	return proxy.BackendNames()
}

// BackendState returns the load of the named backend; false if the proxy's configuration has no
// such backend. While configure runs, every server counts as usable and idle.
func BackendState(name string) (state State, found bool) {
	load, found := proxy.BackendState(name)
	return State(load), found
}

// BackendServers returns the servers of the named backend; false if the proxy's configuration has
// no such backend.
func BackendServers(name string) (servers []ServerState, found bool) {
	states, found := proxy.BackendServers(name)
	if !found {
		return nil, false
	}
	servers = make([]ServerState, len(states))
	for i, state := range states {
		servers[i] = ServerState{
			Name:    state.Name,
			Usable:  state.Usable,
			Weight:  state.Weight,
			Active:  state.Active,
			Limit:   state.Limit,
			Latency: time.Duration(state.Latency) * time.Microsecond,
		}
	}
	return servers, true
}

// BackendExists reports whether the proxy's configuration has the named backend.
func BackendExists(name string) bool {
	_, found := proxy.BackendState(name)
	return found
}

// RequireBackend returns an error if the proxy's configuration has no backend with this name. path
// is the path of the key that names the backend, as in rules[0].backend.
func RequireBackend(path, name string) error {
	if BackendExists(name) {
		return nil
	}
	return ErrorAt(path, "there is no backend "+strconv.Quote(name))
}
