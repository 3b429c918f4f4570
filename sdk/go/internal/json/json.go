// Package json parses a plugin's configuration, which the proxy passes as JSON (RFC 8259), into a
// tree that keeps the order of keys.
//
// encoding/json is not used, since its errors name neither the element of a list nor a missing key.
// Together with its dependencies, encoding/json would make a plugin almost twice as large.
package json

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the type of a value.
type Kind uint8

// The kinds of JSON values. Objects and arrays are called tables and lists, as in TOML.
const (
	Null Kind = iota
	Bool
	Number
	Text
	List
	Table
)

// String returns a description of the kind, as in `expected a text, found a list`.
func (k Kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "a table"}[k]
}

// Value is a value with its contents.
type Value struct {
	Kind Kind
	// Truth is the value of a Bool.
	Truth bool
	// Text is the value of a Text, or a Number as it is written.
	Text string
	// Keys are the keys of a Table, each once.
	Keys []string
	// Values are the elements of a List, or the values of a Table in the order of its keys.
	Values []Value
	// Source is the value as it was written.
	Source string
}

// maxDepth limits nesting, so that it cannot exhaust the sandbox's stack.
const maxDepth = 100

var (
	errEnd    = errors.New("the configuration ends too early")
	errDepth  = errors.New("the configuration is nested too deep")
	errRest   = errors.New("the configuration goes on after its end")
	errSyntax = errors.New("the configuration is not JSON")
)

// Parse reads one value.
func Parse(text string) (Value, error) {
	p := parser{text: text}
	value, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	p.skipBlanks()
	if p.at != len(p.text) {
		return Value{}, errRest
	}
	return value, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) skipBlanks() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next skips blanks and returns the next octet; 0 at the end.
func (p *parser) next() byte {
	p.skipBlanks()
	return p.peek()
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// take skips blanks and consumes the next octet, which must equal octet.
func (p *parser) take(octet byte) error {
	switch {
	case p.next() == octet:
		p.at++
		return nil
	case p.at == len(p.text):
		return errEnd
	default:
		return errSyntax
	}
}

func (p *parser) value(depth int) (value Value, err error) {
	if depth == maxDepth {
		return value, errDepth
	}
	first := p.next()
	start := p.at
	switch {
	case first == '{':
		value, err = p.table(depth)
	case first == '[':
		value, err = p.list(depth)
	case first == '"':
		value.Kind = Text
		value.Text, err = p.string()
	case first == '-' || '0' <= first && first <= '9':
		value.Kind = Number
		value.Text, err = p.number()
	case first == 't':
		value.Kind, value.Truth, err = Bool, true, p.word("true")
	case first == 'f':
		value.Kind, err = Bool, p.word("false")
	case first == 'n':
		err = p.word("null")
	case p.at == len(p.text):
		err = errEnd
	default:
		err = errSyntax
	}
	value.Source = p.text[start:p.at]
	return value, err
}

func (p *parser) word(word string) error {
	if len(p.text)-p.at < len(word) || p.text[p.at:p.at+len(word)] != word {
		return errSyntax
	}
	p.at += len(word)
	return nil
}

func (p *parser) list(depth int) (Value, error) {
	list := Value{Kind: List}
	p.at++
	if p.next() == ']' {
		p.at++
		return list, nil
	}
	for {
		value, err := p.value(depth + 1)
		if err != nil {
			return list, err
		}
		list.Values = append(list.Values, value)
		if p.next() != ',' {
			return list, p.take(']')
		}
		p.at++
	}
}

func (p *parser) table(depth int) (Value, error) {
	table := Value{Kind: Table}
	known := map[string]bool{}
	p.at++
	if p.next() == '}' {
		p.at++
		return table, nil
	}
	for {
		if p.next() != '"' {
			return table, p.take('"')
		}
		key, err := p.string()
		if err != nil {
			return table, err
		}
		if known[key] {
			return table, errors.New("the configuration has the key " + strconv.Quote(key) + " twice in one table")
		}
		known[key] = true
		if err := p.take(':'); err != nil {
			return table, err
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return table, err
		}
		table.Keys = append(table.Keys, key)
		table.Values = append(table.Values, value)
		if p.next() != ',' {
			return table, p.take('}')
		}
		p.at++
	}
}

func (p *parser) digits() error {
	start := p.at
	for '0' <= p.peek() && p.peek() <= '9' {
		p.at++
	}
	if p.at == start {
		return errSyntax
	}
	return nil
}

func (p *parser) number() (string, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	zero := p.peek() == '0'
	whole := p.at
	err := p.digits()
	if zero && p.at > whole+1 {
		return "", errSyntax
	}
	if err == nil && p.peek() == '.' {
		p.at++
		err = p.digits()
	}
	if err == nil && p.peek()|0x20 == 'e' {
		p.at++
		if p.peek() == '+' || p.peek() == '-' {
			p.at++
		}
		err = p.digits()
	}
	return p.text[start:p.at], err
}

func (p *parser) string() (string, error) {
	p.at++
	start := p.at
	// Most strings have no escapes, and are returned without a copy.
	for p.at < len(p.text) {
		switch octet := p.text[p.at]; {
		case octet == '"':
			p.at++
			return p.text[start : p.at-1], nil
		case octet == '\\':
			return p.unescaped([]byte(p.text[start:p.at]))
		case octet < ' ':
			return "", errSyntax
		}
		p.at++
	}
	return "", errEnd
}

func (p *parser) unescaped(text []byte) (string, error) {
	for p.at < len(p.text) {
		octet := p.text[p.at]
		p.at++
		switch {
		case octet == '"':
			return string(text), nil
		case octet < ' ':
			return "", errSyntax
		case octet != '\\':
			text = append(text, octet)
			continue
		}
		if p.at == len(p.text) {
			break
		}
		escape := p.text[p.at]
		p.at++
		switch escape {
		case '"', '\\', '/':
			text = append(text, escape)
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			letter, err := p.escaped()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, letter)
		default:
			return "", errSyntax
		}
	}
	return "", errEnd
}

// escaped reads the digits of `\uXXXX`, after the `\u`, and a second such escape if the two form a
// surrogate pair.
func (p *parser) escaped() (rune, error) {
	first, err := p.unit()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	if err := p.word(`\u`); err != nil {
		return 0, err
	}
	second, err := p.unit()
	letter := utf16.DecodeRune(first, second)
	if err == nil && letter == utf8.RuneError {
		err = errSyntax
	}
	return letter, err
}

func (p *parser) unit() (rune, error) {
	if len(p.text)-p.at < 4 {
		return 0, errEnd
	}
	unit, err := strconv.ParseUint(p.text[p.at:p.at+4], 16, 16)
	if err != nil {
		return 0, errSyntax
	}
	p.at += 4
	return rune(unit), nil
}
