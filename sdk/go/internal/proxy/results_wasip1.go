package proxy

import (
	"errors"
	"strings"
	"unsafe"
)

// Results of the contract's functions in the canonical ABI. A result of more than one word is
// written to the address that the last parameter gives.

// area receives the fixed part of a result. 64-bit numbers must be aligned.
var area [2]uint64

func to() unsafe.Pointer {
	return unsafe.Pointer(&area)
}

// got returns a 32-bit word of the area.
func got(index int) uint32 {
	return (*[4]uint32)(unsafe.Pointer(&area))[index]
}

// isSet reports whether an option is present, or whether a result is an error.
func isSet() bool {
	return got(0)&0xff != 0
}

// text returns the result of a call that returns a string.
func text() string {
	at, length, transfer := got(0), got(1), arrived()
	text := strings.Clone(view(at, length))
	transfer.done()
	return text
}

// optional returns the result of a call that returns an optional string.
func optional() (text string, found bool) {
	found = isSet()
	at, length, transfer := got(1), got(2), arrived()
	if found {
		text = strings.Clone(view(at, length))
	}
	transfer.done()
	return text, found
}

// failure returns the error of a call that returns nothing else.
func failure() error {
	if reason, failed := optional(); failed {
		return errors.New(reason)
	}
	return nil
}

// A list is a list in the memory for results. Each element is a number of words.
type list struct {
	transfer   transfer
	at, length uint32
	words      int
}

// elements returns the list whose address and length are at a word of the area.
func elements(index, words int) list {
	at, length := got(index), got(index+1)
	return list{arrived(), at, length, words}
}

// word returns a word of an element.
func (l *list) word(element, index int) uint32 {
	return word(l.at, l.words*element+index)
}

// text returns a string of an element. It is valid until the transfer is done.
func (l *list) text(element, index int) string {
	return view(l.word(element, index), l.word(element, index+1))
}

// texts copies a list of strings.
func (l *list) texts() []string {
	var texts []string
	if l.length > 0 {
		texts = make([]string, l.length)
	}
	for i := range texts {
		texts[i] = strings.Clone(l.text(i, 0))
	}
	l.transfer.done()
	return texts
}
