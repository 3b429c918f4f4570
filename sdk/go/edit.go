package pointsman

import (
	"errors"
	"math"
)

// SetHeader replaces every line of the named field with one line that has this value. For host, use
// SetAuthority.
func (r *Request) SetHeader(name, value string) error {
	return r.head.SetHeader(name, value)
}

// SetHeaderBy does the same as SetHeader, with the answer to question as the value. It removes the
// field if there is no answer, or if HTTP does not allow the answer as a field value. The answer
// does not become part of the decision's cache key.
func (r *Request) SetHeaderBy(name string, question *ValueQuestion) error {
	return r.head.SetHeaderBy(name, question.ask())
}

// AppendHeader adds one line of the named field, after any existing lines.
func (r *Request) AppendHeader(name, value string) error {
	return r.head.AppendHeader(name, value)
}

// RemoveHeader removes every line of the named field.
func (r *Request) RemoveHeader(name string) error {
	return r.head.RemoveHeader(name)
}

// SetAuthority replaces the Host (HTTP/2: :authority) that the server sees.
func (r *Request) SetAuthority(value string) error {
	return r.head.SetAuthority(value)
}

// SetPathWithQuery replaces the target with another one in origin form, for example /a?b=c.
func (r *Request) SetPathWithQuery(target string) error {
	return r.head.SetPathWithQuery(target)
}

// ReplacePathPrefix replaces the first length bytes of the path; the rest of the path and the query
// stay unchanged.
//
// The proxy does this for each request, so one cached decision serves every path below a prefix.
// The new path begins with /; the proxy adds the slash if it is missing.
func (r *Request) ReplacePathPrefix(length int, replacement string) error {
	if length < 0 || length > math.MaxUint32 {
		return errors.New("the path has no prefix of that length")
	}
	return r.head.ReplacePathPrefix(uint32(length), replacement)
}

// SetResponseHeader replaces every line of the named field in the final response with one line that
// has this value. Response edits apply to every final response, whether a server, a plugin or the
// proxy itself makes it, but not to interim responses.
func (r *Request) SetResponseHeader(name, value string) error {
	return r.head.SetResponseHeader(name, value)
}

// AppendResponseHeader adds one line of the named field to the final response. For example, it adds
// a Set-Cookie.
func (r *Request) AppendResponseHeader(name, value string) error {
	return r.head.AppendResponseHeader(name, value)
}

// RemoveResponseHeader removes every line of the named field from the final response.
func (r *Request) RemoveResponseHeader(name string) error {
	return r.head.RemoveResponseHeader(name)
}
