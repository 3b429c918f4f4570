package pointsman

import (
	"strconv"
	"time"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A State is the load of a backend.
type State struct {
	// UsableServers are up and not draining, whether or not a slot is free.
	UsableServers uint32
	// Active counts requests and tunnels in progress.
	Active uint32
	// Queued counts requests that wait for a free slot.
	Queued uint32
}

// A ServerState is the state of one server.
type ServerState struct {
	Name string
	// Usable: up and not draining, whether or not a slot is free.
	Usable bool
	Weight uint32
	// Active counts requests and tunnels in progress.
	Active uint32
	// Limit is how many requests it accepts at once; 0 without a limit.
	Limit uint32
	// Latency is the moving average of the time to a response's head; 0 before the first
	// response.
	Latency time.Duration
}

// BackendNames returns the name of every backend of the configuration. A decision whose Route calls
// it, or another of the Backend functions, is not cached; Usable is a question that can be.
func BackendNames() []string {
	return proxy.BackendNames()
}

// BackendState returns the load of a backend; false for a name that is not in the proxy's
// configuration. While configure runs, every server counts as usable and idle.
func BackendState(name string) (state State, found bool) {
	load, found := proxy.BackendState(name)
	return State(load), found
}

// BackendServers returns the servers of a backend; false for a name that is not in the proxy's
// configuration.
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

// BackendExists tells whether the proxy's configuration has a backend of that name.
func BackendExists(name string) bool {
	_, found := proxy.BackendState(name)
	return found
}

// RequireBackend returns an error at the key at path if the proxy's configuration has no
// backend of that name.
func RequireBackend(path, name string) error {
	if BackendExists(name) {
		return nil
	}
	return ErrorAt(path, "there is no backend "+strconv.Quote(name))
}
