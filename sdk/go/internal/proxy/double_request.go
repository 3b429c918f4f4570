//go:build !wasip1

package proxy

import "strings"

// Head is a request head in memory.
type Head struct {
	memory *Memory
}

// NewHead returns a head that reads from memory.
func NewHead(memory *Memory) Head {
	return Head{memory}
}

// Memory is a request, and the effects of a plugin on it.
type Memory struct {
	Method, Scheme, Version, Target string
	Fields                          []Field
	Address                         string
	Port                            uint16
	// An empty string means that there is no value.
	ServerName, ALPN string
	Certificate      Certificate
	Attempt          uint32
	// Nil unless the frontend waits for the body (routing.body).
	Body           *string
	BodyIsComplete bool
	// True for a connection without HTTP: the frontend has `mode = "tcp"`.
	IsConnection bool
	// Whether the request is in a share, by the share's salt. For other salts, the double's shares
	// apply.
	Shares map[string]bool
	// Edits and options, recorded as strings in the order made.
	Edits, ResponseEdits, Options []string
}

// Field is a field line.
type Field struct {
	Name, Value string
}

// Certificate is a client's certificate. An empty string means that there is no value.
type Certificate struct {
	Subject, Issuer, Serial, SHA256 string
	Names                           []string
	NotAfter                        *uint64
}

// Method returns the request's method.
func (h *Head) Method() string { return h.memory.Method }

// Scheme returns http or https.
func (h *Head) Scheme() string { return h.memory.Scheme }

// Version returns the HTTP version.
func (h *Head) Version() (string, bool) { return optional(h.memory.Version) }

// Authority returns the authority as sent.
func (h *Head) Authority() string {
	authority, _ := first(h.values("host"))
	return authority
}

// Host returns the host in lower case, without port or trailing dot.
func (h *Head) Host() string {
	if h.memory.IsConnection {
		name, _ := h.ServerName()
		return name
	}
	return hostOf(h.Authority())
}

// PathWithQuery returns the request's target.
func (h *Head) PathWithQuery() string { return h.memory.Target }

// Path returns the target's path.
func (h *Head) Path() string {
	path, _, _ := strings.Cut(h.memory.Target, "?")
	return path
}

// QueryParameter returns the first value of a parameter, decoded.
func (h *Head) QueryParameter(name string) (string, bool) {
	_, query, _ := strings.Cut(h.memory.Target, "?")
	return parameter(query, name)
}

// Cookie returns the value of a cookie.
func (h *Head) Cookie(name string) (string, bool) {
	for _, line := range h.values("cookie") {
		if value, found := cookie(line, name); found {
			return value, true
		}
	}
	return "", false
}

// ClientAddress returns the client's address.
func (h *Head) ClientAddress() string { return h.memory.Address }

// ClientPort returns the peer's port.
func (h *Head) ClientPort() uint16 { return h.memory.Port }

// ServerName returns the server name of the TLS session.
func (h *Head) ServerName() (string, bool) { return optional(h.memory.ServerName) }

// ALPN returns the protocol negotiated by ALPN.
func (h *Head) ALPN() (string, bool) { return optional(h.memory.ALPN) }

// CertificateSubject returns the subject, a distinguished name.
func (h *Head) CertificateSubject() (string, bool) { return optional(h.memory.Certificate.Subject) }

// CertificateIssuer returns the issuer, a distinguished name.
func (h *Head) CertificateIssuer() (string, bool) { return optional(h.memory.Certificate.Issuer) }

// CertificateNames returns the DNS names and URIs.
func (h *Head) CertificateNames() []string { return h.memory.Certificate.Names }

// CertificateSerial returns the serial number, in hex.
func (h *Head) CertificateSerial() (string, bool) { return optional(h.memory.Certificate.Serial) }

// CertificateSHA256 returns the SHA-256, in hex.
func (h *Head) CertificateSHA256() (string, bool) { return optional(h.memory.Certificate.SHA256) }

// CertificateNotAfter returns the time of expiry, in seconds since 1970.
func (h *Head) CertificateNotAfter() (uint64, bool) {
	if h.memory.Certificate.NotAfter == nil {
		return 0, false
	}
	return *h.memory.Certificate.NotAfter, true
}

// Attempt returns how many decisions for this request have failed before this call.
func (h *Head) Attempt() uint32 { return h.memory.Attempt }

// BodyPrefix returns the part of the body that has arrived.
func (h *Head) BodyPrefix() (string, bool) {
	if h.memory.Body == nil {
		return "", false
	}
	return *h.memory.Body, true
}

// BodyIsComplete reports whether the prefix is the whole body.
func (h *Head) BodyIsComplete() bool { return h.memory.BodyIsComplete }

// values returns the values of the lines of a field.
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

// Header returns the values of a field.
func (h *Head) Header(name string) Lines { return Lines{h.values(name)} }

// Len returns the number of values.
func (l *Lines) Len() int { return len(l.values) }

// Value returns one value.
func (l *Lines) Value(index int) string { return l.values[index] }

// Close does nothing here.
func (l *Lines) Close() {}

// Fields are names and values.
type Fields struct {
	fields []Field
}

// Headers returns every field line.
func (h *Head) Headers() Fields { return Fields{h.memory.Fields} }

// Len returns the number of lines.
func (f *Fields) Len() int { return len(f.fields) }

// Line returns the name and the value of a line.
func (f *Fields) Line(index int) (name, value string) {
	return f.fields[index].Name, f.fields[index].Value
}

// Close does nothing here.
func (f *Fields) Close() {}

func first(values []string) (string, bool) {
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func optional(text string) (string, bool) { return text, text != "" }
