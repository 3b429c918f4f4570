// Routes by the end of a header field, as HAProxy's ACL `hdr_end(host) -i` does, with a few more
// options.
//
// Rules without options become a question, which the proxy answers by itself, so one cached
// decision serves every host with the same answer. A rule with an option has to read the value,
// which then becomes part of the decision's cache key.
package main

import pointsman "github.com/pointsman/pointsman/sdk/go"

func init() { pointsman.Export(configure) }

func main() {}

func configure(config Config) (pointsman.Router, error) {
	groups, err := config.groups()
	if err != nil {
		return pointsman.Router{}, err
	}
	for i := range groups {
		if err := groups[i].define(); err != nil {
			return pointsman.Router{}, pointsman.ErrorAt(groups[i].path, err.Error())
		}
	}
	return pointsman.Router{Route: router(groups).route, Cacheable: true}, nil
}

// A router contains the rules in their order.
type router []group

func (r router) route(request *pointsman.Request) (pointsman.Decision, error) {
	for i := range r {
		if backend, found := r[i].choose(request); found {
			return pointsman.Backend(backend), nil
		}
	}
	return pointsman.Next(), nil
}

// A group is a sequence of consecutive rules with the same field and the same options, if any.
type group struct {
	// Path of the first rule, for errors.
	path string
	// In lower case.
	header     string
	ignorePort bool
	boundary   bool
	// The suffixes of all rules in lower case, each once: the first rule with a suffix wins.
	suffixes []pointsman.Entry[string]
	known    map[string]bool
	// The questions of a group without options. connection is the question for connections without
	// HTTP, which have no fields. It is nil unless the field is Host.
	field, connection *pointsman.Matcher[string]
}

// define defines the questions of a group without options.
func (g *group) define() (err error) {
	if g.ignorePort || g.boundary {
		return nil
	}
	if g.header != host {
		g.field, err = pointsman.FirstSuffix("values:"+g.header, g.suffixes, pointsman.IgnoreCase)
		return err
	}
	// Host is compared line by line, since it is not a list.
	g.field, err = pointsman.FirstSuffix("header:"+host, g.suffixes, pointsman.IgnoreCase)
	if err != nil {
		return err
	}
	g.connection, err = pointsman.FirstSuffix("host", g.suffixes, pointsman.IgnoreCase)
	return err
}

// choose returns the backend of the first rule that one of the field's values matches.
func (g *group) choose(request *pointsman.Request) (backend string, found bool) {
	if g.field == nil {
		return g.read(request)
	}
	backend, found = g.field.Of(request)
	if !found && g.connection != nil && !hasHTTP(request) {
		return g.connection.Of(request)
	}
	return backend, found
}

func hasHTTP(request *pointsman.Request) bool {
	_, found := request.Version()
	return found
}

// read does what choose does, for a group with options.
func (g *group) read(request *pointsman.Request) (backend string, found bool) {
	var values []string
	switch {
	case g.header != host:
		values = members(request.HeaderLines(g.header))
	case hasHTTP(request):
		values = request.HeaderLines(host)
	default:
		values = []string{request.Host()}
	}
	for _, suffix := range g.suffixes {
		for _, value := range values {
			if g.ignorePort {
				value = withoutPort(value)
			}
			if endsWith(value, suffix.Text) && (!g.boundary || startsLabel(value, suffix.Text)) {
				return suffix.Value, true
			}
		}
	}
	return "", false
}
