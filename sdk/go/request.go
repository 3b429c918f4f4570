package pointsman

import (
	"strings"
	"unicode/utf8"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A Request is the head of a request whose route is being decided. It is read lazily: only the
// parts that the plugin reads cross into the sandbox, and each becomes part of the key under which
// the decision is cached. Read only what you need. If yes, no or one of a few values is enough, ask
// a question instead, such as a Matcher or a Condition.
//
// Values are octets as the client sent them, which need not be UTF-8 (RFC 9110, section 5.5); Go's
// strings can contain any. Reads show the request as the proxy admitted it, without edits.
//
// In a frontend with `mode = "tcp"` there is no HTTP: Host is the server name of the TLS
// ClientHello; Method, Path and Authority are empty; edits fail, and Respond closes the connection.
//
// A Request can be used until Route returns.
type Request struct {
	head                       proxy.Head
	method, target, path, host memo
}

// A memo caches the result of a read that plugins tend to repeat.
type memo struct {
	text string
	read bool
}

func (m *memo) of(read func() string) string {
	if !m.read {
		m.text, m.read = read(), true
	}
	return m.text
}

// A Field is a field line of a request or a response.
type Field struct {
	Name, Value string
}

// Method returns the method as sent, for example GET (RFC 9110, section 9). Empty without HTTP
// (`mode = "tcp"`).
func (r *Request) Method() string {
	return r.method.of(r.head.Method)
}

// Scheme returns the scheme: http or https. If a trusted proxy sends X-Forwarded-Proto, its value
// is used.
func (r *Request) Scheme() string {
	return r.head.Scheme()
}

// Version returns the HTTP version: 1.0, 1.1, 2 or 3. False without HTTP (`mode = "tcp"`).
func (r *Request) Version() (version string, found bool) {
	return r.head.Version()
}

// Authority returns the authority as sent: the host, with the port if there is one. The scheme's
// default port is left out if the authority comes from an absolute target or from :authority. Empty
// without HTTP, or if the client sent no authority (HTTP/1.0).
func (r *Request) Authority() string {
	return r.head.Authority()
}

// Host returns the host of Authority, in lower case, without port or trailing dot. Without HTTP
// (`mode = "tcp"`), it returns the server name of the TLS ClientHello.
func (r *Request) Host() string {
	return r.host.of(r.head.Host)
}

// PathWithQuery returns the target in origin form, for example /a?b=c; * for `OPTIONS *` (RFC 9112,
// section 3.2). Nothing is decoded.
func (r *Request) PathWithQuery() string {
	return r.target.of(r.head.PathWithQuery)
}

// Path returns the path as sent, without the query. Nothing is decoded.
func (r *Request) Path() string {
	return r.path.of(r.head.Path)
}

// Query returns the text after the first ? of the target, for example b=c; false if there is no ?.
// Nothing is decoded.
//
// It reads the whole target; QueryParameter reads less.
func (r *Request) Query() (query string, found bool) {
	_, query, found = strings.Cut(r.PathWithQuery(), "?")
	return query, found
}

// QueryParameter returns the first value of the named query parameter; false if there is no such
// parameter. %XX is decoded once, and + is read as a space. The value need not be UTF-8.
func (r *Request) QueryParameter(name string) (value string, found bool) {
	return r.head.QueryParameter(name)
}

// Header returns the value of the first line of the named field; false if there is no such line.
// The name is case-insensitive.
func (r *Request) Header(name string) (value string, found bool) {
	lines := r.head.Header(name)
	defer lines.Close()
	if lines.Len() == 0 {
		return "", false
	}
	return lines.Value(0), true
}

// HeaderText is like Header, but returns text; also false if the value is not UTF-8.
func (r *Request) HeaderText(name string) (value string, found bool) {
	value, found = r.Header(name)
	if !utf8.ValidString(value) {
		return "", false
	}
	return value, found
}

// HeaderLines returns the value of every line of the named field, in the order received.
func (r *Request) HeaderLines(name string) []string {
	lines := r.head.Header(name)
	defer lines.Close()
	if lines.Len() == 0 {
		return nil
	}
	values := make([]string, lines.Len())
	for i := range values {
		values[i] = lines.Value(i)
	}
	return values
}

// Headers returns every field line in the order received, with names as sent. A decision that reads
// them all is reused only for requests with the same lines.
func (r *Request) Headers() []Field {
	lines := r.head.Headers()
	defer lines.Close()
	fields := make([]Field, lines.Len())
	for i := range fields {
		fields[i].Name, fields[i].Value = lines.Line(i)
	}
	return fields
}

// Cookie returns the value of the named cookie; false if there is no such cookie. The name is
// case-sensitive (RFC 6265, section 5.4).
func (r *Request) Cookie(name string) (value string, found bool) {
	return r.head.Cookie(name)
}

// BodyPrefix returns the part of the body that had arrived when Route was called; false unless the
// frontend waits for the body (routing.body). A decision that reads it is not cached.
func (r *Request) BodyPrefix() (prefix string, found bool) {
	return r.head.BodyPrefix()
}

// BodyIsComplete reports whether BodyPrefix is the whole body.
func (r *Request) BodyIsComplete() bool {
	return r.head.BodyIsComplete()
}

// Attempt returns how many decisions for this request have failed before this call; 0 on the first
// call.
func (r *Request) Attempt() uint32 {
	return r.head.Attempt()
}
