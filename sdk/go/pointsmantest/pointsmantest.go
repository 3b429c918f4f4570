//go:build !wasip1

// Package pointsmantest drives a plugin under `go test`, natively and without the proxy.
//
//	instance, err := pointsmantest.Configure(`{"backend":"canary"}`, "canary")
//	// ...
//	request := pointsmantest.Get("/").Header("cookie", "canary=1")
//	decision, err := instance.Route(request)
//	if decision != pointsman.Backend("canary") {
//
// The plugin is what the package under test has handed to pointsman.Export.
package pointsmantest

import (
	"strings"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// An Instance is a configured plugin, driven as the proxy drives one.
type Instance struct {
	double    *proxy.Double
	route     func(any) (any, error)
	cacheable bool
}

// Configure configures the plugin with config, which is JSON, before a proxy that has these
// backends, each with one server. Its error is what the proxy would show, as in
// `rules[0].suffix: message`.
func Configure(config string, backends ...string) (*Instance, error) {
	instance := &Instance{double: &proxy.Double{Backends: map[string]proxy.State{}}}
	for _, name := range backends {
		instance.double.Backends[name] = proxy.State{UsableServers: 1}
	}
	var err error
	instance.double.Drive(func() {
		instance.route, instance.cacheable, err = proxy.Configure(config)
	})
	return instance, err
}

// Route asks the plugin where a request goes.
func (i *Instance) Route(request *Request) (decision pointsman.Decision, err error) {
	i.double.Drive(func() {
		var made any
		head := proxy.NewHead(&request.memory)
		made, err = i.route(proxy.Wrap(head))
		decision = made.(pointsman.Decision)
	})
	return decision, err
}

// Cacheable tells whether the plugin's decisions may be reused.
func (i *Instance) Cacheable() bool {
	return i.cacheable
}

// SetBackend sets the load that the plugin is told of a backend, which is added where
// Configure did not name it.
func (i *Instance) SetBackend(name string, state pointsman.State) {
	i.double.Backends[name] = proxy.State(state)
}

// TakeLog returns what the plugin has logged since the last call, as `warn: message`.
func (i *Instance) TakeLog() []string {
	names := [...]string{"trace: ", "debug: ", "info: ", "warn: ", "error: "}
	var lines []string
	for _, entry := range i.double.Log {
		lines = append(lines, names[entry.Level]+entry.Message)
	}
	i.double.Log = nil
	return lines
}

// A Request is one in memory: by default from 127.0.0.1, in the clear, without fields.
type Request struct {
	memory proxy.Memory
}

// New makes a request with this method and target, as in GET and /a?b=c.
func New(method, target string) *Request {
	return &Request{proxy.Memory{
		Method: method,
		Scheme: "http",
		Target: target,
		Client: proxy.Client{Address: "127.0.0.1", Port: 49152},
	}}
}

// Get makes a GET request.
func Get(target string) *Request {
	return New("GET", target)
}

// Header adds a field line. The value is octets, as in "\xff".
func (r *Request) Header(name, value string) *Request {
	line := proxy.Line{Name: strings.ToLower(name), Value: value}
	r.memory.Lines = append(r.memory.Lines, line)
	return r
}

// Client sets the peer.
func (r *Request) Client(address string, port uint16) *Request {
	r.memory.Client = proxy.Client{Address: address, Port: port}
	return r
}

// TLS makes it a request over TLS, whose scheme is https.
func (r *Request) TLS(facts pointsman.TLS) *Request {
	session := proxy.TLS(facts)
	r.memory.TLS, r.memory.Scheme = &session, "https"
	return r
}

// Attempt sets how many backends were tried before.
func (r *Request) Attempt(attempt uint32) *Request {
	r.memory.Attempt = attempt
	return r
}

// Edits returns the edits made to the request, in their order: `set x-a: 1`, `append x-a: 1`,
// `remove x-a` and `path-with-query /a`.
func (r *Request) Edits() []string {
	return r.memory.Edits
}
