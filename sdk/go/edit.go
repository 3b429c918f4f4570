package pointsman

import (
	"errors"
	"math"
)

// SetHeader replaces every line of a field by one with this value. For host there is
// SetAuthority.
func (r *Request) SetHeader(name, value string) error {
	return r.head.SetHeader(name, value)
}

// SetHeaderBy replaces every line of a field by one with the answer to a question; without an
// answer it removes the field. The answer becomes no part of the decision's cache key.
func (r *Request) SetHeaderBy(name string, question *ValueQuestion) error {
	return r.head.SetHeaderBy(name, question.ask())
}

// AppendHeader adds one line to a field, after those that are there.
func (r *Request) AppendHeader(name, value string) error {
	return r.head.AppendHeader(name, value)
}

// RemoveHeader removes every line of a field.
func (r *Request) RemoveHeader(name string) error {
	return r.head.RemoveHeader(name)
}

// SetAuthority replaces the Host (HTTP/2: :authority) that the server sees.
func (r *Request) SetAuthority(value string) error {
	return r.head.SetAuthority(value)
}

// SetPathWithQuery replaces the target by another in origin form.
func (r *Request) SetPathWithQuery(target string) error {
	return r.head.SetPathWithQuery(target)
}

// ReplacePathPrefix replaces the first length bytes of the path; the rest and the query stay.
// The proxy does it for each request, so one decision serves every path below a prefix.
func (r *Request) ReplacePathPrefix(length int, replacement string) error {
	if length < 0 || length > math.MaxUint32 {
		return errors.New("the path has no prefix of that length")
	}
	return r.head.ReplacePathPrefix(uint32(length), replacement)
}

// SetResponseHeader replaces every line of a field of the final response by one with this
// value. Edits of the response apply whoever makes it, the proxy's own errors included; not to
// interim responses.
func (r *Request) SetResponseHeader(name, value string) error {
	return r.head.SetResponseHeader(name, value)
}

// AppendResponseHeader adds one line to a field of the final response, for example a
// Set-Cookie.
func (r *Request) AppendResponseHeader(name, value string) error {
	return r.head.AppendResponseHeader(name, value)
}

// RemoveResponseHeader removes every line of a field of the final response.
func (r *Request) RemoveResponseHeader(name string) error {
	return r.head.RemoveResponseHeader(name)
}
