package pointsman

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// A question is the number that the proxy gave it.
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

// define makes a definition, which the proxy allows only while the plugin is configured.
func define(definition func() (uint32, error)) (question, error) {
	if !configuring {
		panic("a question was defined outside configure")
	}
	number, err := definition()
	return question{number, err == nil}, err
}

// An Entry is one text of a Matcher, and the value that it stands for.
type Entry[T comparable] struct {
	Text  string
	Value T
}

// EntriesOf returns the entries of a map, in the order of their texts. Every instance of a
// plugin must define the same questions, and the order in which Go visits a map differs.
func EntriesOf[T comparable](values map[string]T) []Entry[T] {
	entries := make([]Entry[T], 0, len(values))
	for _, text := range slices.Sorted(maps.Keys(values)) {
		entries = append(entries, Entry[T]{text, values[text]})
	}
	return entries
}

// EntriesFor returns entries that all stand for one value.
func EntriesFor[T comparable](value T, texts ...string) []Entry[T] {
	entries := make([]Entry[T], len(texts))
	for i, text := range texts {
		entries[i] = Entry[T]{text, value}
	}
	return entries
}

// An Option changes how a Matcher compares.
type Option uint8

// IgnoreCase has a Matcher ignore the case of ASCII letters.
const IgnoreCase Option = 1

// A Matcher is the question which of its entries matches a part of a request. Entries with
// equal values are one answer. A part with several lines or members matches by the best of all;
// by Exact, by the first that equals an entry.
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

// Exact matches a part that equals an entry.
func Exact[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.Exact, over, entries, options)
}

// Prefix matches by the longest entry that a part begins with.
func Prefix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.Prefix, over, entries, options)
}

// PathPrefix matches by the longest entry that a part begins with, ending at a / or at the
// end. A / at an entry's end is ignored.
func PathPrefix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.PathPrefix, over, entries, options)
}

// Suffix matches by the longest entry that a part ends with.
func Suffix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.Suffix, over, entries, options)
}

// FirstSuffix matches by the first entry, in the order given, that a part ends with.
func FirstSuffix[T comparable](over string, entries []Entry[T], options ...Option) (*Matcher[T], error) {
	return match(proxy.FirstSuffix, over, entries, options)
}

// Domain matches by the longest entry that a part, a host name, equals or is a subdomain of.
func Domain[T comparable](over string, entries []Entry[T]) (*Matcher[T], error) {
	return match(proxy.Domain, over, entries, nil)
}

// Network matches by the smallest network (CIDR) that contains a part, an address.
func Network[T comparable](over string, entries []Entry[T]) (*Matcher[T], error) {
	return match(proxy.Network, over, entries, nil)
}

// Regex matches by the first regular expression, in the order given, that matches anywhere in
// a part. The syntax is that of Rust's regex crate, which is that of package regexp but for
// details.
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

// A Condition is a question that is answered with yes or no.
type Condition struct {
	question
}

// Of tells whether the condition holds.
func (c *Condition) Of(request *Request) bool {
	_, holds := request.head.Ask(c.ask())
	return holds
}

// Share asks whether a request is in a share of perMillion. Equal parts and salts are always in
// the same share; a larger share contains a smaller one. A part that is absent or empty is in
// none. The text over may also be random: a number drawn once per request.
func Share(over, salt string, perMillion uint32) (*Condition, error) {
	return condition(func() (uint32, error) { return proxy.DefineShare(over, salt, perMillion) })
}

// Usable asks whether a backend has a usable server, anew at each attempt.
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

// A ValueQuestion is a question that is answered with octets. SetHeaderBy, SetAffinityBy and
// TagBy use the answer without making it part of the decision's cache key, as Of does.
type ValueQuestion struct {
	question
}

// Of returns the answer.
func (v *ValueQuestion) Of(request *Request) (value string, found bool) {
	return request.head.AskValue(v.ask())
}

// LookUp asks for the value in one of the operator's tables under the part as key.
func LookUp(table, over string) (*ValueQuestion, error) {
	return valueQuestion(func() (uint32, error) { return proxy.DefineLookUp(table, over) })
}

// ValueOf asks for the part itself.
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
