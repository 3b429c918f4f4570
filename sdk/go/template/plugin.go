// Sends requests that have the cookie canary=1 to a backend of their own.
package main

import (
	"strconv"

	pointsman "github.com/pointsman/pointsman/sdk/go"
)

// Config is the table router.config of the proxy's configuration.
type Config struct {
	Backend string `json:"backend"`
}

func init() { pointsman.Export(configure) }

func main() {}

func configure(config Config) (pointsman.Router, error) {
	if !pointsman.BackendExists(config.Backend) {
		message := "there is no backend " + strconv.Quote(config.Backend)
		return pointsman.Router{}, pointsman.ErrorAt("backend", message)
	}
	return pointsman.Router{Route: config.route, Cacheable: true}, nil
}

func (c Config) route(request *pointsman.Request) (pointsman.Decision, error) {
	if value, _ := request.Cookie("canary"); value == "1" {
		return pointsman.Backend(c.Backend), nil
	}
	return pointsman.DefaultBackend(), nil
}
