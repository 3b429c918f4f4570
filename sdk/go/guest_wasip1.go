package pointsman

import (
	"unsafe"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// The plugin's exports in the canonical ABI: the counterpart of internal/proxy.

// The router of this instance, from configure on.
var router Router

// The result of the last call, which the proxy reads after the call returns, and references that
// keep alive the memory that the result points to.
var (
	result  [7]uint32
	message string
	answer  Decision
	fields  []uint32
)

// Indexes of the words of a result: the error flag, the case of the decision, and the first word of
// the case's own data.
const (
	wordError    = 0
	wordCase     = 1
	wordContents = 2
)

// The cases of a decision, as the contract numbers them.
const (
	caseBackend = iota
	caseDefaultBackend
	caseRespond
	caseServer
	caseNext
)

//go:wasmexport pointsman:router/plugin@1.0.0#configure
func exportConfigure(config unsafe.Pointer, length uint32) unsafe.Pointer {
	made, err := start(unsafe.String((*byte)(config), length))
	if err != nil {
		return fail(err)
	}
	router = made
	result = [7]uint32{}
	if !router.Cacheable {
		result[wordCase] = 1
	}
	return unsafe.Pointer(&result)
}

//go:wasmexport pointsman:router/plugin@1.0.0#route
func exportRoute(handle int32) unsafe.Pointer {
	forgetRandom()
	request := &Request{head: proxy.NewHead(handle)}
	decision, err := router.decide(request)
	request.head.Drop()
	if err != nil {
		return fail(err)
	}
	answer = decision
	result = [7]uint32{}
	contents := result[wordContents:]
	switch decision.kind {
	case toBackend:
		result[wordCase] = caseBackend
		answer.backend = proxy.Text(decision.backend)
		contents[0], contents[1] = address(answer.backend)
	case toServer:
		result[wordCase] = caseServer
		answer.backend, answer.server = proxy.Text(decision.backend), proxy.Text(decision.server)
		contents[0], contents[1] = address(answer.backend)
		contents[2], contents[3] = address(answer.server)
		contents[4] = uint32(min(decision.otherwise, AskAgain))
	case toNext:
		result[wordCase] = caseNext
	case toClient:
		result[wordCase] = caseRespond
		lower(decision.response, contents)
	default:
		result[wordCase] = caseDefaultBackend
	}
	return unsafe.Pointer(&result)
}

// lower writes the addresses of a response's parts.
func lower(response *Response, contents []uint32) {
	// A status that does not fit in 16 bits becomes one that the proxy refuses.
	contents[0] = uint32(min(max(response.Status, 0), 0xffff))
	fields = fields[:0]
	for i := range response.Headers {
		field := &response.Headers[i]
		field.Name = proxy.Text(field.Name)
		name, nameLength := address(field.Name)
		value, valueLength := address(field.Value)
		fields = append(fields, name, nameLength, value, valueLength)
	}
	contents[1] = uint32(uintptr(unsafe.Pointer(unsafe.SliceData(fields))))
	contents[2] = uint32(len(response.Headers))
	contents[3], contents[4] = address(response.Body)
}

func fail(err error) unsafe.Pointer {
	message = proxy.Text(describe(err))
	result = [7]uint32{wordError: 1}
	result[1], result[2] = address(message)
	return unsafe.Pointer(&result)
}

// address returns the address and length of a string. Go does not move an object that a global
// variable refers to.
func address(text string) (at, length uint32) {
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint32(len(text))
}
