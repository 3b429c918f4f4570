//go:build !wasip1

package proxy

import "strings"

// Head is a request head in memory.
type Head struct {
	memory *Memory
}

// NewHead makes a head that answers from memory.
func NewHead(memory *Memory) Head {
	return Head{memory}
}

// Memory is a request, and what a plugin did to it.
type Memory struct {
	Method, Scheme, Version, Target string
	Fields                          []Field
	Address                         string
	Port                            uint16
	// Empty texts are not there.
	ServerName, ALPN string
	Certificate      Certificate
	Attempt          uint32
	// Nil without routing.body.
	Body           *string
	BodyIsComplete bool
	// A connection without HTTP: the frontend has `mode = "tcp"`.
	IsConnection bool
	// By salt; for others the double's hold.
	Shares map[string]bool
	// In the order made, as texts.
	Edits, ResponseEdits, Options []string
}

// Field is a field line.
type Field struct {
	Name, Value string
}

// Certificate is a client's. Empty texts are not there.
type Certificate struct {
	Subject, Issuer, Serial, SHA256 string
	Names                           []string
	NotAfter                        *uint64
}

// Method is the request's method.
func (h *Head) Method() string { return h.memory.Method }

// Scheme is http or https.
func (h *Head) Scheme() string { return h.memory.Scheme }

// Version is the version of HTTP.
func (h *Head) Version() (string, bool) { return optional(h.memory.Version) }

// Authority is the host as sent.
func (h *Head) Authority() string {
	authority, _ := first(h.values("host"))
	return authority
}

// Host is the host in lower case, without port and trailing dot.
func (h *Head) Host() string {
	if h.memory.IsConnection {
		name, _ := h.ServerName()
		return name
	}
	return hostOf(h.Authority())
}

// PathWithQuery is the request's target.
func (h *Head) PathWithQuery() string { return h.memory.Target }

// Path is the target's path.
func (h *Head) Path() string {
	path, _, _ := strings.Cut(h.memory.Target, "?")
	return path
}

// QueryParameter is the first value of a parameter, decoded.
func (h *Head) QueryParameter(name string) (string, bool) {
	_, query, _ := strings.Cut(h.memory.Target, "?")
	return parameter(query, name)
}

// Cookie is the value of a cookie.
func (h *Head) Cookie(name string) (string, bool) {
	for _, line := range h.values("cookie") {
		if value, found := cookie(line, name); found {
			return value, true
		}
	}
	return "", false
}

// ClientAddress is the client's address.
func (h *Head) ClientAddress() string { return h.memory.Address }

// ClientPort is the peer's port.
func (h *Head) ClientPort() uint16 { return h.memory.Port }

// ServerName is the server name of the TLS session.
func (h *Head) ServerName() (string, bool) { return optional(h.memory.ServerName) }

// ALPN is the protocol agreed by ALPN.
func (h *Head) ALPN() (string, bool) { return optional(h.memory.ALPN) }

// CertificateSubject is a distinguished name.
func (h *Head) CertificateSubject() (string, bool) { return optional(h.memory.Certificate.Subject) }

// CertificateIssuer is a distinguished name.
func (h *Head) CertificateIssuer() (string, bool) { return optional(h.memory.Certificate.Issuer) }

// CertificateNames are DNS names and URIs.
func (h *Head) CertificateNames() []string { return h.memory.Certificate.Names }

// CertificateSerial is in hex.
func (h *Head) CertificateSerial() (string, bool) { return optional(h.memory.Certificate.Serial) }

// CertificateSHA256 is in hex.
func (h *Head) CertificateSHA256() (string, bool) { return optional(h.memory.Certificate.SHA256) }

// CertificateNotAfter is in seconds since 1970.
func (h *Head) CertificateNotAfter() (uint64, bool) {
	if h.memory.Certificate.NotAfter == nil {
		return 0, false
	}
	return *h.memory.Certificate.NotAfter, true
}

// Attempt is how many choices failed before.
func (h *Head) Attempt() uint32 { return h.memory.Attempt }

// BodyPrefix is the part of the body that has arrived.
func (h *Head) BodyPrefix() (string, bool) {
	if h.memory.Body == nil {
		return "", false
	}
	return *h.memory.Body, true
}

// BodyIsComplete tells whether the prefix is the whole body.
func (h *Head) BodyIsComplete() bool { return h.memory.BodyIsComplete }

// values are those of the lines of a field.
func (h *Head) values(name string) []string {
	var values []string
	for _, field := range h.memory.Fields {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

// Lines are the values of a field.
type Lines struct {
	values []string
}

// Header has the values of a field.
func (h *Head) Header(name string) Lines { return Lines{h.values(name)} }

// Len is the number of values.
func (l *Lines) Len() int { return len(l.values) }

// Value is one of them.
func (l *Lines) Value(index int) string { return l.values[index] }

// Close has nothing to give back here.
func (l *Lines) Close() {}

// Fields are names and values.
type Fields struct {
	fields []Field
}

// Headers has every field line.
func (h *Head) Headers() Fields { return Fields{h.memory.Fields} }

// Len is the number of lines.
func (f *Fields) Len() int { return len(f.fields) }

// Line is a name and a value.
func (f *Fields) Line(index int) (name, value string) {
	return f.fields[index].Name, f.fields[index].Value
}

// Close has nothing to give back here.
func (f *Fields) Close() {}

func first(values []string) (string, bool) {
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func optional(text string) (string, bool) { return text, text != "" }
