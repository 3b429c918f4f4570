package main

import (
	"strconv"
	"strings"

	pointsman "github.com/pointsman/pointsman/sdk/go"
)

// Config is router.config.
type Config struct {
	Rules []Rule `json:"rules"`
}

// A Rule is as it is written.
type Rule struct {
	Header        string   `json:"header" default:"host"`
	Suffix        Suffixes `json:"suffix"`
	Backend       string   `json:"backend"`
	IgnorePort    bool     `json:"ignore_port" default:"false"`
	LabelBoundary bool     `json:"label_boundary" default:"false"`
}

// Suffixes are one, or several of which any may match.
type Suffixes struct {
	list []string
	// Whether it was written as a list, for the keys in errors.
	asList bool
}

// ReadValue reads a text or a list of texts.
func (s *Suffixes) ReadValue(value pointsman.Value) error {
	switch value.Kind() {
	case pointsman.Text:
		s.list = make([]string, 1)
		return value.Read(&s.list[0])
	case pointsman.List:
		s.asList = true
		return value.Read(&s.list)
	default:
		return value.Expected("a text or a list of texts")
	}
}

// checked returns the rule, and the field that it looks at, in lower case.
func (r *Rule) checked(path string) (header string, rule checkedRule, err error) {
	if !isToken(r.Header) {
		message := strconv.Quote(r.Header) + " is not the name of a header field"
		return "", rule, pointsman.ErrorAt(path+".header", message)
	}
	if len(r.Suffix.list) == 0 {
		return "", rule, pointsman.ErrorAt(path+".suffix", "an empty list matches no request")
	}
	for i, suffix := range r.Suffix.list {
		if suffix == "" {
			key := path + ".suffix"
			if r.Suffix.asList {
				key = pointsman.At(key, i)
			}
			return "", rule, pointsman.ErrorAt(key, "an empty suffix matches every value; for the "+
				"requests that no other rule matches there is the frontend's `default_backend`")
		}
		rule.suffixes = append(rule.suffixes, lower(suffix))
	}
	if !pointsman.BackendExists(r.Backend) {
		message := "there is no backend " + strconv.Quote(r.Backend)
		return "", rule, pointsman.ErrorAt(path+".backend", message)
	}
	rule.decision = pointsman.Backend(r.Backend)
	rule.ignorePort, rule.boundary = r.IgnorePort, r.LabelBoundary
	return lower(r.Header), rule, nil
}

// isToken tells whether name is one (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		octet := name[i]
		letter := 'a' <= octet|0x20 && octet|0x20 <= 'z'
		digit := '0' <= octet && octet <= '9'
		if !letter && !digit && strings.IndexByte("!#$%&'*+-.^_`|~", octet) < 0 {
			return false
		}
	}
	return name != ""
}
