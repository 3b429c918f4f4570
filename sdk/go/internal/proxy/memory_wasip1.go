package proxy

import "unsafe"

// Memory for results that the proxy hands over.
//
// The proxy asks for it by calling cabi_realloc during a call of ours. Until that returns, the
// component must not call out, or it traps. So Go's allocator cannot be used: an allocation may
// start or drive the garbage collector, or give pages back, and each of these reads the clock,
// which is a call out. Results go to memory that Go does not know instead, the same for every
// call; values that a plugin keeps are copied from there once the call is over.

const (
	// page is the unit in which memory grows.
	page = 64 << 10
	// firstSize holds the largest head that the proxy takes, twice.
	firstSize = 2 * page
	// startSize is for requests before Go has set up its own memory: twice 64 KiB, by the
	// adapter to WASI 0.2, for its state.
	startSize = 2*page + 4096
)

//go:linkname sbrk runtime.sbrk
func sbrk(bytes uintptr) unsafe.Pointer

func unreachable()

// A region is memory of which a part is in use.
type region struct {
	start, next, end uintptr
}

var (
	// For the results of a call, while it runs.
	results region
	// At all other times, for memory that is never given back, such as the configuration.
	permanent region
	// In words, for alignment.
	atStart [startSize / 8]uint64
	// Regions that no call uses: one, unless goroutines make calls while others copy their
	// results.
	idle []region
)

// begin makes room for the results of the call that follows at once: nothing in between may
// allocate, for then another goroutine might run and make a call of its own.
func begin() {
	if last := len(idle) - 1; last >= 0 {
		results, idle = idle[last], idle[:last]
	} else {
		results = grown(firstSize)
	}
}

// A transfer is the memory that the results of a call are in.
type transfer struct {
	region region
}

// arrived says that the call is over; its results are there until done.
func arrived() transfer {
	t := transfer{results}
	results = region{}
	return t
}

// done says that the results were copied.
func (t transfer) done() {
	t.region.next = t.region.start
	idle = append(idle, t.region)
}

// Nothing here but arithmetic, as a rule, and no check of the stack either: it might have to
// grow, and then Go allocates.
//
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
		// The previous region is given up. Each is twice as large as the last, so all that
		// are given up are not more than the one in use.
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

// grown takes a region from the system.
//
//go:nosplit
func grown(size uintptr) region {
	size = (size + page - 1) &^ (page - 1)
	start := uintptr(sbrk(size))
	if start == 0 {
		// The proxy grants no more. A panic would have to call out.
		unreachable()
	}
	return region{start, start, start + size}
}

// view is text that lies where the proxy has put it. It changes with the next call.
func view(at, length uint32) string {
	return unsafe.String((*byte)(unsafe.Add(nil, at)), length)
}

// word is the 32-bit word at an address plus 4 * index.
func word(at uint32, index int) uint32 {
	return *(*uint32)(unsafe.Add(nil, uintptr(at)+4*uintptr(index)))
}
