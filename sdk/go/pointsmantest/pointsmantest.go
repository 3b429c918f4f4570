//go:build !wasip1

// Package pointsmantest drives a plugin under `go test`, natively and without the proxy.
//
//	instance, err := pointsmantest.Configure(`{"backend":"canary"}`, "canary")
//	// ...
//	request := pointsmantest.Get("/").Header("cookie", "canary=1")
//	decision, err := instance.Route(request)
//	if decision != pointsman.Backend("canary") {
//
// The plugin is the one that the package under test has passed to pointsman.Export. Its questions
// are answered as in the proxy, except shares: the test sets which requests are in one.
package pointsmantest

import (
	"maps"
	"time"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A Proxy is the proxy configuration that a plugin is tested with.
type Proxy struct {
	// Backends are the names of the backends. Each has one server, named server.
	Backends []string
	// Tables are the operator's tables, by name.
	Tables map[string]map[string]string
}

// An Instance is a configured plugin, called in the same way as by the proxy.
type Instance struct {
	double    *proxy.Double
	route     func(any) (any, error)
	cacheable bool
}

// Configure configures the plugin with config, which is JSON, in a proxy that has these
// backends.
func Configure(config string, backends ...string) (*Instance, error) {
	return Proxy{Backends: backends}.Configure(config)
}

// Configure configures the plugin with config, which is JSON. Its error is the message that the
// proxy would show, for example `rules[0].suffix: message`. It configures the plugin twice, as a
// proxy with several instances does, and fails if they define different questions.
func (p Proxy) Configure(config string) (*Instance, error) {
	instance, err := p.configure(config)
	if err != nil {
		return nil, err
	}
	second, err := p.configure(config)
	if err != nil {
		return nil, err
	}
	if err := instance.double.Verify(second.double); err != nil {
		return nil, err
	}
	second.double.Log = instance.double.Log
	return second, nil
}

func (p Proxy) configure(config string) (*Instance, error) {
	double := &proxy.Double{
		Backends: map[string]*proxy.Load{},
		Tables:   map[string]map[string]string{},
		Shares:   map[string]bool{},
	}
	maps.Copy(double.Tables, p.Tables)
	for _, name := range p.Backends {
		server := proxy.Server{Name: "server", Usable: true, Weight: 1}
		double.Backends[name] = &proxy.Load{Servers: []proxy.Server{server}}
	}
	instance := &Instance{double: double}
	var err error
	double.Drive(func() {
		instance.route, instance.cacheable, err = proxy.Configure(config)
	})
	return instance, err
}

// Route returns the plugin's decision on a request. A panic of the plugin is returned as an error.
// So is asking a question that the plugin did not define.
func (i *Instance) Route(request *Request) (decision pointsman.Decision, err error) {
	memory := &request.memory
	memory.Edits, memory.ResponseEdits, memory.Options = nil, nil, nil
	i.double.Drive(func() {
		var made any
		made, err = i.route(proxy.Wrap(proxy.NewHead(memory)))
		decision = made.(pointsman.Decision)
	})
	return decision, err
}

// Cacheable reports whether the plugin's decisions can be reused.
func (i *Instance) Cacheable() bool {
	return i.cacheable
}

// SetServers sets the servers of a backend, which must be one of the proxy's.
func (i *Instance) SetServers(backend string, servers ...pointsman.ServerState) {
	load := i.load(backend)
	load.Servers = nil
	for _, server := range servers {
		load.Servers = append(load.Servers, proxy.Server{
			Name:    server.Name,
			Usable:  server.Usable,
			Weight:  server.Weight,
			Active:  server.Active,
			Limit:   server.Limit,
			Latency: uint32(server.Latency / time.Microsecond),
		})
	}
}

// SetUsable sets whether the servers of a backend, which must be one of the proxy's, are usable.
func (i *Instance) SetUsable(backend string, usable bool) {
	servers := i.load(backend).Servers
	for at := range servers {
		servers[at].Usable = usable
	}
}

// SetQueued sets how many requests wait for a slot of a backend, which must be one of the
// proxy's.
func (i *Instance) SetQueued(backend string, queued uint32) {
	i.load(backend).Queued = queued
}

func (i *Instance) load(backend string) *proxy.Load {
	load, found := i.double.Backends[backend]
	if !found {
		panic("the test has no backend " + backend)
	}
	return load
}

// SetTable replaces one of the operator's tables.
func (i *Instance) SetTable(name string, values map[string]string) {
	i.double.Tables[name] = values
}

// SetShare sets whether requests are in the shares with this salt; by default, they are not. It
// does not affect shares of none or of all requests.
func (i *Instance) SetShare(salt string, in bool) {
	i.double.Shares[salt] = in
}

// TakeLog returns the lines that the plugin has logged since the last call, for example
// `warn: message`.
func (i *Instance) TakeLog() []string {
	names := [...]string{"trace: ", "debug: ", "info: ", "warn: ", "error: "}
	var lines []string
	for _, line := range i.double.Log {
		lines = append(lines, names[line.Level]+line.Message)
	}
	i.double.Log = nil
	return lines
}
