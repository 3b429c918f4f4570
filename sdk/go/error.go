package pointsman

import (
	"errors"
	"strconv"
)

// Why the proxy refuses an edit of a request.
var (
	// ErrInvalidSyntax: not a field name, value or target that HTTP allows.
	ErrInvalidSyntax = errors.New("not a field or target that HTTP allows")
	// ErrForbidden: a field that frames or upgrades the message, which only the proxy
	// may set: connection, content-length, transfer-encoding, upgrade and the like.
	ErrForbidden = errors.New("a field that only the proxy may set")
)

// A KeyError is what is wrong with one key of a plugin's configuration.
type KeyError struct {
	// Path is that of the key, written as in rules[0].suffix. Empty for the whole.
	Path    string
	Message string
}

// Error returns `rules[0].suffix: message`.
func (e *KeyError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// ErrorAt makes an error about the key at a path in the plugin's configuration, written
// as in rules[0].suffix. The proxy shows it at that key's place in its file.
func ErrorAt(path, message string) error {
	return &KeyError{path, message}
}

// At returns the path of an element of a list: At("rules", 0) is rules[0].
func At(list string, index int) string {
	return list + "[" + strconv.Itoa(index) + "]"
}

// in returns the path of a key of a table.
func in(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}
