package pointsman

import "github.com/pointsman/pointsman/sdk/go/internal/proxy"

// A State is the load of a backend.
type State struct {
	// UsableServers are up and not draining, with or without a free slot.
	UsableServers uint32
	// Active counts requests and tunnels in progress, over all servers.
	Active uint32
	// Queued counts requests that wait for a free slot.
	Queued uint32
}

// BackendState tells the load of a backend; false where the proxy's configuration has none of
// that name. To ask while routing makes that decision uncacheable; to ask while
// configuring does not: every server counts as usable then, and nothing is in progress.
func BackendState(name string) (state State, found bool) {
	load, found := proxy.BackendState(name)
	return State(load), found
}

// BackendExists tells whether the proxy's configuration has a backend of that name. It asks
// as BackendState does.
func BackendExists(name string) bool {
	_, found := proxy.BackendState(name)
	return found
}
