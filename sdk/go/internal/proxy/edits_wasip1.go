package proxy

import "unsafe"

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-header
//go:noescape
func importSetHeader(head int32, name, value string, to unsafe.Pointer)

// SetHeader replaces the lines of a field with one line.
func (h *Head) SetHeader(name, value string) error {
	name = Text(name)
	handle := h.live()
	begin()
	importSetHeader(handle, name, value, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-header-by
//go:noescape
func importSetHeaderBy(head int32, name string, question uint32, to unsafe.Pointer)

// SetHeaderBy does the same, with the answer to a question as the value.
func (h *Head) SetHeaderBy(name string, question uint32) error {
	name = Text(name)
	handle := h.live()
	begin()
	importSetHeaderBy(handle, name, question, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.append-header
//go:noescape
func importAppendHeader(head int32, name, value string, to unsafe.Pointer)

// AppendHeader adds a line.
func (h *Head) AppendHeader(name, value string) error {
	name = Text(name)
	handle := h.live()
	begin()
	importAppendHeader(handle, name, value, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.remove-header
//go:noescape
func importRemoveHeader(head int32, name string, to unsafe.Pointer)

// RemoveHeader removes the lines of a field.
func (h *Head) RemoveHeader(name string) error {
	name = Text(name)
	handle := h.live()
	begin()
	importRemoveHeader(handle, name, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-authority
//go:noescape
func importSetAuthority(head int32, value string, to unsafe.Pointer)

// SetAuthority replaces the host.
func (h *Head) SetAuthority(value string) error {
	handle := h.live()
	begin()
	importSetAuthority(handle, value, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-path-with-query
//go:noescape
func importSetPathWithQuery(head int32, value string, to unsafe.Pointer)

// SetPathWithQuery replaces the target.
func (h *Head) SetPathWithQuery(value string) error {
	value = Text(value)
	handle := h.live()
	begin()
	importSetPathWithQuery(handle, value, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.replace-path-prefix
//go:noescape
func importReplacePathPrefix(head int32, length uint32, replacement string, to unsafe.Pointer)

// ReplacePathPrefix replaces the first bytes of the path.
func (h *Head) ReplacePathPrefix(length uint32, replacement string) error {
	replacement = Text(replacement)
	handle := h.live()
	begin()
	importReplacePathPrefix(handle, length, replacement, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-response-header
//go:noescape
func importSetResponseHeader(head int32, name, value string, to unsafe.Pointer)

// SetResponseHeader replaces the lines of a field of the response with one line.
func (h *Head) SetResponseHeader(name, value string) error {
	name = Text(name)
	handle := h.live()
	begin()
	importSetResponseHeader(handle, name, value, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.append-response-header
//go:noescape
func importAppendResponseHeader(head int32, name, value string, to unsafe.Pointer)

// AppendResponseHeader adds a line to the response.
func (h *Head) AppendResponseHeader(name, value string) error {
	name = Text(name)
	handle := h.live()
	begin()
	importAppendResponseHeader(handle, name, value, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.remove-response-header
//go:noescape
func importRemoveResponseHeader(head int32, name string, to unsafe.Pointer)

// RemoveResponseHeader removes the lines of a field of the response.
func (h *Head) RemoveResponseHeader(name string) error {
	name = Text(name)
	handle := h.live()
	begin()
	importRemoveResponseHeader(handle, name, to())
	return failure()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-affinity
//go:noescape
func importSetAffinity(head int32, key string)

// SetAffinity sets the key that selects a server.
func (h *Head) SetAffinity(key string) {
	importSetAffinity(h.live(), key)
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-affinity-by
func importSetAffinityBy(head int32, question uint32)

// SetAffinityBy does the same, with the answer to a question as the key.
func (h *Head) SetAffinityBy(question uint32) {
	importSetAffinityBy(h.live(), question)
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-queue-timeout
func importSetQueueTimeout(head int32, milliseconds uint32)

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-connect-timeout
func importSetConnectTimeout(head int32, milliseconds uint32)

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-server-timeout
func importSetServerTimeout(head int32, milliseconds uint32)

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-tunnel-timeout
func importSetTunnelTimeout(head int32, milliseconds uint32)

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.set-tries
func importSetTries(head int32, tries uint32)

// SetOption sets a numeric option.
func (h *Head) SetOption(option Option, value uint32) {
	handle := h.live()
	switch option {
	case QueueTimeout:
		importSetQueueTimeout(handle, value)
	case ConnectTimeout:
		importSetConnectTimeout(handle, value)
	case ServerTimeout:
		importSetServerTimeout(handle, value)
	case TunnelTimeout:
		importSetTunnelTimeout(handle, value)
	case Tries:
		importSetTries(handle, value)
	}
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.tag
//go:noescape
func importTag(head int32, name, value string)

// Tag adds a name and a value to the access log record.
func (h *Head) Tag(name, value string) {
	name, value = Text(name), Text(value)
	importTag(h.live(), name, value)
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.tag-by
//go:noescape
func importTagBy(head int32, name string, question uint32)

// TagBy does the same, with the answer to a question as the value.
func (h *Head) TagBy(name string, question uint32) {
	name = Text(name)
	importTagBy(h.live(), name, question)
}
