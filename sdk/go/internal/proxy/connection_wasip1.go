package proxy

import "unsafe"

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-address
//go:noescape
func importClientAddress(head int32, to unsafe.Pointer)

// ClientAddress returns the client's address.
func (h *Head) ClientAddress() string {
	handle := h.live()
	begin()
	importClientAddress(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.server-name
//go:noescape
func importServerName(head int32, to unsafe.Pointer)

// ServerName returns the server name of the TLS session.
func (h *Head) ServerName() (string, bool) {
	handle := h.live()
	begin()
	importServerName(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.alpn
//go:noescape
func importALPN(head int32, to unsafe.Pointer)

// ALPN returns the protocol negotiated by ALPN.
func (h *Head) ALPN() (string, bool) {
	handle := h.live()
	begin()
	importALPN(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-certificate-subject
//go:noescape
func importCertificateSubject(head int32, to unsafe.Pointer)

// CertificateSubject returns the subject, a distinguished name.
func (h *Head) CertificateSubject() (string, bool) {
	handle := h.live()
	begin()
	importCertificateSubject(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-certificate-issuer
//go:noescape
func importCertificateIssuer(head int32, to unsafe.Pointer)

// CertificateIssuer returns the issuer, a distinguished name.
func (h *Head) CertificateIssuer() (string, bool) {
	handle := h.live()
	begin()
	importCertificateIssuer(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-certificate-serial
//go:noescape
func importCertificateSerial(head int32, to unsafe.Pointer)

// CertificateSerial returns the serial number, in hex.
func (h *Head) CertificateSerial() (string, bool) {
	handle := h.live()
	begin()
	importCertificateSerial(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-certificate-sha256
//go:noescape
func importCertificateSHA256(head int32, to unsafe.Pointer)

// CertificateSHA256 returns the SHA-256, in hex.
func (h *Head) CertificateSHA256() (string, bool) {
	handle := h.live()
	begin()
	importCertificateSHA256(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.body-prefix
//go:noescape
func importBodyPrefix(head int32, to unsafe.Pointer)

// BodyPrefix returns the part of the body that has arrived.
func (h *Head) BodyPrefix() (string, bool) {
	handle := h.live()
	begin()
	importBodyPrefix(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-certificate-names
//go:noescape
func importCertificateNames(head int32, to unsafe.Pointer)

// CertificateNames returns the DNS names and URIs.
func (h *Head) CertificateNames() []string {
	handle := h.live()
	begin()
	importCertificateNames(handle, to())
	names := elements(0, 2)
	return names.texts()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-certificate-not-after
//go:noescape
func importCertificateNotAfter(head int32, to unsafe.Pointer)

// CertificateNotAfter returns the time of expiry, in seconds since 1970.
func (h *Head) CertificateNotAfter() (uint64, bool) {
	importCertificateNotAfter(h.live(), to())
	return area[1], isSet()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.client-port
func importClientPort(head int32) uint32

// ClientPort returns the peer's port.
func (h *Head) ClientPort() uint16 {
	return uint16(importClientPort(h.live()))
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.attempt
func importAttempt(head int32) uint32

// Attempt returns how many decisions for this request have failed before this call.
func (h *Head) Attempt() uint32 {
	return importAttempt(h.live())
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.body-is-complete
func importBodyIsComplete(head int32) uint32

// BodyIsComplete reports whether the prefix is the whole body.
func (h *Head) BodyIsComplete() bool {
	return importBodyIsComplete(h.live()) != 0
}
