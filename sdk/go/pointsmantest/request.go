//go:build !wasip1

package pointsmantest

import (
	"strings"
	"time"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A Request is a request in memory: by default an HTTP/1.1 request from 127.0.0.1, without TLS,
// field lines or body.
type Request struct {
	memory proxy.Memory
}

// A Certificate is a client's certificate. An empty field means that there is no value.
type Certificate struct {
	Subject, Issuer string
	Names           []string
	Serial, SHA256  string
	NotAfter        time.Time
}

// New returns a request with this method and target, for example GET and /a?b=c.
func New(method, target string) *Request {
	return &Request{proxy.Memory{
		Method:  method,
		Scheme:  "http",
		Version: "1.1",
		Target:  target,
		Address: "127.0.0.1",
		Port:    49152,
	}}
}

// Get returns a GET request.
func Get(target string) *Request {
	return New("GET", target)
}

// Connection returns a connection to a frontend with `mode = "tcp"`. It uses TLS if a server name
// is given.
func Connection(serverName string) *Request {
	request := New("", "")
	request.memory.Version, request.memory.IsConnection = "", true
	if serverName != "" {
		request.TLS(serverName, "")
	}
	return request
}

// Version sets the HTTP version: 1.0, 1.1, 2 or 3.
func (r *Request) Version(version string) *Request {
	r.memory.Version = version
	return r
}

// Scheme sets the scheme, as a trusted proxy's X-Forwarded-Proto does.
func (r *Request) Scheme(scheme string) *Request {
	r.memory.Scheme = scheme
	return r
}

// Header adds a field line. The value is octets, for example "\xff"; surrounding blanks are not
// part of it. The field host is the request's authority.
func (r *Request) Header(name, value string) *Request {
	field := proxy.Field{Name: name, Value: strings.Trim(value, " \t")}
	r.memory.Fields = append(r.memory.Fields, field)
	return r
}

// Client sets the client's address, and the peer's port.
func (r *Request) Client(address string, port uint16) *Request {
	r.memory.Address, r.memory.Port = address, port
	return r
}

// TLS makes this a request over TLS, with the scheme https. An empty string means that there is no
// value.
func (r *Request) TLS(serverName, alpn string) *Request {
	r.memory.ServerName, r.memory.ALPN, r.memory.Scheme = serverName, alpn, "https"
	return r
}

// ClientCertificate sets the verified certificate that the client presented.
func (r *Request) ClientCertificate(certificate Certificate) *Request {
	r.memory.Certificate = proxy.Certificate{
		Subject: certificate.Subject,
		Issuer:  certificate.Issuer,
		Names:   certificate.Names,
		Serial:  certificate.Serial,
		SHA256:  certificate.SHA256,
	}
	if !certificate.NotAfter.IsZero() {
		seconds := uint64(certificate.NotAfter.Unix())
		r.memory.Certificate.NotAfter = &seconds
	}
	return r
}

// Attempt sets how many earlier decisions for this request have failed.
func (r *Request) Attempt(attempt uint32) *Request {
	r.memory.Attempt = attempt
	return r
}

// Body sets the body, which has arrived completely.
func (r *Request) Body(body string) *Request {
	r.memory.Body, r.memory.BodyIsComplete = &body, true
	return r
}

// BodyPrefix sets the part of a body that has arrived; the rest is still missing.
func (r *Request) BodyPrefix(prefix string) *Request {
	r.memory.Body, r.memory.BodyIsComplete = &prefix, false
	return r
}

// Share sets whether this request is in the shares with a salt, whatever SetShare says.
func (r *Request) Share(salt string, in bool) *Request {
	if r.memory.Shares == nil {
		r.memory.Shares = map[string]bool{}
	}
	r.memory.Shares[salt] = in
	return r
}

// Edits returns the edits that the last Route made to the request, in order: `set x-a: 1`, `set x-a
// by value of cookie:session`, `append x-a: 1`, `remove x-a`, `set host: a.test`, `path-with-query
// /a`, `path-prefix 4 bytes: /b`. A lookup is named as `lookup of header:x-tenant in table
// "tenants"`.
func (r *Request) Edits() []string {
	return r.memory.Edits
}

// ResponseEdits returns the edits that the last Route made to the response, in order.
func (r *Request) ResponseEdits() []string {
	return r.memory.ResponseEdits
}

// Options returns the options and tags that the last Route set, in order: `affinity: KEY`,
// `affinity by value of cookie:session`, `queue-timeout: 500 ms`, `connect-timeout: 500 ms`,
// `server-timeout: 500 ms`, `tunnel-timeout: 500 ms`, `tries: 3`, `tag tenant: acme`,
// `tag tenant by value of cookie:tenant`.
func (r *Request) Options() []string {
	return r.memory.Options
}
