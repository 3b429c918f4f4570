package proxy

import (
	"strings"
	"unsafe"
)

// Head is a handle to a request head in the proxy.
type Head struct {
	// 0 once the call that received the handle has ended.
	handle int32
}

//go:wasmimport pointsman:router/request@1.0.0 [resource-drop]request-head
func importDrop(head int32)

// NewHead takes ownership of a handle.
func NewHead(handle int32) Head {
	return Head{handle}
}

// Drop releases the handle. A later call on the head is a mistake of the plugin.
func (h *Head) Drop() {
	importDrop(h.handle)
	h.handle = 0
}

func (h *Head) live() int32 {
	if h.handle == 0 {
		panic("the request was used after Route had returned")
	}
	return h.handle
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.method
//go:noescape
func importMethod(head int32, to unsafe.Pointer)

// Method returns the request's method.
func (h *Head) Method() string {
	handle := h.live()
	begin()
	importMethod(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.scheme
//go:noescape
func importScheme(head int32, to unsafe.Pointer)

// Scheme returns http or https.
func (h *Head) Scheme() string {
	handle := h.live()
	begin()
	importScheme(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.authority
//go:noescape
func importAuthority(head int32, to unsafe.Pointer)

// Authority returns the authority as sent.
func (h *Head) Authority() string {
	handle := h.live()
	begin()
	importAuthority(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.host
//go:noescape
func importHost(head int32, to unsafe.Pointer)

// Host returns the host in lower case, without port.
func (h *Head) Host() string {
	handle := h.live()
	begin()
	importHost(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.path-with-query
//go:noescape
func importPathWithQuery(head int32, to unsafe.Pointer)

// PathWithQuery returns the request's target.
func (h *Head) PathWithQuery() string {
	handle := h.live()
	begin()
	importPathWithQuery(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.path
//go:noescape
func importPath(head int32, to unsafe.Pointer)

// Path returns the target's path.
func (h *Head) Path() string {
	handle := h.live()
	begin()
	importPath(handle, to())
	return text()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.version
//go:noescape
func importVersion(head int32, to unsafe.Pointer)

// Version returns the HTTP version.
func (h *Head) Version() (string, bool) {
	handle := h.live()
	begin()
	importVersion(handle, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.query-parameter
//go:noescape
func importQueryParameter(head int32, name string, to unsafe.Pointer)

// QueryParameter returns the first value of a parameter, decoded.
func (h *Head) QueryParameter(name string) (string, bool) {
	name = Text(name)
	handle := h.live()
	begin()
	importQueryParameter(handle, name, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.cookie
//go:noescape
func importCookie(head int32, name string, to unsafe.Pointer)

// Cookie returns the value of a cookie.
func (h *Head) Cookie(name string) (string, bool) {
	name = Text(name)
	handle := h.live()
	begin()
	importCookie(handle, name, to())
	return optional()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.header
//go:noescape
func importHeader(head int32, name string, to unsafe.Pointer)

// Header returns the values of a field. The caller must close them.
func (h *Head) Header(name string) Lines {
	name = Text(name)
	handle := h.live()
	begin()
	importHeader(handle, name, to())
	return Lines{elements(0, 2)}
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.headers
//go:noescape
func importHeaders(head int32, to unsafe.Pointer)

// Headers returns every field line. The caller must close them.
func (h *Head) Headers() Fields {
	handle := h.live()
	begin()
	importHeaders(handle, to())
	return Fields{elements(0, 4)}
}

// Lines is a list of values in the memory for results.
type Lines struct {
	list list
}

// Len returns the number of values.
func (l *Lines) Len() int { return int(l.list.length) }

// Value returns a copy of one value.
func (l *Lines) Value(index int) string { return strings.Clone(l.list.text(index, 0)) }

// Close releases the memory.
func (l *Lines) Close() { l.list.transfer.done() }

// Fields is a list of names and values in the memory for results.
type Fields struct {
	list list
}

// Len returns the number of lines.
func (f *Fields) Len() int { return int(f.list.length) }

// Line returns copies of the name and the value of a line.
func (f *Fields) Line(index int) (name, value string) {
	return strings.Clone(f.list.text(index, 0)), strings.Clone(f.list.text(index, 2))
}

// Close releases the memory.
func (f *Fields) Close() { f.list.transfer.done() }
