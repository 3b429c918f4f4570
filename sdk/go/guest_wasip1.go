package pointsman

import (
	"unsafe"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// What the plugin exports, by the canonical ABI: the other side of internal/proxy.

// The router of this instance, from configure on.
var router Router

// The result of the last call, which the proxy reads after it, and what keeps in memory
// what the result points to.
var (
	result  [7]uint32
	message string
	answer  Decision
	fields  []uint32
)

//go:wasmexport pointsman:router/plugin@0.1.0#configure
func exportConfigure(config unsafe.Pointer, length uint32) unsafe.Pointer {
	made, err := start(unsafe.String((*byte)(config), length))
	if err != nil {
		return fail(err)
	}
	router = made
	result = [7]uint32{}
	if !router.Cacheable {
		result[1] = 1
	}
	return unsafe.Pointer(&result)
}

//go:wasmexport pointsman:router/plugin@0.1.0#route
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
	switch response := decision.response; {
	case response != nil:
		result[1] = 2
		// What does not fit becomes what the proxy refuses.
		result[2] = uint32(min(max(response.Status, 0), 0xffff))
		fields = fields[:0]
		for i := range response.Headers {
			field := &response.Headers[i]
			field.Name = proxy.Text(field.Name)
			name, nameLength := address(field.Name)
			value, valueLength := address(field.Value)
			fields = append(fields, name, nameLength, value, valueLength)
		}
		result[3] = uint32(uintptr(unsafe.Pointer(unsafe.SliceData(fields))))
		result[4] = uint32(len(response.Headers))
		result[5], result[6] = address(response.Body)
	case decision.named:
		answer.backend = proxy.Text(decision.backend)
		result[2], result[3] = address(answer.backend)
	default:
		result[1] = 1
	}
	return unsafe.Pointer(&result)
}

func fail(err error) unsafe.Pointer {
	message = proxy.Text(describe(err))
	result = [7]uint32{0: 1}
	result[1], result[2] = address(message)
	return unsafe.Pointer(&result)
}

// address is where a string is. Go does not move what a global refers to.
func address(text string) (at, length uint32) {
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint32(len(text))
}
