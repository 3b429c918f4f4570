package proxy

import "unsafe"

// Memory for results that the proxy returns.
//
// The proxy allocates it by calling cabi_realloc during one of our calls. Until cabi_realloc
// returns, the component must not call out, or it traps. So Go's allocator cannot be used: an
// allocation can start or drive the garbage collector, or return pages, and each of these reads the
// clock, which is a call out. Results therefore go to memory outside of Go's heap, which all calls
// reuse. Values that a plugin keeps are copied from there after the call.

const (
	// page is the unit in which memory grows.
	page = 64 << 10
	// firstSize is twice the size of the largest head that the proxy accepts.
	firstSize = 2 * page
	// startSize is for allocations before Go has set up its own memory: the adapter to WASI 0.2
	// allocates 64 KiB twice, for its state.
	startSize = 2*page + 4096
)

//go:linkname sbrk runtime.sbrk
func sbrk(bytes uintptr) unsafe.Pointer

func unreachable()

// A region is memory that is in use up to next.
type region struct {
	start, next, end uintptr
}

var (
	// Receives the results of a call, while the call runs.
	results region
	// Used at all other times, for memory that is never released, such as the configuration.
	permanent region
	// An array of words, for alignment.
	atStart [startSize / 8]uint64
	// Regions that no call uses. There is only one, unless a goroutine makes a call while another
	// copies its results.
	idle []region
)

// begin makes room for the results of a call, which must follow immediately. Nothing in between may
// allocate, since another goroutine could then run and make a call of its own.
func begin() {
	if last := len(idle) - 1; last >= 0 {
		results, idle = idle[last], idle[:last]
	} else {
		results = grown(firstSize)
	}
}

// A transfer is the memory that contains the results of a call.
type transfer struct {
	region region
}

// arrived ends a call, and returns its results, which stay valid until done.
func arrived() transfer {
	t := transfer{results}
	results = region{}
	return t
}

// done releases the results once they have been copied.
func (t transfer) done() {
	t.region.next = t.region.start
	idle = append(idle, t.region)
}

// realloc normally does only arithmetic. It has no stack check, since growing the stack would
// allocate.
//go:wasmexport cabi_realloc
//go:nosplit
func realloc(old unsafe.Pointer, oldSize, align, newSize uint32) unsafe.Pointer {
	from := &permanent
	if results.end != 0 {
		from = &results
	} else if permanent.end == 0 {
		start := uintptr(unsafe.Pointer(&atStart))
		permanent = region{start, start, start + startSize}
	}
	start := (from.next + uintptr(align) - 1) &^ (uintptr(align) - 1)
	if start+uintptr(newSize) > from.end {
		// The previous region is abandoned. Each region is at least twice as large as the last, so all
		// abandoned ones together are not larger than the one in use.
		*from = grown(2*(from.end-from.start) + uintptr(newSize))
		start = from.start
	}
	from.next = start + uintptr(newSize)
	room := unsafe.Add(nil, start)
	for i := range min(oldSize, newSize) {
		*(*byte)(unsafe.Add(room, i)) = *(*byte)(unsafe.Add(old, i))
	}
	return room
}

// grown allocates a region from the system.
//
//go:nosplit
func grown(size uintptr) region {
	size = (size + page - 1) &^ (page - 1)
	start := uintptr(sbrk(size))
	if start == 0 {
		// The proxy grants no more memory. A panic would have to call out.
		unreachable()
	}
	return region{start, start, start + size}
}

// view returns text in the proxy's results, without a copy. The next call overwrites it.
func view(at, length uint32) string {
	return unsafe.String((*byte)(unsafe.Add(nil, at)), length)
}

// word returns the 32-bit word at an address plus 4 * index.
func word(at uint32, index int) uint32 {
	return *(*uint32)(unsafe.Add(nil, uintptr(at)+4*uintptr(index)))
}
