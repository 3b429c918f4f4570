package pointsman

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A question contains the number that the proxy gave it.
type question struct {
	number  uint32
	defined bool
}

func (q question) ask() uint32 {
	if !q.defined {
		panic("a question was asked that was not defined")
	}
	return q.number
}

// configuring is true while configure runs.
var configuring bool

// define runs a definition, which the proxy allows only while the plugin is being configured.
func define(definition func() (uint32, error)) (question, error) {
	if !configuring {
		panic("a question was defined outside configure")
	}
	number, err := definition()
	return question{number, err == nil}, err
}

// An Entry is one string of a Matcher, and its value.
type Entry[T comparable] struct {
	Text  string
	Value T
}

// EntriesOf returns the entries of a map, sorted by key. Every instance of a plugin must define the
// same questions, but Go iterates over a map in a random order.
func EntriesOf[T comparable](values map[string]T) []Entry[T] {
	entries := make([]Entry[T], 0, len(values))
	for _, text := range slices.Sorted(maps.Keys(values)) {
		entries = append(entries, Entry[T]{text, values[text]})
	}
	return entries
}

// EntriesFor returns entries that all have the same value.
func EntriesFor[T comparable](value T, texts ...string) []Entry[T] {
	entries := make([]Entry[T], len(texts))
	for i, text := range texts {
		entries[i] = Entry[T]{text, value}
	}
	return entries
}

// An Option changes how a Matcher compares.
type Option uint8

// IgnoreCase makes a Matcher ignore the case of ASCII letters.
const IgnoreCase Option = 1

// A Matcher is the question of which of its entries matches a part of a request. Entries with equal
// values count as one answer. If a part has several lines or members, the best match of all of them
// wins; for Exact, the first that equals an entry.
type Matcher[T comparable] struct {
	question
	values []T
}

// Of returns the value of the entry that matches; false if none does.
func (m *Matcher[T]) Of(request *Request) (value T, found bool) {
	number, found := request.head.Ask(m.ask())
	if !found {
		return value, false
	}
	return m.values[number-1], true
}

// Exact defines a matcher for the entry that equals the whole part. If the part has several lines
// or members, the first that equals an entry wins.
func Exact[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.Exact, over, entries, options)
}

// Prefix defines a matcher for the longest entry that is a prefix of the part.
func Prefix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.Prefix, over, entries, options)
}

// PathPrefix defines a matcher for the longest entry that is a prefix of the part in whole
// segments: /api matches /api and /api/x, but not /apiary. A / at the end of an entry is ignored.
func PathPrefix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.PathPrefix, over, entries, options)
}

// Suffix defines a matcher for the longest entry that is a suffix of the part.
func Suffix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.Suffix, over, entries, options)
}

// FirstSuffix defines a matcher for the first entry, in the order given, that is a suffix of the
// part.
func FirstSuffix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.FirstSuffix, over, entries, options)
}

// Domain defines a matcher for the longest entry that the part, a host name, equals or is a
// subdomain of.
func Domain[T comparable](over string, entries []Entry[T]) (*Matcher[T], error) {
	return match(proxy.Domain, over, entries, nil)
}

// Network defines a matcher for the smallest network (CIDR) that contains the part, an address.
func Network[T comparable](over string, entries []Entry[T]) (*Matcher[T], error) {
	return match(proxy.Network, over, entries, nil)
}

// Regex defines a matcher for the first regular expression, in the order given, that matches
// anywhere in the part. Expressions match bytes and have the syntax of Rust's crate regex. Apart
// from details, this is the syntax of package regexp.
func Regex[T comparable](over string, entries []Entry[T]) (*Matcher[T], error) {
	return match(proxy.Regex, over, entries, nil)
}

// match defines a matcher. It numbers the distinct values from 1.
func match[T comparable](
	kind proxy.MatchKind, over string, entries []Entry[T], options []Option,
) (*Matcher[T], error) {
	matcher := &Matcher[T]{}
	numbers := map[T]uint32{}
	numbered := make([]proxy.Entry, len(entries))
	for i, entry := range entries {
		if !utf8.ValidString(entry.Text) {
			return nil, errors.New("entry " + strconv.Quote(entry.Text) + " is not UTF-8")
		}
		number, known := numbers[entry.Value]
		if !known {
			matcher.values = append(matcher.values, entry.Value)
			number = uint32(len(matcher.values))
			numbers[entry.Value] = number
		}
		numbered[i] = proxy.Entry{Text: entry.Text, Number: number}
	}
	ignoreCase := slices.Contains(options, IgnoreCase)
	var err error
	matcher.question, err = define(func() (uint32, error) {
		return proxy.DefineMatch(kind, over, ignoreCase, numbered)
	})
	if err != nil {
		return nil, err
	}
	return matcher, nil
}

// A Condition is a question with the answer yes or no.
type Condition struct {
	question
}

// Of reports whether the condition holds.
func (c *Condition) Of(request *Request) bool {
	_, holds := request.head.Ask(c.ask())
	return holds
}

// Share defines the question of whether the request is in a share of perMillion requests out of
// 1,000,000.
//
// The answer depends only on the part and the salt. A request in a share is also in every larger
// share with the same salt. A request in which the part is absent or empty is in no share. over can
// also be random: a number drawn once per request, so shares with the same salt and size give the
// same answer.
func Share(over, salt string, perMillion uint32) (*Condition, error) {
	return condition(func() (uint32, error) { return proxy.DefineShare(over, salt, perMillion) })
}

// Usable defines the question of whether a backend has a usable server. The question is answered
// again at each attempt.
func Usable(backend string) (*Condition, error) {
	return condition(func() (uint32, error) { return proxy.DefineUsable(backend) })
}

func condition(definition func() (uint32, error)) (*Condition, error) {
	question, err := define(definition)
	if err != nil {
		return nil, err
	}
	return &Condition{question}, nil
}

// A ValueQuestion is a question whose answer is octets. SetHeaderBy, SetAffinityBy and TagBy use
// the answer without making it part of the decision's cache key. Of makes it part of the key.
type ValueQuestion struct {
	question
}

// Of returns the answer.
func (v *ValueQuestion) Of(request *Request) (value string, found bool) {
	return request.head.AskValue(v.ask())
}

// LookUp defines a lookup of the part in one of the operator's tables. The answer is the table's
// value for the part.
func LookUp(table, over string) (*ValueQuestion, error) {
	return valueQuestion(func() (uint32, error) { return proxy.DefineLookUp(table, over) })
}

// ValueOf defines a question whose answer is the part itself.
//
// If only SetHeaderBy, SetAffinityBy or TagBy use the answer, it is not part of the key under which
// the decision is cached.
func ValueOf(over string) (*ValueQuestion, error) {
	return valueQuestion(func() (uint32, error) { return proxy.DefineValue(over) })
}

func valueQuestion(definition func() (uint32, error)) (*ValueQuestion, error) {
	question, err := define(definition)
	if err != nil {
		return nil, err
	}
	return &ValueQuestion{question}, nil
}
