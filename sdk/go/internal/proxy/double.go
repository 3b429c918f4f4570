//go:build !wasip1

package proxy

import (
	"strings"
	"sync"
)

// Double stands in for the proxy while a test drives a plugin.
type Double struct {
	Backends map[string]State
	Log      []Entry
}

// Entry is a line of the log.
type Entry struct {
	Level   Level
	Message string
}

var (
	// Tests may run side by side; a plugin finds its proxy by a global.
	driving sync.Mutex
	present = &Double{}
)

// Drive runs a plugin's code with d as its proxy.
func (d *Double) Drive(plugin func()) {
	driving.Lock()
	defer driving.Unlock()
	defer func(before *Double) { present = before }(present)
	present = d
	plugin()
}

// WriteLog writes one entry to the log.
func WriteLog(level Level, message string) {
	present.Log = append(present.Log, Entry{level, Text(message)})
}

// BackendState tells the load of a backend; false where there is none of that name.
func BackendState(name string) (State, bool) {
	state, found := present.Backends[name]
	return state, found
}

// The double's way into the package above, which this one cannot import.
var (
	// Wrap makes a *pointsman.Request of a head.
	Wrap func(Head) any
	// Configure makes a router of what was exported. The function that it returns
	// takes a *pointsman.Request and returns a pointsman.Decision.
	Configure func(config string) (route func(request any) (any, error), cacheable bool, err error)
)

// Head is a request head in memory.
type Head struct {
	memory *Memory
}

// NewHead makes a head that answers from memory.
func NewHead(memory *Memory) Head {
	return Head{memory}
}

// Memory is what a head answers with, and the edits made to it.
type Memory struct {
	Method, Scheme, Target string
	// Names in lower case.
	Lines   []Line
	Client  Client
	TLS     *TLS
	Attempt uint32
	// As `set x-a: 1`, which is how the proxy writes them.
	Edits []string
}

// Line is a field line.
type Line struct {
	Name, Value string
}

// Method is the request's method.
func (h *Head) Method() string { return h.memory.Method }

// Scheme is http or https.
func (h *Head) Scheme() string { return h.memory.Scheme }

// PathWithQuery is the request's target.
func (h *Head) PathWithQuery() string { return h.memory.Target }

// Client is the peer.
func (h *Head) Client() Client { return h.memory.Client }

// Attempt is how many backends were tried before.
func (h *Head) Attempt() uint32 { return h.memory.Attempt }

// TLS has the facts of the session; false for a request in the clear.
func (h *Head) TLS() (TLS, bool) {
	if h.memory.TLS == nil {
		return TLS{}, false
	}
	return *h.memory.TLS, true
}

// Lines are the values of a field.
type Lines struct {
	values []string
}

// Header has the values of a field.
func (h *Head) Header(name string) Lines {
	var values []string
	for _, line := range h.memory.Lines {
		if strings.EqualFold(line.Name, name) {
			values = append(values, line.Value)
		}
	}
	return Lines{values}
}

// Len is the number of values.
func (l *Lines) Len() int { return len(l.values) }

// View is a value.
func (l *Lines) View(index int) string { return l.values[index] }

// Close has nothing to give back here.
func (l *Lines) Close() {}

// Fields are names and values.
type Fields struct {
	lines []Line
}

// Headers has every field line.
func (h *Head) Headers() Fields { return Fields{h.memory.Lines} }

// Len is the number of lines.
func (f *Fields) Len() int { return len(f.lines) }

// View is a name and a value.
func (f *Fields) View(index int) (name, value string) {
	return f.lines[index].Name, f.lines[index].Value
}

// Close has nothing to give back here.
func (f *Fields) Close() {}

// Of the proxy's checks on edits these are those on names and characters, not those on
// lengths and on a new host.

// SetHeader replaces the lines of a field by one.
func (h *Head) SetHeader(name, value string) Edited {
	return h.edit("set ", name, &value)
}

// AppendHeader adds a line.
func (h *Head) AppendHeader(name, value string) Edited {
	if strings.EqualFold(name, "host") {
		return Forbidden
	}
	return h.edit("append ", name, &value)
}

// RemoveHeader removes the lines of a field.
func (h *Head) RemoveHeader(name string) Edited {
	if strings.EqualFold(name, "host") {
		return Forbidden
	}
	return h.edit("remove ", name, nil)
}

// SetPathWithQuery replaces the target.
func (h *Head) SetPathWithQuery(value string) Edited {
	notAllowed := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }
	if !strings.HasPrefix(value, "/") || strings.ContainsFunc(value, notAllowed) {
		return InvalidSyntax
	}
	h.memory.Edits = append(h.memory.Edits, "path-with-query "+value)
	return Done
}

func (h *Head) edit(verb, name string, value *string) Edited {
	name = strings.ToLower(name)
	if !isToken(name) {
		return InvalidSyntax
	}
	if reserved[name] || strings.HasPrefix(name, "sec-websocket-") {
		return Forbidden
	}
	edit := verb + name
	if value != nil {
		// Field values have no controls (RFC 9110, section 5.5).
		for i := range len(*value) {
			if octet := (*value)[i]; octet < ' ' && octet != '\t' || octet == 0x7f {
				return InvalidSyntax
			}
		}
		edit += ": " + *value
	}
	h.memory.Edits = append(h.memory.Edits, edit)
	return Done
}

// isToken: RFC 9110, section 5.6.2.
func isToken(name string) bool {
	for i := range len(name) {
		octet := name[i]
		letter := 'a' <= octet|0x20 && octet|0x20 <= 'z'
		digit := '0' <= octet && octet <= '9'
		if !letter && !digit && !strings.Contains("!#$%&'*+-.^_`|~", string(rune(octet))) {
			return false
		}
	}
	return name != ""
}

// reserved are the fields that frame, upgrade or negotiate the connection.
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
