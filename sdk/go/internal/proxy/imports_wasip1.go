package proxy

import (
	"strings"
	"unsafe"
)

// The contract's functions by the canonical ABI. Where a result has more than one word, the
// last parameter says where it goes.

//go:wasmimport pointsman:router/log@0.1.0 write
//go:noescape
func importWrite(level uint32, message string)

//go:wasmimport pointsman:router/backends@0.1.0 state
//go:noescape
func importState(name string, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [resource-drop]request-head
func importDrop(head int32)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.method
//go:noescape
func importMethod(head int32, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.scheme
//go:noescape
func importScheme(head int32, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.path-with-query
//go:noescape
func importPathWithQuery(head int32, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.header
//go:noescape
func importHeader(head int32, name string, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.headers
//go:noescape
func importHeaders(head int32, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.client
//go:noescape
func importClient(head int32, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.tls
//go:noescape
func importTLS(head int32, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.attempt
func importAttempt(head int32) uint32

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.set-header
//go:noescape
func importSetHeader(head int32, name, value string, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.append-header
//go:noescape
func importAppendHeader(head int32, name, value string, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.remove-header
//go:noescape
func importRemoveHeader(head int32, name string, to unsafe.Pointer)

//go:wasmimport pointsman:router/request@0.1.0 [method]request-head.set-path-with-query
//go:noescape
func importSetPathWithQuery(head int32, value string, to unsafe.Pointer)

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func importRandom(to unsafe.Pointer, length uint32) uint32

// area takes the fixed part of results; tls has the largest.
var area [7]uint32

func to() unsafe.Pointer {
	return unsafe.Pointer(&area)
}

// WriteLog writes one entry to the proxy's log.
func WriteLog(level Level, message string) {
	importWrite(uint32(level), Text(message))
}

// BackendState tells the load of a backend; false where there is none of that name.
func BackendState(name string) (State, bool) {
	importState(Text(name), to())
	if area[0]&0xff == 0 {
		return State{}, false
	}
	return State{UsableServers: area[1], Active: area[2], Queued: area[3]}, true
}

// number takes random octets; as a local variable it would be allocated each time.
var number uint64

// Random is a random number. The decision of a call that takes one is not cached.
func Random() uint64 {
	if importRandom(unsafe.Pointer(&number), uint32(unsafe.Sizeof(number))) != 0 {
		panic("the proxy gives no random numbers")
	}
	return number
}

// Head is a request head that lies in the proxy.
type Head struct {
	// 0 once the call that it came with is over.
	handle int32
}

// NewHead takes a handle over.
func NewHead(handle int32) Head {
	return Head{handle}
}

// Drop gives the handle back. A call on the head after that is a mistake of the plugin.
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

// Method is the request's method.
func (h *Head) Method() string {
	handle := h.live()
	begin()
	importMethod(handle, to())
	return text()
}

// Scheme is http or https.
func (h *Head) Scheme() string {
	handle := h.live()
	begin()
	importScheme(handle, to())
	return text()
}

// PathWithQuery is the request's target.
func (h *Head) PathWithQuery() string {
	handle := h.live()
	begin()
	importPathWithQuery(handle, to())
	return text()
}

// text is the one string that a call has as its result.
func text() string {
	at, length, transfer := area[0], area[1], arrived()
	text := strings.Clone(view(at, length))
	transfer.done()
	return text
}

// Lines are values as they lie where the proxy has put them.
type Lines struct {
	transfer   transfer
	at, length uint32
}

// Header has the values of a field. Close them.
func (h *Head) Header(name string) Lines {
	name = Text(name)
	handle := h.live()
	begin()
	importHeader(handle, name, to())
	return Lines{arrived(), area[0], area[1]}
}

// Len is the number of values.
func (l *Lines) Len() int {
	return int(l.length)
}

// View is a value, until Close.
func (l *Lines) View(index int) string {
	return view(word(l.at, 2*index), word(l.at, 2*index+1))
}

// Close gives the memory back.
func (l *Lines) Close() {
	l.transfer.done()
}

// Fields are names and values as they lie where the proxy has put them.
type Fields Lines

// Headers has every field line. Close them.
func (h *Head) Headers() Fields {
	handle := h.live()
	begin()
	importHeaders(handle, to())
	return Fields{arrived(), area[0], area[1]}
}

// Len is the number of lines.
func (f *Fields) Len() int {
	return int(f.length)
}

// View is a name and a value, until Close.
func (f *Fields) View(index int) (name, value string) {
	name = view(word(f.at, 4*index), word(f.at, 4*index+1))
	value = view(word(f.at, 4*index+2), word(f.at, 4*index+3))
	return name, value
}

// Close gives the memory back.
func (f *Fields) Close() {
	f.transfer.done()
}

// Client is the peer.
func (h *Head) Client() Client {
	handle := h.live()
	begin()
	importClient(handle, to())
	port := uint16(area[2])
	return Client{text(), port}
}

// TLS has the facts of the session; false for a request in the clear.
func (h *Head) TLS() (TLS, bool) {
	handle := h.live()
	begin()
	importTLS(handle, to())
	result, transfer := area, arrived()
	defer transfer.done()
	if result[0]&0xff == 0 {
		return TLS{}, false
	}
	return TLS{ServerName: option(result[1:4]), ALPN: option(result[4:7])}, true
}

// option is an optional text; empty where it is not there.
func option(words []uint32) string {
	if words[0]&0xff == 0 {
		return ""
	}
	return strings.Clone(view(words[1], words[2]))
}

// Attempt is how many backends were tried before.
func (h *Head) Attempt() uint32 {
	return importAttempt(h.live())
}

// SetHeader replaces the lines of a field by one.
func (h *Head) SetHeader(name, value string) Edited {
	name = Text(name)
	importSetHeader(h.live(), name, value, to())
	return edited()
}

// AppendHeader adds a line.
func (h *Head) AppendHeader(name, value string) Edited {
	name = Text(name)
	importAppendHeader(h.live(), name, value, to())
	return edited()
}

// RemoveHeader removes the lines of a field.
func (h *Head) RemoveHeader(name string) Edited {
	name = Text(name)
	importRemoveHeader(h.live(), name, to())
	return edited()
}

// SetPathWithQuery replaces the target.
func (h *Head) SetPathWithQuery(value string) Edited {
	value = Text(value)
	importSetPathWithQuery(h.live(), value, to())
	return edited()
}

// edited reads what an edit answers: one octet for the result, one for the error.
func edited() Edited {
	switch {
	case area[0]&0xff == 0:
		return Done
	case area[0]&0xff00 == 0:
		return InvalidSyntax
	default:
		return Forbidden
	}
}
