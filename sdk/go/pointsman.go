// Package pointsman is for routing plugins of the reverse proxy Pointsman, in Go.
//
// A plugin is a package main that hands a function to Export. The function is called once
// with the plugin's configuration and returns a Router, which the proxy then asks for a
// Decision on each request:
//
//	package main
//
//	import pointsman "github.com/pointsman/pointsman/sdk/go"
//
//	type Config struct {
//		Backend string `json:"backend"`
//	}
//
//	func init() { pointsman.Export(configure) }
//
//	func main() {}
//
//	func configure(config Config) (pointsman.Router, error) {
//		return pointsman.Router{
//			Cacheable: true,
//			Route: func(request *pointsman.Request) (pointsman.Decision, error) {
//				if value, _ := request.Cookie("canary"); value == "1" {
//					return pointsman.Backend(config.Backend), nil
//				}
//				return pointsman.DefaultBackend(), nil
//			},
//		}, nil
//	}
//
// It is built for wasip1 and runs in a sandbox; under `go test` it runs natively, with a
// double of the proxy from the package pointsmantest.
package pointsman

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
)

// A Router is what a plugin is once it is configured.
type Router struct {
	// Route decides where a request goes. An error counts as a fault of the plugin, as a
	// panic does, and the request goes by the frontend's on_fault. A request without a
	// match is no error but DefaultBackend.
	Route func(request *Request) (Decision, error)
	// Cacheable: a decision follows from the configuration and from what Route read of
	// the request alone, and may serve every request in which those reads give the same
	// values. Otherwise each decision is made afresh, which is right for any router.
	Cacheable bool
}

// What Export was given.
var exported func(config string) (Router, error)

// Export makes a plugin of its package. To be called from an init function, with what makes a
// router of the plugin's own table in the proxy's configuration, router.config.
//
// Config is a struct, most often. Its fields are named by tags, as in `json:"backend"`.
// Each is a key that has to be there, unless it is a pointer or is tagged
// `json:"port,omitempty"` or `default:"8080"`. Keys that the struct does not have are
// errors, as are values of another type: the proxy shows each at its place in the file. A type
// may have a method of its own to be read by: ReadValue, UnmarshalJSON or UnmarshalText, in
// this order. NoConfig is for a plugin without a configuration.
//
// An error of configure keeps the plugin out of service, and the version before it in
// service; ErrorAt names the key. A panic does the same.
func Export[Config any](configure func(config Config) (Router, error)) {
	exported = func(text string) (Router, error) {
		var config Config
		if err := readConfig(text, &config); err != nil {
			return Router{}, err
		}
		return configure(config)
	}
}

// start makes the router.
func start(config string) (router Router, err error) {
	defer recovered("configure", &err)
	if exported == nil {
		return Router{}, errors.New("the plugin exports nothing: call pointsman.Export in an init function")
	}
	router, err = exported(config)
	if err == nil && router.Route == nil {
		err = errors.New("configure returned a router without a Route function")
	}
	return router, err
}

// decide asks the router.
func (r *Router) decide(request *Request) (decision Decision, err error) {
	defer recovered("Route", &err)
	return r.Route(request)
}

// maxStack is the most that is logged of a panic's stack.
const maxStack = 16 << 10

// recovered makes an error of a panic, and a line in the log of where it came from.
func recovered(function string, err *error) {
	value := recover()
	if value == nil {
		return
	}
	message := function + " panicked: " + describe(value)
	stack := make([]byte, maxStack)
	stack = stack[:runtime.Stack(stack, false)]
	// The proxy writes a tab as an escape.
	lines := strings.ReplaceAll(strings.TrimSpace(string(stack)), "\t", "    ")
	LogError(message + "\n" + lines)
	message, _, _ = strings.Cut(message, "\n")
	*err = errors.New(message)
}

// describe does for a panic's value what fmt would, whose size is not worth it.
func describe(value any) (text string) {
	defer func() {
		if recover() != nil {
			text = "a value that panics itself when asked for its text"
		}
	}()
	switch value := value.(type) {
	case error:
		return value.Error()
	case interface{ String() string }:
		return value.String()
	case string:
		return value
	case int:
		return strconv.Itoa(value)
	default:
		return "a value that is no text"
	}
}
