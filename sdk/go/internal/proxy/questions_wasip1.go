package proxy

import (
	"errors"
	"runtime"
	"strings"
	"unsafe"
)

//go:wasmimport pointsman:router/questions@1.0.0 define-exact
//go:noescape
func importDefineExact(over string, ignoreCase bool, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-prefix
//go:noescape
func importDefinePrefix(over string, ignoreCase bool, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-path-prefix
//go:noescape
func importDefinePathPrefix(over string, ignoreCase bool, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-suffix
//go:noescape
func importDefineSuffix(over string, ignoreCase bool, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-first-suffix
//go:noescape
func importDefineFirstSuffix(over string, ignoreCase bool, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-domain
//go:noescape
func importDefineDomain(over string, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-network
//go:noescape
func importDefineNetwork(over string, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport pointsman:router/questions@1.0.0 define-regex
//go:noescape
func importDefineRegex(over string, entries unsafe.Pointer, length uint32, to unsafe.Pointer)

// wordsOfEntry is the size of an entry in the ABI: a string and a number.
const wordsOfEntry = 3

// DefineMatch defines a matcher, whose entries must be UTF-8.
func DefineMatch(kind MatchKind, over string, ignoreCase bool, entries []Entry) (uint32, error) {
	over = Text(over)
	table := make([]uint32, 0, wordsOfEntry*len(entries))
	for i := range entries {
		text := entries[i].Text
		address := uint32(uintptr(unsafe.Pointer(unsafe.StringData(text))))
		table = append(table, address, uint32(len(text)), entries[i].Number)
	}
	at, length := unsafe.Pointer(unsafe.SliceData(table)), uint32(len(entries))
	begin()
	switch kind {
	case Exact:
		importDefineExact(over, ignoreCase, at, length, to())
	case Prefix:
		importDefinePrefix(over, ignoreCase, at, length, to())
	case PathPrefix:
		importDefinePathPrefix(over, ignoreCase, at, length, to())
	case Suffix:
		importDefineSuffix(over, ignoreCase, at, length, to())
	case FirstSuffix:
		importDefineFirstSuffix(over, ignoreCase, at, length, to())
	case Domain:
		importDefineDomain(over, at, length, to())
	case Network:
		importDefineNetwork(over, at, length, to())
	case Regex:
		importDefineRegex(over, at, length, to())
	}
	// The table refers to the entries by addresses that the garbage collector does not track.
	runtime.KeepAlive(table)
	runtime.KeepAlive(entries)
	return defined()
}

// defined returns the result of a definition: the question's number, or an error.
func defined() (uint32, error) {
	failed, number, length, transfer := isSet(), got(1), got(2), arrived()
	defer transfer.done()
	if failed {
		return 0, errors.New(strings.Clone(view(number, length)))
	}
	return number, nil
}

//go:wasmimport pointsman:router/questions@1.0.0 define-share
//go:noescape
func importDefineShare(over, salt string, perMillion uint32, to unsafe.Pointer)

// DefineShare defines a share of requests.
func DefineShare(over, salt string, perMillion uint32) (uint32, error) {
	over, salt = Text(over), Text(salt)
	begin()
	importDefineShare(over, salt, perMillion, to())
	return defined()
}

//go:wasmimport pointsman:router/questions@1.0.0 define-look-up
//go:noescape
func importDefineLookUp(table, over string, to unsafe.Pointer)

// DefineLookUp defines a lookup in a table.
func DefineLookUp(table, over string) (uint32, error) {
	table, over = Text(table), Text(over)
	begin()
	importDefineLookUp(table, over, to())
	return defined()
}

//go:wasmimport pointsman:router/questions@1.0.0 define-value
//go:noescape
func importDefineValue(over string, to unsafe.Pointer)

// DefineValue defines a question whose answer is the part itself.
func DefineValue(over string) (uint32, error) {
	over = Text(over)
	begin()
	importDefineValue(over, to())
	return defined()
}

//go:wasmimport pointsman:router/questions@1.0.0 define-usable
//go:noescape
func importDefineUsable(backend string, to unsafe.Pointer)

// DefineUsable defines the question of whether a backend has a usable server.
func DefineUsable(backend string) (uint32, error) {
	backend = Text(backend)
	begin()
	importDefineUsable(backend, to())
	return defined()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.ask
//go:noescape
func importAsk(head int32, question uint32, to unsafe.Pointer)

// Ask returns the number that answers a question.
func (h *Head) Ask(question uint32) (uint32, bool) {
	importAsk(h.live(), question, to())
	return got(1), isSet()
}

//go:wasmimport pointsman:router/request@1.0.0 [method]request-head.ask-value
//go:noescape
func importAskValue(head int32, question uint32, to unsafe.Pointer)

// AskValue returns the value that answers a question.
func (h *Head) AskValue(question uint32) (string, bool) {
	handle := h.live()
	begin()
	importAskValue(handle, question, to())
	return optional()
}
