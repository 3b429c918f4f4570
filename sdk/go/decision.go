package pointsman

import "strconv"

// A Decision is where a request goes: make one with Backend, Server, DefaultBackend, Next,
// Respond or Redirect. The zero value is DefaultBackend. Two that name the same backend and
// server are equal (==).
type Decision struct {
	kind decisionKind
	// Of a backend or a server.
	backend string
	// Of a server.
	server    string
	otherwise Fallback
	// Of a response.
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

// Fallback is what happens if the server of a decision is not usable.
type Fallback uint8

const (
	// AnotherServer of the backend gets the request.
	AnotherServer Fallback = iota
	// AskAgain: the router is asked again, with the next Attempt.
	AskAgain
)

// A Response is sent by the proxy instead of a backend's. The proxy adds the fields that frame
// the message; a status or a field that HTTP forbids is a fault of the plugin.
type Response struct {
	// Status is 200 to 599.
	Status  int
	Headers []Field
	Body    string
}

// Backend sends a request to the backend of that name. A name that is not in the proxy's
// configuration is a fault of the plugin.
func Backend(name string) Decision {
	return Decision{kind: toBackend, backend: name}
}

// Server sends a request to one server of a backend.
func Server(backend, server string, otherwise Fallback) Decision {
	return Decision{kind: toServer, backend: backend, server: server, otherwise: otherwise}
}

// DefaultBackend sends a request to the frontend's default_backend.
func DefaultBackend() Decision {
	return Decision{}
}

// Next leaves the decision to the next plugin of the frontend's list, with the edits and
// options so far; after the last one the request goes to the frontend's default_backend.
func Next() Decision {
	return Decision{kind: toNext}
}

// Respond sends a request to no backend: the proxy answers it.
func Respond(response Response) Decision {
	return Decision{kind: toClient, response: &response}
}

// Redirect sends the client elsewhere, with status 301, 302, 303, 307 or 308 (RFC 9110,
// section 15.4).
func Redirect(status int, location string) Decision {
	return Respond(Response{
		Status:  status,
		Headers: []Field{{Name: "location", Value: location}},
	})
}

// Backend returns the name of the backend, of Backend and of Server; false if none is named.
func (d Decision) Backend() (name string, found bool) {
	return d.backend, d.kind == toBackend || d.kind == toServer
}

// Server returns the name of the server, and what happens without it; false if none is named.
func (d Decision) Server() (name string, otherwise Fallback, found bool) {
	return d.server, d.otherwise, d.kind == toServer
}

// Response returns the plugin's own response; false if there is none.
func (d Decision) Response() (response Response, found bool) {
	if d.response == nil {
		return Response{}, false
	}
	return *d.response, true
}

// String returns a text for tests and logs: `backend NAME`, `server NAME of backend
// NAME`, with `, or ask again` if that is so, `default backend`, `next` or `respond STATUS`.
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
