//go:build !wasip1

package proxy

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// Double stands in for the proxy while a test drives a plugin.
type Double struct {
	Backends map[string]*Load
	Tables   map[string]map[string]string
	// Salts of the shares that requests are in.
	Shares    map[string]bool
	Questions []Question
	Log       []Line
}

// Load is the state of a backend in the double.
type Load struct {
	Servers []Server
	Queued  uint32
}

// Line is a line of the log.
type Line struct {
	Level   Level
	Message string
}

var (
	// Serializes tests that run in parallel, since a plugin finds its proxy in a global variable.
	driving sync.Mutex
	present = &Double{}
)

// Drive runs a plugin's code with d as its proxy.
func (d *Double) Drive(plugin func()) {
	driving.Lock()
	defer driving.Unlock()
	defer func(before *Double) { present = before }(present)
	present = d
	plugin()
}

// Verify returns an error unless both doubles have the same questions.
func (d *Double) Verify(second *Double) error {
	if !reflect.DeepEqual(d.Questions, second.Questions) {
		return errors.New("configure defined other questions the second time; " +
			"a map is visited in another order each time")
	}
	return nil
}

// Functions of the package pointsman, which this package cannot import.
var (
	// Wrap makes a *pointsman.Request from a head.
	Wrap func(Head) any
	// Configure makes a router with the exported function. The function that it returns takes a
	// *pointsman.Request and returns a pointsman.Decision.
	Configure func(config string) (route func(request any) (any, error), cacheable bool, err error)
)

// WriteLog writes one entry to the log.
func WriteLog(level Level, message string) {
	present.Log = append(present.Log, Line{level, Text(message)})
}

// BackendNames returns the names of all backends.
func BackendNames() []string {
	return slices.Sorted(maps.Keys(present.Backends))
}

// BackendState returns the load of a backend; false if the proxy's configuration has no such
// backend.
func BackendState(name string) (Backend, bool) {
	load, found := present.Backends[name]
	if !found {
		return Backend{}, false
	}
	state := Backend{Queued: load.Queued}
	for _, server := range load.Servers {
		state.Active += server.Active
		if server.Usable {
			state.UsableServers++
		}
	}
	return state, true
}

// BackendServers returns the servers of a backend; false if the proxy's configuration has no such
// backend.
func BackendServers(name string) ([]Server, bool) {
	load, found := present.Backends[name]
	if !found {
		return nil, false
	}
	return slices.Clone(load.Servers), true
}
