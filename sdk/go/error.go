package pointsman

import (
	"strconv"
	"strings"
)

// A KeyError is a mistake at one key of a plugin's configuration.
type KeyError struct {
	// Path is the key's, for example rules[0].suffix. Empty for the whole.
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

// ErrorAt makes an error about the key at a path in the plugin's configuration, for example
// rules[0].suffix. The proxy shows it at that key's place in its file.
func ErrorAt(path, message string) error {
	return &KeyError{path, message}
}

// ErrorAtEntry makes an error of a Matcher's definition, about the list at a path in the plugin's
// configuration. It is about one element of the list if err names an entry; the entries must have
// been made of the list's elements, one of each, in order.
func ErrorAtEntry(list string, err error) error {
	if rest, found := strings.CutPrefix(err.Error(), "entry "); found {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if number, failed := strconv.Atoi(rest[:max(end, 0)]); failed == nil && number > 0 {
			return ErrorAt(At(list, number-1), err.Error())
		}
	}
	return ErrorAt(list, err.Error())
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
