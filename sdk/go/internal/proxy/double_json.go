//go:build !wasip1

package proxy

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// memberOf returns the string, number or boolean that a pointer (RFC 6901) finds in a JSON text. If
// a member on the path occurs twice, nothing is found.
func memberOf(text, pointer string) (string, bool) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return "", false
	}
	value := json.RawMessage(text)
	if pointer != "" {
		for name := range strings.SplitSeq(pointer[1:], "/") {
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			var found bool
			if value, found = child(value, name); !found {
				return "", false
			}
		}
	}
	return scalar(value)
}

// child returns a member of an object or an element of an array.
func child(value json.RawMessage, name string) (found json.RawMessage, once bool) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	opening, _ := decoder.Token()
	count := 0
	for index := 0; decoder.More(); index++ {
		key := any(strconv.Itoa(index))
		if opening == json.Delim('{') {
			key, _ = decoder.Token()
		} else if opening != json.Delim('[') {
			return nil, false
		}
		var element json.RawMessage
		if decoder.Decode(&element) != nil {
			return nil, false
		}
		if key == any(name) {
			found = element
			count++
		}
	}
	return found, count == 1
}

// scalar returns a decoded string, or a number or boolean as written.
func scalar(value json.RawMessage) (string, bool) {
	text := string(bytes.TrimSpace(value))
	switch text[0] {
	case '{', '[', 'n':
		return "", false
	case '"':
		err := json.Unmarshal(value, &text)
		return text, err == nil
	default:
		return text, true
	}
}
