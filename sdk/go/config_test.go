package pointsman_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	pointsman "github.com/pointsman/pointsman/sdk/go"
	"github.com/pointsman/pointsman/sdk/go/pointsmantest"
)

type shared struct {
	Retries int8 `json:"retries,omitempty"`
}

type rule struct {
	Suffix  oneOrMore      `json:"suffix"`
	Backend string         `json:"backend"`
	Header  string         `json:"header" default:"host"`
	Port    *uint16        `json:"port"`
	Weight  float64        `json:"weight" default:"0.5"`
	Strict  bool           `json:"strict" default:"true"`
	From    []netip.Prefix `json:"from,omitempty"`
	shared
	hidden int
	Unread int `json:"-"`
}

type table struct {
	Rules  []rule            `json:"rules"`
	Names  map[string]string `json:"names,omitempty"`
	Any    any               `json:"any,omitempty"`
	Custom upper             `json:"custom,omitempty"`
	Plain  uint              `json:",omitempty"`
	Signed int64             `json:"signed,omitempty"`
	Broken chan int          `json:"broken,omitempty"`
}

// oneOrMore is a string or a list of strings.
type oneOrMore []string

func (o *oneOrMore) ReadValue(value pointsman.Value) error {
	switch value.Kind() {
	case pointsman.Text:
		*o = make(oneOrMore, 1)
		return value.Read(&(*o)[0])
	case pointsman.List:
		return value.Read((*[]string)(o))
	default:
		return value.Expected("a text or a list of texts")
	}
}

// upper implements json.Unmarshaler, encoding/json's own interface.
type upper string

func (u *upper) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return errors.New("not in quotes")
	}
	*u = upper(strings.ToUpper(string(text)))
	return nil
}

func configure(config string) (read table, err error) {
	pointsman.Export(func(config table) (pointsman.Router, error) {
		read = config
		return pointsman.Router{Route: func(*pointsman.Request) (pointsman.Decision, error) {
			return pointsman.DefaultBackend(), nil
		}}, nil
	})
	_, err = pointsmantest.Configure(config)
	return read, err
}

func TestAConfigurationIsRead(t *testing.T) {
	got, err := configure(`{
		"rules": [
			{"suffix": "a\u00e4\ud83d\ude00\n\"", "backend": "b"},
			{"suffix": ["c", ""], "backend": "d", "header": "", "port": 65535, "weight": 2, "strict": false,
			 "from": ["10.0.0.0/8"], "retries": -128}
		],
		"names": {"x.y": "z"}, "any": [null, 1, "a", {"b": true}], "custom": "up", "Plain": 7, "signed": -9223372036854775808
	}`)
	port := uint16(65535)
	want := table{
		Rules: []rule{
			{Suffix: oneOrMore{"aä😀\n\""}, Backend: "b", Header: "host", Weight: 0.5, Strict: true},
			{
				Suffix: oneOrMore{"c", ""}, Backend: "d", Port: &port, Weight: 2,
				From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, shared: shared{-128},
			},
		},
		Names:  map[string]string{"x.y": "z"},
		Any:    []any{nil, 1.0, "a", map[string]any{"b": true}},
		Custom: `"UP"`,
		Plain:  7,
		Signed: -1 << 63,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\n%+v", err, got, want)
	}
}

func TestErrorsStartWithTheKey(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                      `missing key "rules"`,
		`{"rules":[],"rule":[]}`:  `rule: unknown key`,
		`{"rules":[],"Rules":[]}`: `Rules: unknown key`,
		`{"rules":{}}`:            `rules: expected a list, found a table`,
		`{"rules":[5]}`:           `rules[0]: expected a table, found 5`,
		`{"rules":[{"suffix":"a","backend":"b"},{"suffix":"a"}]}`: `rules[1]: missing key "backend"`,
		`{"rules":[{"sufix":"a"}]}`:                               `rules[0].sufix: unknown key`,
		`{"rules":[{"suffix":"a","hidden":1}]}`:                   `rules[0].hidden: unknown key`,
		`{"rules":[{"suffix":"a","Unread":1}]}`:                   `rules[0].Unread: unknown key`,
		`{"rules":[{"suffix":5}]}`:                                `rules[0].suffix: expected a text or a list of texts, found 5`,
		`{"rules":[{"suffix":["a",true]}]}`:                       `rules[0].suffix[1]: expected a text, found true or false`,
		`{"rules":[{"backend":null}]}`:                            `rules[0].backend: expected a text, found nothing`,
		`{"rules":[{"port":65536}]}`:                              `rules[0].port: 65536 is out of range`,
		`{"rules":[{"port":-1}]}`:                                 `rules[0].port: expected a whole number that is not negative, found -1`,
		`{"rules":[{"port":"80"}]}`:                               `rules[0].port: expected a whole number that is not negative, found a text`,
		`{"rules":[{"weight":1e999}]}`:                            `rules[0].weight: 1e999 is out of range`,
		`{"rules":[{"weight":[]}]}`:                               `rules[0].weight: expected a number, found a list`,
		`{"rules":[{"strict":0}]}`:                                `rules[0].strict: expected true or false, found 0`,
		`{"rules":[{"retries":1.0}]}`:                             `rules[0].retries: expected a whole number, found 1.0`,
		`{"rules":[{"retries":128}]}`:                             `rules[0].retries: 128 is out of range`,
		`{"rules":[{"from":["10.0.0.0/8","x"]}]}`:                 `rules[0].from[1]: netip.ParsePrefix("x"): no '/'`,
		`{"rules":[{"from":[1]}]}`:                                `rules[0].from[0]: expected a text, found 1`,
		`{"rules":[],"names":{"a":1}}`:                            `names.a: expected a text, found 1`,
		`{"rules":[],"custom":1}`:                                 `custom: not in quotes`,
		`{"rules":[],"broken":1}`:                                 `broken: the plugin asks for a chan int, which a configuration cannot have`,
		`[]`:                                                      `expected a table, found a list`,
		``:                                                        `the configuration ends too early`,
		`{} {}`:                                                   `the configuration goes on after its end`,
	} {
		if _, err := configure(config); err == nil || err.Error() != want {
			t.Errorf("%s\n%v\n%s", config, err, want)
		}
	}
}

func TestAPluginWithoutAConfigurationTakesNoKey(t *testing.T) {
	export(func(*pointsman.Request) (pointsman.Decision, error) { return pointsman.DefaultBackend(), nil })
	if _, err := pointsmantest.Configure(`{"a":{}}`); err == nil || err.Error() != "a: unknown key" {
		t.Error(err)
	}
}
