// Sends clients with the cookie canary=1 to a separate backend.
package main

import pointsman "github.com/pointsman/pointsman/sdk/go"

// Config is the table router.config of the proxy's configuration.
type Config struct {
	Backend string `json:"backend"`
}

func init() { pointsman.Export(configure) }

func main() {}

// configure checks the configuration and defines the plugin's questions. The proxy answers them by
// itself, so two cached decisions serve all clients.
func configure(config Config) (pointsman.Router, error) {
	if err := pointsman.RequireBackend("backend", config.Backend); err != nil {
		return pointsman.Router{}, err
	}
	canary := pointsman.Entry[string]{Text: "1", Value: config.Backend}
	backend, err := pointsman.Exact("cookie:canary", []pointsman.Entry[string]{canary})
	return pointsman.Router{
		Cacheable: true,
		Route: func(request *pointsman.Request) (pointsman.Decision, error) {
			if name, found := backend.Of(request); found {
				return pointsman.Backend(name), nil
			}
			return pointsman.Next(), nil
		},
	}, err
}
