//go:build !wasip1

package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// all is the size of a share that contains every request.
const all = 1_000_000

// Question is a question that a plugin has defined.
type Question struct {
	kind       questionKind
	match      MatchKind
	over       string
	ignoreCase bool
	entries    []Entry
	salt       string
	perMillion uint32
	// The table of a lookup, or the backend of a usability question.
	name string
}

type questionKind uint8

const (
	isMatch questionKind = iota
	isShare
	isLookUp
	isValue
	isUsable
)

// String returns the question's name in recorded edits and options.
func (q Question) String() string {
	if q.kind == isLookUp {
		return fmt.Sprintf("lookup of %s in table %q", q.over, q.name)
	}
	return "value of " + q.over
}

// DefineMatch defines a matcher.
func DefineMatch(kind MatchKind, over string, ignoreCase bool, entries []Entry) (uint32, error) {
	question := Question{kind: isMatch, match: kind, over: over, ignoreCase: ignoreCase, entries: entries}
	if err := checkPart(over); err != nil {
		return 0, err
	}
	seen := map[string]int{}
	for i, entry := range entries {
		key, err := question.entryKey(entry.Text)
		if err != nil {
			return 0, fmt.Errorf("entry %d, %q, is not %w", i+1, entry.Text, err)
		}
		if before, repeated := seen[key]; repeated {
			return 0, fmt.Errorf("entry %d repeats entry %d, %q", i+1, before+1, key)
		}
		seen[key] = i
	}
	return define(question), nil
}

// entryKey returns a key that is the same for equal entries.
func (q *Question) entryKey(entry string) (string, error) {
	switch q.match {
	case Network:
		network, err := parseNetwork(entry)
		return network.String(), err
	case Domain:
		if name := strings.TrimSuffix(entry, "."); !isDomain(name) {
			return "", errors.New("a host name, as in example.com")
		}
	case Regex:
		if _, err := regexp.Compile(entry); err != nil {
			return "", fmt.Errorf("a regular expression: %w", err)
		}
	}
	return q.folded(q.trimmed(entry)), nil
}

// trimmed removes the trailing slash of a path prefix, or the trailing dot of a domain.
func (q *Question) trimmed(entry string) string {
	switch q.match {
	case PathPrefix:
		return strings.TrimSuffix(entry, "/")
	case Domain:
		return strings.TrimSuffix(entry, ".")
	default:
		return entry
	}
}

func (q *Question) folded(text string) string {
	if q.ignoreCase || q.match == Domain {
		return lower(text)
	}
	return text
}

// DefineShare defines a share of requests.
func DefineShare(over, salt string, perMillion uint32) (uint32, error) {
	if perMillion > all {
		return 0, fmt.Errorf("a share is 0 to %d per million, not %d", all, perMillion)
	}
	if over != random {
		if err := checkPart(over); err != nil {
			return 0, err
		}
	}
	return define(Question{kind: isShare, over: over, salt: salt, perMillion: perMillion}), nil
}

// DefineLookUp defines a lookup in a table.
func DefineLookUp(table, over string) (uint32, error) {
	if _, known := present.Tables[table]; !known {
		return 0, fmt.Errorf("there is no table %q in the configuration", table)
	}
	if err := checkPart(over); err != nil {
		return 0, err
	}
	return define(Question{kind: isLookUp, over: over, name: table}), nil
}

// DefineValue defines a question whose answer is the part itself.
func DefineValue(over string) (uint32, error) {
	if err := checkPart(over); err != nil {
		return 0, err
	}
	return define(Question{kind: isValue, over: over}), nil
}

// DefineUsable defines the question of whether a backend has a usable server.
func DefineUsable(backend string) (uint32, error) {
	if _, known := present.Backends[backend]; !known {
		return 0, fmt.Errorf("there is no backend %q in the configuration", backend)
	}
	return define(Question{kind: isUsable, name: backend}), nil
}

func define(question Question) uint32 {
	present.Questions = append(present.Questions, question)
	return uint32(len(present.Questions) - 1)
}

func defined(number uint32) *Question {
	if uint64(number) >= uint64(len(present.Questions)) {
		panic(fmt.Sprintf("question %d is of another instance", number))
	}
	return &present.Questions[number]
}

func (h *Head) valueQuestion(number uint32) *Question {
	question := defined(number)
	if question.kind != isValue && question.kind != isLookUp {
		panic(fmt.Sprintf("the answer to question %d is no value", number))
	}
	return question
}

// Ask returns the number that answers a question.
func (h *Head) Ask(number uint32) (uint32, bool) {
	question := defined(number)
	applies := false
	switch question.kind {
	case isMatch:
		return question.best(h.part(question.over))
	case isShare:
		applies = h.isIn(question)
	case isUsable:
		state, _ := BackendState(question.name)
		applies = state.UsableServers > 0
	default:
		panic(fmt.Sprintf("the answer to question %d is a value", number))
	}
	if applies {
		return 1, true
	}
	return 0, false
}

// AskValue returns the value that answers a question.
func (h *Head) AskValue(number uint32) (string, bool) {
	question := h.valueQuestion(number)
	part, found := first(h.part(question.over))
	if found && question.kind == isLookUp {
		part, found = present.Tables[question.name][part]
	}
	return part, found
}

// isIn reports whether the test has put the request into a share.
func (h *Head) isIn(share *Question) bool {
	if share.over != random {
		if part, _ := first(h.part(share.over)); part == "" {
			return false
		}
	}
	if share.perMillion == 0 || share.perMillion == all {
		return share.perMillion == all
	}
	if in, set := h.memory.Shares[share.salt]; set {
		return in
	}
	return present.Shares[share.salt]
}
