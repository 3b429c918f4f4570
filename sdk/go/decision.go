package pointsman

import "strconv"

// A Decision is the destination of a request. Make one with Backend, Server, DefaultBackend, Next,
// Respond or Redirect. The zero value is DefaultBackend. Two decisions that name the same backend
// and server are equal (==).
type Decision struct {
	kind decisionKind
	// The backend's name, if the decision is a backend or a server.
	backend string
	// The server's name, if the decision is a server.
	server    string
	otherwise Fallback
	// The response, if the decision is a response.
	response *Response
}

type decisionKind uint8

const (
	toDefaultBackend decisionKind = iota
	toBackend
	toServer
	toNext
	toClient
)

// Fallback says what happens if the chosen server is not usable.
type Fallback uint8

const (
	// AnotherServer sends the request to another server of the backend.
	AnotherServer Fallback = iota
	// AskAgain calls the router again, with Attempt increased by one.
	AskAgain
)

// A Response is a response that the plugin makes by itself, without a backend. The proxy adds the
// fields that frame the message. A status or a field that HTTP forbids is a fault of the plugin.
type Response struct {
	// Status is 200 to 599.
	Status  int
	Headers []Field
	Body    string
}

// Backend sends the request to the named backend. A name that is not in the proxy's configuration
// is a fault of the plugin.
func Backend(name string) Decision {
	return Decision{kind: toBackend, backend: name}
}

// Server sends the request to one server of a backend.
func Server(backend, server string, otherwise Fallback) Decision {
	return Decision{kind: toServer, backend: backend, server: server, otherwise: otherwise}
}

// DefaultBackend sends the request to the frontend's default_backend.
func DefaultBackend() Decision {
	return Decision{}
}

// Next leaves the decision to the next plugin of the frontend's router, with the edits and options
// made so far. After the last plugin, the request goes to the frontend's default_backend.
func Next() Decision {
	return Decision{kind: toNext}
}

// Respond responds without a backend: the proxy sends this response.
func Respond(response Response) Decision {
	return Decision{kind: toClient, response: &response}
}

// Redirect redirects the client to location with status 301, 302, 303, 307 or 308 (RFC 9110,
// section 15.4).
func Redirect(status int, location string) Decision {
	return Respond(Response{
		Status:  status,
		Headers: []Field{{Name: "location", Value: location}},
	})
}

// Backend returns the name of the backend that Backend or Server was called with; false if the
// decision names no backend.
func (d Decision) Backend() (name string, found bool) {
	return d.backend, d.kind == toBackend || d.kind == toServer
}

// Server returns the name of the server, and the fallback if that server is not usable; false if
// the decision names no server.
func (d Decision) Server() (name string, otherwise Fallback, found bool) {
	return d.server, d.otherwise, d.kind == toServer
}

// Response returns the plugin's own response; false if the decision is not a response.
func (d Decision) Response() (response Response, found bool) {
	if d.response == nil {
		return Response{}, false
	}
	return *d.response, true
}

// String returns a text for tests and logs: `backend NAME`, `server NAME of backend NAME`, `default
// backend`, `next` or `respond STATUS`. The fallback AskAgain adds `, or ask again`.
func (d Decision) String() string {
	switch d.kind {
	case toBackend:
		return "backend " + d.backend
	case toServer:
		text := "server " + d.server + " of backend " + d.backend
		if d.otherwise == AskAgain {
			text += ", or ask again"
		}
		return text
	case toNext:
		return "next"
	case toClient:
		return "respond " + strconv.Itoa(d.response.Status)
	default:
		return "default backend"
	}
}
