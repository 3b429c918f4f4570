//go:build !wasip1

package pointsmantest

import (
	"strings"
	"time"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A Request is one in memory: by default by HTTP/1.1 from 127.0.0.1, without TLS, field lines
// and body.
type Request struct {
	memory proxy.Memory
}

// A Certificate is a client's. Fields that are empty are not there.
type Certificate struct {
	Subject, Issuer string
	Names           []string
	Serial, SHA256  string
	NotAfter        time.Time
}

// New makes a request with this method and target, for example GET and /a?b=c.
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

// Get makes a GET request.
func Get(target string) *Request {
	return New("GET", target)
}

// Connection makes a connection of a frontend with `mode = "tcp"`, by TLS if a server name is
// given.
func Connection(serverName string) *Request {
	request := New("", "")
	request.memory.Version, request.memory.IsConnection = "", true
	if serverName != "" {
		request.TLS(serverName, "")
	}
	return request
}

// Version sets the version of HTTP: 1.0, 1.1, 2 or 3.
func (r *Request) Version(version string) *Request {
	r.memory.Version = version
	return r
}

// Scheme sets the scheme that a trusted proxy named.
func (r *Request) Scheme(scheme string) *Request {
	r.memory.Scheme = scheme
	return r
}

// Header adds a field line. The value is octets, for example "\xff"; blanks around it are no
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

// TLS makes it a request over TLS, whose scheme is https. A text that is empty is not there.
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

// Attempt sets how many choices for the request failed before.
func (r *Request) Attempt(attempt uint32) *Request {
	r.memory.Attempt = attempt
	return r
}

// Body sets the whole body, which the frontend has waited for.
func (r *Request) Body(body string) *Request {
	r.memory.Body, r.memory.BodyIsComplete = &body, true
	return r
}

// BodyPrefix sets the part of the body that has arrived, with more to come.
func (r *Request) BodyPrefix(prefix string) *Request {
	r.memory.Body, r.memory.BodyIsComplete = &prefix, false
	return r
}

// Share sets whether this request is in the shares of a salt, whatever SetShare says.
func (r *Request) Share(salt string, in bool) *Request {
	if r.memory.Shares == nil {
		r.memory.Shares = map[string]bool{}
	}
	r.memory.Shares[salt] = in
	return r
}

// Edits returns the edits that the last Route made to the request, in order: `set x-a: 1`,
// `set x-a by value of cookie:session`, `append x-a: 1`, `remove x-a`, `set host: a.test`,
// `path-with-query /a`, `path-prefix 4 bytes: /b`. A look-up is named as
// `look-up of header:x-tenant in table "tenants"`.
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
