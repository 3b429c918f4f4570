// Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.
//
// It looks at no more of a request than the fields that its rules name: each field read is
// part of a cached decision.
package main

import pointsman "github.com/pointsman/pointsman/sdk/go"

func init() { pointsman.Export(configure) }

func main() {}

func configure(config Config) (pointsman.Router, error) {
	router := router{}
	for i := range config.Rules {
		header, rule, err := config.Rules[i].checked(pointsman.At("rules", i))
		if err != nil {
			return pointsman.Router{}, err
		}
		if last := len(router) - 1; last >= 0 && router[last].header == header {
			router[last].rules = append(router[last].rules, rule)
		} else {
			router = append(router, group{header, []checkedRule{rule}})
		}
	}
	return pointsman.Router{Route: router.route, Cacheable: true}, nil
}

// A router has its rules in their order.
type router []group

// A group is rules that follow each other and look at the same field, which is read once for
// all.
type group struct {
	// In lower case.
	header string
	rules  []checkedRule
}

func (r router) route(request *pointsman.Request) (pointsman.Decision, error) {
	for i := range r {
		if rule := r[i].choose(request); rule != nil {
			return rule.decision, nil
		}
	}
	return pointsman.DefaultBackend(), nil
}

// choose returns the first rule that one of the field's values matches.
func (g *group) choose(request *pointsman.Request) *checkedRule {
	lines := request.HeaderLines(g.header)
	// No list: a comma in a host is refused before routing, as is a second line.
	single := len(lines) == 1 && g.header == "host"
	for i := range g.rules {
		rule := &g.rules[i]
		if single {
			if rule.matches(trim(lines[0])) {
				return rule
			}
			continue
		}
		for _, line := range lines {
			if rule.matchesAny(line) {
				return rule
			}
		}
	}
	return nil
}

// A checkedRule is a rule that makes sense.
type checkedRule struct {
	// In lower case, none empty.
	suffixes   []string
	decision   pointsman.Decision
	ignorePort bool
	boundary   bool
}

// matchesAny tells whether one of the values in a line ends as this rule asks.
func (r *checkedRule) matchesAny(line string) bool {
	for value := range values(line) {
		if r.matches(value) {
			return true
		}
	}
	return false
}

// matches tells whether a value, without blanks around it, ends as this rule asks.
func (r *checkedRule) matches(value string) bool {
	if r.ignorePort {
		value = pointsman.WithoutPort(value)
	}
	for _, suffix := range r.suffixes {
		if endsWith(value, suffix) && (!r.boundary || startsLabel(value, suffix)) {
			return true
		}
	}
	return false
}
