package pointsman

import "strconv"

// A Decision is where a request goes: make one with Backend, DefaultBackend, Respond or
// Redirect. Two that name a backend are equal (==) if it is the same.
type Decision struct {
	// One of the three; the zero value is DefaultBackend.
	backend  string
	response *Response
	named    bool
}

// A Response is sent by the proxy instead of a backend's. The proxy adds what frames the
// message; a status or a field that HTTP forbids is a fault of the plugin.
type Response struct {
	// Status is 200 to 599.
	Status  int
	Headers []Field
	Body    string
}

// Backend sends a request to the backend of that name. One that the proxy's configuration
// has not is a fault of the plugin.
func Backend(name string) Decision {
	return Decision{backend: name, named: true}
}

// DefaultBackend sends a request to the frontend's default_backend.
func DefaultBackend() Decision {
	return Decision{}
}

// Respond sends a request to no backend: the proxy answers it.
func Respond(response Response) Decision {
	return Decision{response: &response}
}

// Redirect sends the client elsewhere, with status 301, 302, 303, 307 or 308 (RFC 9110,
// section 15.4).
func Redirect(status int, location string) Decision {
	return Respond(Response{
		Status:  status,
		Headers: []Field{{Name: "location", Value: location}},
	})
}

// Backend returns the name of the backend; false where none is named.
func (d Decision) Backend() (name string, found bool) {
	return d.backend, d.named
}

// Response returns the plugin's own response; false where a backend is to answer.
func (d Decision) Response() (response Response, found bool) {
	if d.response == nil {
		return Response{}, false
	}
	return *d.response, true
}

// String returns `backend NAME`, `default backend` or `respond STATUS`, for tests and logs.
func (d Decision) String() string {
	switch {
	case d.response != nil:
		return "respond " + strconv.Itoa(d.response.Status)
	case d.named:
		return "backend " + d.backend
	default:
		return "default backend"
	}
}
