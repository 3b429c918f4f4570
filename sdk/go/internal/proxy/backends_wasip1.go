package proxy

import (
	"strings"
	"unsafe"
)

//go:wasmimport pointsman:router/log@1.0.0 write
//go:noescape
func importWrite(level uint32, message string)

// WriteLog writes one entry to the proxy's log.
func WriteLog(level Level, message string) {
	importWrite(uint32(level), Text(message))
}

//go:wasmimport pointsman:router/backends@1.0.0 names
//go:noescape
func importNames(to unsafe.Pointer)

// BackendNames returns the names of all backends.
func BackendNames() []string {
	begin()
	importNames(to())
	names := elements(0, 2)
	return names.texts()
}

//go:wasmimport pointsman:router/backends@1.0.0 state
//go:noescape
func importState(name string, to unsafe.Pointer)

// BackendState returns the load of a backend; false if the proxy's configuration has no such
// backend.
func BackendState(name string) (Backend, bool) {
	importState(Text(name), to())
	if !isSet() {
		return Backend{}, false
	}
	return Backend{UsableServers: got(1), Active: got(2), Queued: got(3)}, true
}

//go:wasmimport pointsman:router/backends@1.0.0 servers
//go:noescape
func importServers(name string, to unsafe.Pointer)

// Indexes of the words of a server: its name, the usable flag, two numbers and two optional
// numbers.
const (
	wordName    = 0
	wordUsable  = 2
	wordWeight  = 3
	wordActive  = 4
	wordLimit   = 5
	wordLatency = 7
	wordsServer = 9
)

// BackendServers returns the servers of a backend; false if the proxy's configuration has no such
// backend.
func BackendServers(name string) ([]Server, bool) {
	name = Text(name)
	begin()
	importServers(name, to())
	found, list := isSet(), elements(1, wordsServer)
	defer list.transfer.done()
	if !found {
		return nil, false
	}
	servers := make([]Server, list.length)
	for i := range servers {
		servers[i] = Server{
			Name:    strings.Clone(list.text(i, wordName)),
			Usable:  list.word(i, wordUsable)&0xff != 0,
			Weight:  list.word(i, wordWeight),
			Active:  list.word(i, wordActive),
			Limit:   list.optionalNumber(i, wordLimit),
			Latency: list.optionalNumber(i, wordLatency),
		}
	}
	return servers, true
}

// optionalNumber returns an optional number, or 0 if it is absent.
func (l *list) optionalNumber(element, index int) uint32 {
	if l.word(element, index)&0xff == 0 {
		return 0
	}
	return l.word(element, index+1)
}

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func importRandom(to unsafe.Pointer, length uint32) uint32

// number receives random octets. A local variable would be allocated at each call.
var number uint64

// Random returns a random number. A decision that uses one is not cached.
func Random() uint64 {
	if importRandom(unsafe.Pointer(&number), uint32(unsafe.Sizeof(number))) != 0 {
		panic("the proxy gives no random numbers")
	}
	return number
}
