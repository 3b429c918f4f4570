package pointsman

import (
	"strconv"
	"strings"
)

// A KeyError is an error about one key of a plugin's configuration.
type KeyError struct {
	// Path is the path of the key, for example rules[0].suffix. Empty for the whole configuration.
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

// ErrorAt returns an error about the key at path in the plugin's configuration, for example
// rules[0].suffix. The proxy shows the error at that key in its configuration file.
func ErrorAt(path, message string) error {
	return &KeyError{path, message}
}

// ErrorAtEntry converts err, the error of a Matcher's definition, into an error about the list at
// path list in the plugin's configuration. If err names an entry, the new error is about the
// element of the list with the same index. So there must be one entry for each element of the list,
// in the same order.
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
