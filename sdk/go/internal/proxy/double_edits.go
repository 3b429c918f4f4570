//go:build !wasip1

package proxy

import (
	"errors"
	"fmt"
	"strings"
)

// The double stores edits as strings, for example `set x-a: 1`, in the form in which `pointsman
// route` shows them. It applies the proxy's checks of names and characters, but not its checks of
// lengths and numbers.

var errWithoutHTTP = errors.New("a connection without HTTP has nothing to edit")

// SetHeader replaces the lines of a field with one line.
func (h *Head) SetHeader(name, value string) error {
	return h.editTo(&h.memory.Edits, "set ", name, value)
}

// SetHeaderBy does the same, with the answer to a question as the value.
func (h *Head) SetHeaderBy(name string, question uint32) error {
	return h.edit(&h.memory.Edits, "set ", name, " by "+h.valueQuestion(question).String())
}

// AppendHeader adds a line.
func (h *Head) AppendHeader(name, value string) error {
	return h.editTo(&h.memory.Edits, "append ", name, value)
}

// RemoveHeader removes the lines of a field.
func (h *Head) RemoveHeader(name string) error {
	return h.edit(&h.memory.Edits, "remove ", name, "")
}

// SetAuthority replaces the host.
func (h *Head) SetAuthority(value string) error {
	if value == "" || strings.ContainsFunc(value, notVisible) || strings.ContainsAny(value, `@/\?#,`) {
		return fmt.Errorf("%q is not a host with an optional port", value)
	}
	return h.keep("set host: " + value)
}

// SetPathWithQuery replaces the target.
func (h *Head) SetPathWithQuery(value string) error {
	if !strings.HasPrefix(value, "/") || isNoTarget(value) {
		return fmt.Errorf("%q is not a target in origin form", value)
	}
	return h.keep("path-with-query " + value)
}

// ReplacePathPrefix replaces the first bytes of the path.
func (h *Head) ReplacePathPrefix(length uint32, replacement string) error {
	if isNoTarget(replacement) || strings.Contains(replacement, "?") {
		return fmt.Errorf("%q is not a part of a path", replacement)
	}
	return h.keep(fmt.Sprintf("path-prefix %d bytes: %s", length, replacement))
}

// SetResponseHeader replaces the lines of a field of the response with one line.
func (h *Head) SetResponseHeader(name, value string) error {
	return h.editTo(&h.memory.ResponseEdits, "set ", name, value)
}

// AppendResponseHeader adds a line to the response.
func (h *Head) AppendResponseHeader(name, value string) error {
	return h.editTo(&h.memory.ResponseEdits, "append ", name, value)
}

// RemoveResponseHeader removes the lines of a field of the response.
func (h *Head) RemoveResponseHeader(name string) error {
	return h.edit(&h.memory.ResponseEdits, "remove ", name, "")
}

// SetAffinity sets the key that selects a server.
func (h *Head) SetAffinity(key string) { h.option("affinity: " + key) }

// SetAffinityBy does the same, with the answer to a question as the key.
func (h *Head) SetAffinityBy(question uint32) {
	h.option("affinity by " + h.valueQuestion(question).String())
}

// SetOption sets a numeric option.
func (h *Head) SetOption(option Option, value uint32) {
	if option == Tries {
		h.option(fmt.Sprintf("tries: %d", value))
		return
	}
	names := [...]string{"queue", "connect", "server", "tunnel"}
	h.option(fmt.Sprintf("%s-timeout: %d ms", names[option], value))
}

// Tag adds a name and a value to the access log record.
func (h *Head) Tag(name, value string) {
	checkTag(name)
	h.option("tag " + name + ": " + Text(value))
}

// TagBy does the same, with the answer to a question as the value.
func (h *Head) TagBy(name string, question uint32) {
	checkTag(name)
	h.option("tag " + name + " by " + h.valueQuestion(question).String())
}

// maxTagName is the maximum length of a tag's name in bytes.
const maxTagName = 64

func checkTag(name string) {
	if !isToken(name) || len(name) > maxTagName {
		panic(fmt.Sprintf("a tag whose name is not a token of at most %d characters", maxTagName))
	}
}

func (h *Head) option(text string) {
	h.memory.Options = append(h.memory.Options, text)
}

func (h *Head) keep(edit string) error {
	if h.memory.IsConnection {
		return errWithoutHTTP
	}
	h.memory.Edits = append(h.memory.Edits, edit)
	return nil
}

// editTo records an edit that gives a field a value.
func (h *Head) editTo(edits *[]string, verb, name, value string) error {
	value = strings.Trim(value, blanks)
	if strings.ContainsFunc(value, isControl) {
		return fmt.Errorf("the field %q cannot have this value", name)
	}
	return h.edit(edits, verb, name, ": "+value)
}

func (h *Head) edit(edits *[]string, verb, name, value string) error {
	lowered := lower(name)
	switch {
	case h.memory.IsConnection:
		return errWithoutHTTP
	case lowered == "host":
		return errors.New("the field \"host\" is set by `set-authority`")
	case reserved[lowered] || strings.HasPrefix(lowered, "sec-websocket-"):
		return fmt.Errorf("the field %q is set by the proxy alone", name)
	case !isToken(name):
		return fmt.Errorf("%q is not a field name", name)
	}
	*edits = append(*edits, verb+lowered+value)
	return nil
}

// isControl reports whether r is a control character that a field value cannot contain (RFC 9110,
// section 5.5).
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func notVisible(r rune) bool { return r <= ' ' || r >= 0x7f }

func isNoTarget(text string) bool {
	return strings.ContainsFunc(text, notVisible) || strings.Contains(text, "#")
}

// reserved contains the fields that frame, upgrade or negotiate the connection.
var reserved = map[string]bool{
	"connection":        true,
	"content-length":    true,
	"expect":            true,
	"http2-settings":    true,
	"keep-alive":        true,
	"proxy-connection":  true,
	"te":                true,
	"trailer":           true,
	"transfer-encoding": true,
	"upgrade":           true,
}
