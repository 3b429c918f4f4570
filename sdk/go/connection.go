package pointsman

import (
	"math"
	"time"
)

// ClientAddress returns the address of the client: the peer, or the address given by PROXY
// protocol or by a trusted proxy. It is in the text form of RFC 5952, IPv4-mapped IPv6 as IPv4,
// without zone and port, and can be given to netip.ParseAddr. Empty for a client on a Unix
// socket.
func (r *Request) ClientAddress() string {
	return r.head.ClientAddress()
}

// ClientPort returns the port of the peer; 0 for a Unix socket. It differs for each
// connection, so a decision that reads it is hardly ever reused.
func (r *Request) ClientPort() uint16 {
	return r.head.ClientPort()
}

// ServerName returns the server name of the TLS session (SNI), in lower case.
func (r *Request) ServerName() (name string, found bool) {
	return r.head.ServerName()
}

// ALPN returns the protocol that the TLS session agreed on, for example h2.
func (r *Request) ALPN() (protocol string, found bool) {
	return r.head.ALPN()
}

// A ClientCertificate is the verified certificate of a client. Each method is one read; there
// is nothing to find without TLS, or if the client presented no certificate.
type ClientCertificate struct {
	request *Request
}

// ClientCertificate returns the client's certificate, read lazily.
func (r *Request) ClientCertificate() ClientCertificate {
	return ClientCertificate{r}
}

// Subject returns the subject's distinguished name (RFC 4514).
func (c ClientCertificate) Subject() (name string, found bool) {
	return c.request.head.CertificateSubject()
}

// Issuer returns the issuer's distinguished name (RFC 4514).
func (c ClientCertificate) Issuer() (name string, found bool) {
	return c.request.head.CertificateIssuer()
}

// Names returns DNS names and URIs (SPIFFE, for example).
func (c ClientCertificate) Names() []string {
	return c.request.head.CertificateNames()
}

// Serial returns the serial number in hex.
func (c ClientCertificate) Serial() (serial string, found bool) {
	return c.request.head.CertificateSerial()
}

// SHA256 returns the certificate's SHA-256 in hex.
func (c ClientCertificate) SHA256() (digest string, found bool) {
	return c.request.head.CertificateSHA256()
}

// NotAfter returns the end of the certificate's validity.
func (c ClientCertificate) NotAfter() (end time.Time, found bool) {
	seconds, found := c.request.head.CertificateNotAfter()
	if !found {
		return time.Time{}, false
	}
	return time.Unix(int64(min(seconds, math.MaxInt64)), 0), true
}
