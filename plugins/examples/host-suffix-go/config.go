package main

import (
	"strconv"
	"strings"

	pointsman "github.com/pointsman/pointsman/sdk/go"
)

// host is the field that a rule compares by default.
const host = "host"

// Config is the table router.config of the proxy's configuration.
type Config struct {
	Rules []Rule `json:"rules"`
}

// A Rule is a rule as it is written in the configuration.
type Rule struct {
	Header        string   `json:"header" default:"host"`
	Suffix        Suffixes `json:"suffix"`
	Backend       string   `json:"backend"`
	IgnorePort    bool     `json:"ignore_port" default:"false"`
	LabelBoundary bool     `json:"label_boundary" default:"false"`
}

// Suffixes is one suffix, or a list of suffixes any of which can match.
type Suffixes struct {
	list []string
	// Whether the value was written as a list, so that errors name the element.
	asList bool
}

// ReadValue reads a string or a list of strings.
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

// groups checks the rules, and joins consecutive rules that compare the same field in the same way.
func (c *Config) groups() ([]group, error) {
	var groups []group
	for i := range c.Rules {
		rule, path := &c.Rules[i], pointsman.At("rules", i)
		if err := rule.check(path); err != nil {
			return nil, err
		}
		next := group{
			path:       path,
			header:     lower(rule.Header),
			ignorePort: rule.IgnorePort,
			boundary:   rule.LabelBoundary,
			known:      map[string]bool{},
		}
		if last := len(groups) - 1; last < 0 || !groups[last].looksAs(&next) {
			groups = append(groups, next)
		}
		groups[len(groups)-1].add(rule)
	}
	return groups, nil
}

// looksAs reports whether both groups compare the same field in the same way.
func (g *group) looksAs(other *group) bool {
	return g.header == other.header && g.ignorePort == other.ignorePort && g.boundary == other.boundary
}

// add adds a rule's suffixes, except those that an earlier rule has.
func (g *group) add(rule *Rule) {
	for _, suffix := range rule.Suffix.list {
		text := lower(suffix)
		if !g.known[text] {
			g.known[text] = true
			g.suffixes = append(g.suffixes, pointsman.Entry[string]{Text: text, Value: rule.Backend})
		}
	}
}

// check returns an error if the rule is invalid.
func (r *Rule) check(path string) error {
	if !isToken(r.Header) {
		message := strconv.Quote(r.Header) + " is not the name of a header field"
		return pointsman.ErrorAt(path+".header", message)
	}
	if len(r.Suffix.list) == 0 {
		return pointsman.ErrorAt(path+".suffix", "an empty list matches no request")
	}
	for i, suffix := range r.Suffix.list {
		if suffix == "" {
			key := path + ".suffix"
			if r.Suffix.asList {
				key = pointsman.At(key, i)
			}
			return pointsman.ErrorAt(key, "an empty suffix matches every value; for "+
				"requests that no other rule matches, set the frontend's `default_backend`")
		}
	}
	return pointsman.RequireBackend(path+".backend", r.Backend)
}

// isToken reports whether name is a token (RFC 9110, section 5.6.2).
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
