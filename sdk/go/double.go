//go:build !wasip1

package pointsman

import "github.com/pointsman/pointsman/sdk/go/internal/proxy"

// Sets the functions with which pointsmantest drives a plugin.
func init() {
	proxy.Wrap = func(head proxy.Head) any { return &Request{head: head} }
	proxy.Configure = func(config string) (func(any) (any, error), bool, error) {
		router, err := start(config)
		route := func(request any) (any, error) {
			return router.decide(request.(*Request))
		}
		return route, router.Cacheable, err
	}
}
