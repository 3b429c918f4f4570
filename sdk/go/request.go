package pointsman

import (
	"strings"
	"unicode/utf8"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A Request is the head of a request whose route is being decided. It is read lazily:
// only what is asked for crosses into the sandbox, and becomes part of what a cached
// decision depends on.
//
// Values are octets as the client sent them, which need not be UTF-8 (RFC 9110, section
// 5.5); Go's strings hold any. Edits apply to what the chosen backend receives, in the order
// made, and are dropped where the decision is a response; reads keep telling what the
// client sent.
//
// A Request is of use until Route returns.
type Request struct {
	head proxy.Head
	// What was read already, of that which one likes to ask for again and again.
	method, target, host             string
	methodRead, targetRead, hostRead bool
	hasHost                          bool
}

// A Field is a field line of a request or a response.
type Field struct {
	Name, Value string
}

// A Client is the peer of the connection: behind another proxy, that proxy.
type Client struct {
	// Address is an IPv4 or IPv6 address, or the path of a Unix socket: empty for most clients.
	Address string
	// Port is 0 for a Unix socket.
	Port uint16
}

// TLS has facts of the session that a request came over.
type TLS struct {
	// ServerName is what the client asked for (SNI), in lower case; empty if nothing.
	ServerName string
	// ALPN is the protocol agreed, as in `h2`; empty if none.
	ALPN string
}

// Method returns the method as sent, as in GET (RFC 9110, section 9).
func (r *Request) Method() string {
	if !r.methodRead {
		r.method, r.methodRead = r.head.Method(), true
	}
	return r.method
}

// Scheme returns http or https.
func (r *Request) Scheme() string {
	return r.head.Scheme()
}

// PathWithQuery returns the target in origin form, as in /a?b=c; * for `OPTIONS *` (RFC
// 9112, section 3.2).
func (r *Request) PathWithQuery() string {
	if !r.targetRead {
		r.target, r.targetRead = r.head.PathWithQuery(), true
	}
	return r.target
}

// Path returns the target up to its first question mark. Nothing is decoded.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.PathWithQuery(), "?")
	return path
}

// Query returns what follows the first question mark of the target, as in b=c. Nothing is
// decoded.
func (r *Request) Query() (query string, found bool) {
	_, query, found = strings.Cut(r.PathWithQuery(), "?")
	return query, found
}

// QueryParam returns the value of the first parameter of that name in the query. Names
// and values are decoded: + is a blank, %20 is one octet; an escape that is broken is left as it
// is. The value need not be UTF-8.
func (r *Request) QueryParam(name string) (value string, found bool) {
	rest, more := r.Query()
	for more {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		key, text, _ := strings.Cut(pair, "=")
		if pair != "" && decoded(key) == name {
			return decoded(text), true
		}
	}
	return "", false
}

// Host returns the host that the request is for, with its port where it has one: the
// field host, or :authority of HTTP/2. False where the client sent neither (HTTP/1.0).
func (r *Request) Host() (host string, found bool) {
	if !r.hostRead {
		r.host, r.hasHost = r.Header("host")
		r.hostRead = true
	}
	return r.host, r.hasHost
}

// Hostname returns Host without its port: a for a:80, [::1] for [::1]:80. An address such as
// ::1, which must have brackets to be followed by a port, is left as it is.
func (r *Request) Hostname() (host string, found bool) {
	host, found = r.Host()
	return WithoutPort(host), found
}

// WithoutPort returns a host without its port, as Hostname does.
func WithoutPort(host string) string {
	if strings.HasPrefix(host, "[") {
		if bracket := strings.IndexByte(host, ']'); strings.HasPrefix(host[bracket+1:], ":") {
			return host[:bracket+1]
		}
		return host
	}
	name, port, found := strings.Cut(host, ":")
	if !found || strings.Contains(port, ":") {
		return host
	}
	return name
}

// Header returns the value of the first line of a field. The name matches in any case.
func (r *Request) Header(name string) (value string, found bool) {
	lines := r.head.Header(name)
	defer lines.Close()
	if lines.Len() == 0 {
		return "", false
	}
	return strings.Clone(lines.View(0)), true
}

// HeaderText is Header, but false for a value that is not UTF-8.
func (r *Request) HeaderText(name string) (value string, found bool) {
	value, found = r.Header(name)
	if !utf8.ValidString(value) {
		return "", false
	}
	return value, found
}

// HeaderLines returns the value of each line of a field, in the order received.
func (r *Request) HeaderLines(name string) []string {
	lines := r.head.Header(name)
	defer lines.Close()
	if lines.Len() == 0 {
		return nil
	}
	values := make([]string, lines.Len())
	for i := range values {
		values[i] = strings.Clone(lines.View(i))
	}
	return values
}

// Headers returns every field line, names in lower case. Lines of one name are together,
// in the order received; the order of the names is not that of the request.
func (r *Request) Headers() []Field {
	lines := r.head.Headers()
	defer lines.Close()
	fields := make([]Field, lines.Len())
	for i := range fields {
		name, value := lines.View(i)
		fields[i] = Field{strings.Clone(name), strings.Clone(value)}
	}
	return fields
}

// Cookie returns the value of the first cookie of that name, whose case counts (RFC 6265,
// section 4.2).
func (r *Request) Cookie(name string) (value string, found bool) {
	lines := r.head.Header("cookie")
	defer lines.Close()
	for i := range lines.Len() {
		if value, found := cookie(lines.View(i), name); found {
			return strings.Clone(value), true
		}
	}
	return "", false
}

// cookie finds one in a line.
func cookie(line, name string) (value string, found bool) {
	for rest, more := line, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		for pair != "" && isBlank(pair[0]) {
			pair = pair[1:]
		}
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			value = pair[len(name)+1:]
			for value != "" && isBlank(value[len(value)-1]) {
				value = value[:len(value)-1]
			}
			return value, true
		}
	}
	return "", false
}

// Client returns the peer that sent the request.
func (r *Request) Client() Client {
	return Client(r.head.Client())
}

// TLS returns facts of the TLS session; false for a request in the clear.
func (r *Request) TLS() (facts TLS, found bool) {
	session, found := r.head.TLS()
	return TLS(session), found
}

// Attempt returns how many backends were tried before this call: 0 on the first.
func (r *Request) Attempt() uint32 {
	return r.head.Attempt()
}

// SetHeader replaces every line of a field by one with this value. It fails with
// ErrInvalidSyntax or ErrForbidden.
func (r *Request) SetHeader(name, value string) error {
	return edited(r.head.SetHeader(name, value))
}

// AppendHeader adds a line, after those that are there. It fails as SetHeader does; host, of
// which a request has one, is forbidden.
func (r *Request) AppendHeader(name, value string) error {
	return edited(r.head.AppendHeader(name, value))
}

// RemoveHeader removes every line of a field, where there are any. It fails as
// AppendHeader does.
func (r *Request) RemoveHeader(name string) error {
	return edited(r.head.RemoveHeader(name))
}

// SetPathWithQuery replaces the target by another in origin form. It fails with
// ErrInvalidSyntax.
func (r *Request) SetPathWithQuery(target string) error {
	return edited(r.head.SetPathWithQuery(target))
}

func edited(answer proxy.Edited) error {
	switch answer {
	case proxy.Done:
		return nil
	case proxy.Forbidden:
		return ErrForbidden
	default:
		return ErrInvalidSyntax
	}
}

// decoded undoes what HTML forms do to text (application/x-www-form-urlencoded).
func decoded(text string) string {
	if !strings.ContainsAny(text, "+%") {
		return text
	}
	octets := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		octet := text[i]
		switch {
		case octet == '+':
			octet = ' '
		case octet == '%' && i+2 < len(text):
			high, low := digit(text[i+1]), digit(text[i+2])
			if high|low < 16 {
				octet = high<<4 | low
				i += 2
			}
		}
		octets = append(octets, octet)
	}
	return string(octets)
}

// digit is the value of a hexadecimal digit; 16 of what is none.
func digit(octet byte) byte {
	switch {
	case '0' <= octet && octet <= '9':
		return octet - '0'
	case 'a' <= octet|0x20 && octet|0x20 <= 'f':
		return octet | 0x20 - 'a' + 10
	default:
		return 16
	}
}

// isBlank: what may stand around a cookie.
func isBlank(octet byte) bool {
	return octet == ' ' || '\t' <= octet && octet <= '\r' && octet != '\v'
}
