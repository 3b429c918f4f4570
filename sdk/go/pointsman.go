// Package pointsman is for writing routing plugins for the reverse proxy Pointsman in Go.
//
// A plugin is a package main that passes a function to Export. The function is called once, with
// the plugin's configuration. It defines the questions that the plugin asks and returns a Router,
// which the proxy then calls for a Decision on each request that no cached decision covers:
//
//	package main
//
//	import pointsman "github.com/pointsman/pointsman/sdk/go"
//
//	type Config struct {
//		Hosts map[string]string `json:"hosts"`
//	}
//
//	func init() { pointsman.Export(configure) }
//
//	func main() {}
//
//	func configure(config Config) (pointsman.Router, error) {
//		backends, err := pointsman.Domain("host", pointsman.EntriesOf(config.Hosts))
//		if err != nil {
//			return pointsman.Router{}, pointsman.ErrorAt("hosts", err.Error())
//		}
//		return pointsman.Router{
//			Cacheable: true,
//			Route: func(request *pointsman.Request) (pointsman.Decision, error) {
//				if backend, found := backends.Of(request); found {
//					return pointsman.Backend(backend), nil
//				}
//				return pointsman.Next(), nil
//			},
//		}, nil
//	}
// # Questions
//
// A plugin defines questions in configure and asks them in Route: a [Matcher], a [Condition] or a
// [ValueQuestion]. The proxy answers them by itself and uses the answers as the key of its decision
// cache, not the values that the questions are about. So one cached decision serves every request
// with the same answers, and Route runs only for new combinations of answers.
//
// The parameter over of the definitions names a part of the request: method, scheme, authority,
// host, path, path-with-query, query:NAME, header:NAME (each line), values:NAME (each member of a
// comma-separated list), cookie:NAME, client-address, server-name, or body-json:POINTER (RFC 6901),
// which needs the frontend's routing.body. The error of a definition is a message for the operator;
// [ErrorAt] and [ErrorAtEntry] add the key of the configuration.
//
// # Edits and options
//
// Edits and options take effect only if Route returns a backend, a server, the default backend or
// Next. Response edits and tags also apply to a response that this or a later plugin makes.
//
// An edit fails if HTTP does not allow the name, value or target, or if the field frames the
// message or the connection, which only the proxy may set: connection, content-length,
// transfer-encoding, upgrade and the like. If an option is set several times, the last call counts.
// An option out of its bounds is a mistake of the plugin: the call panics, and Route fails.
//
// # Tests
//
// A plugin is built for wasip1 and runs in a sandbox. Under `go test` it runs natively, with a
// double of the proxy from the package pointsmantest.
package pointsman

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
)

// A Router is a configured plugin.
type Router struct {
	// Route decides where a request goes. An error counts as a fault of the plugin, as a panic does,
	// and on_fault says where the request goes. A request without a match is not an error: return
	// Next.
	Route func(request *Request) (Decision, error)
	// Cacheable promises that a decision depends only on the configuration, on the parts of the
	// request that Route read and on the answers to questions. The proxy then reuses the decision for
	// every request with the same values and answers. Otherwise each request gets a new decision,
	// which is correct for any router.
	Cacheable bool
}

// The function that was passed to Export, wrapped so that it takes its configuration as JSON.
var exported func(config string) (Router, error)

// Export makes its package a plugin. Call it from an init function, with a function that makes a
// router from the plugin's table in the proxy's configuration, router.config.
//
// Config is usually a struct. Tags name its fields, for example `json:"backend"`. Each field is a
// required key, unless it is a pointer or is tagged `json:"port,omitempty"` or `default:"8080"`.
// Keys that the struct does not have are errors, as are values of another type: the proxy shows
// each at its key in the configuration file. A type can define how it is read, with ReadValue,
// UnmarshalJSON or UnmarshalText, in this order. NoConfig is for a plugin without a configuration.
//
// If configure returns an error, the plugin is not put into service, and its previous version stays
// in service. ErrorAt names the key. A panic has the same effect.
func Export[Config any](configure func(config Config) (Router, error)) {
	exported = func(text string) (Router, error) {
		var config Config
		if err := readConfig(text, &config); err != nil {
			return Router{}, err
		}
		return configure(config)
	}
}

// start calls the exported function, which makes the router.
func start(config string) (router Router, err error) {
	configuring = true
	defer func() { configuring = false }()
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

// decide calls the router.
func (r *Router) decide(request *Request) (decision Decision, err error) {
	defer recovered("Route", &err)
	return r.Route(request)
}

// maxStack is the maximum length of a panic's stack in the log.
const maxStack = 16 << 10

// recovered turns a panic into an error, and logs where it came from.
func recovered(function string, err *error) {
	value := recover()
	if value == nil {
		return
	}
	message := function + " panicked: " + describe(value)
	stack := make([]byte, maxStack)
	stack = stack[:runtime.Stack(stack, false)]
	// The proxy would write a tab as an escape.
	lines := strings.ReplaceAll(strings.TrimSpace(string(stack)), "\t", "    ")
	LogError(message + "\n" + lines)
	message, _, _ = strings.Cut(message, "\n")
	*err = errors.New(message)
}

// describe formats a panic's value as fmt would, but does not make the plugin as large as fmt
// would.
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
