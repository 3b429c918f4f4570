package pointsman

import (
	"math"
	"time"
)

// ClientAddress returns the client's address: that of the peer, or the one given by the PROXY
// protocol or by a trusted proxy. It is in the text form of RFC 5952, without zone or port; an
// IPv4-mapped IPv6 address is given as IPv4. Empty for a client on a Unix socket. netip.ParseAddr
// accepts every address that is not empty.
func (r *Request) ClientAddress() string {
	return r.head.ClientAddress()
}

// ClientPort returns the port of the peer, which differs for each connection. 0 for a client on a
// Unix socket, or if a trusted proxy gives the client's address. A decision that reads it is
// therefore hardly ever reused.
func (r *Request) ClientPort() uint16 {
	return r.head.ClientPort()
}

// ServerName returns the server name of the TLS session (SNI), in lower case. False if the proxy
// does not terminate TLS, or if the client sent no name.
func (r *Request) ServerName() (name string, found bool) {
	return r.head.ServerName()
}

// ALPN returns the protocol negotiated by ALPN, for example h2; false if no protocol was
// negotiated.
func (r *Request) ALPN() (protocol string, found bool) {
	return r.head.ALPN()
}

// A ClientCertificate is the verified certificate of a client. Each method is one read. Nothing is
// found without TLS, or if the client presented no certificate.
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

// Names returns the DNS names and URIs (SPIFFE IDs, for example).
func (c ClientCertificate) Names() []string {
	return c.request.head.CertificateNames()
}

// Serial returns the serial number, in hex.
func (c ClientCertificate) Serial() (serial string, found bool) {
	return c.request.head.CertificateSerial()
}

// SHA256 returns the certificate's SHA-256, in hex.
func (c ClientCertificate) SHA256() (digest string, found bool) {
	return c.request.head.CertificateSHA256()
}

// NotAfter returns the time at which the certificate expires.
func (c ClientCertificate) NotAfter() (end time.Time, found bool) {
	seconds, found := c.request.head.CertificateNotAfter()
	if !found {
		return time.Time{}, false
	}
	return time.Unix(int64(min(seconds, math.MaxInt64)), 0), true
}
