package pointsman

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/pointsman/pointsman/sdk/go/internal/json"
)

// NoConfig is the configuration of a plugin that has none: any key is an error.
type NoConfig struct{}

// Kind is the type of a configuration value.
type Kind = json.Kind

// The kinds of values. A plugin sees Null only where it reads a value into a pointer.
const (
	Null   = json.Null
	Bool   = json.Bool
	Number = json.Number
	Text   = json.Text
	List   = json.List
	Table  = json.Table
)

// A Value is a part of a configuration that has been parsed but not yet read into a Go value.
type Value struct {
	node json.Value
	path string
}

// A ValueReader is a type that can have one of several forms in a configuration, such as a string
// or a list of strings.
type ValueReader interface {
	ReadValue(value Value) error
}

// Kind returns the kind of the value.
func (v Value) Kind() Kind {
	return v.node.Kind
}

// Path returns the path of the value, as in rules[0].suffix.
func (v Value) Path() string {
	return v.path
}

// Read reads the value into the variable that target points to, as Export describes.
func (v Value) Read(target any) error {
	pointer := reflect.ValueOf(target)
	if pointer.Kind() != reflect.Pointer || pointer.IsNil() {
		panic("Read wants a pointer")
	}
	return v.into(pointer.Elem())
}

// Expected returns the error for a value of the wrong kind, for example
// `expected a text, found a number`.
func (v Value) Expected(what string) error {
	found := v.node.Kind.String()
	if v.node.Kind == Number {
		found = v.node.Text
	}
	return ErrorAt(v.path, "expected "+what+", found "+found)
}

// readConfig reads text, which is JSON, into the variable that target points to.
func readConfig(text string, target any) error {
	node, err := json.Parse(text)
	if err != nil {
		return err
	}
	return Value{node: node}.Read(target)
}

// into implements Read.
func (v Value) into(target reflect.Value) error {
	if target.Kind() == reflect.Pointer {
		if v.node.Kind == Null {
			target.SetZero()
			return nil
		}
		target.Set(reflect.New(target.Type().Elem()))
		return v.into(target.Elem())
	}
	if target.CanAddr() {
		switch own := target.Addr().Interface().(type) {
		case ValueReader:
			return v.located(own.ReadValue(v))
		case interface{ UnmarshalJSON([]byte) error }:
			return v.located(own.UnmarshalJSON([]byte(v.node.Source)))
		case interface{ UnmarshalText([]byte) error }:
			if v.node.Kind != Text {
				return v.Expected("a text")
			}
			return v.located(own.UnmarshalText([]byte(v.node.Text)))
		}
	}
	switch target.Kind() {
	case reflect.Bool:
		if v.node.Kind != Bool {
			return v.Expected("true or false")
		}
		target.SetBool(v.node.Truth)
		return nil
	case reflect.String:
		if v.node.Kind != Text {
			return v.Expected("a text")
		}
		target.SetString(v.node.Text)
		return nil
	case reflect.Slice:
		return v.intoSlice(target)
	case reflect.Map:
		return v.intoMap(target)
	case reflect.Struct:
		return v.intoStruct(target)
	case reflect.Interface:
		if target.NumMethod() == 0 {
			if plain := v.plain(); plain != nil {
				target.Set(reflect.ValueOf(plain))
			}
			return nil
		}
	default:
		return v.intoNumber(target)
	}
	return v.unfit(target)
}

// located adds the path to an error that has none.
func (v Value) located(err error) error {
	var at *KeyError
	if err == nil || errors.As(err, &at) {
		return err
	}
	return ErrorAt(v.path, err.Error())
}

func (v Value) unfit(target reflect.Value) error {
	return ErrorAt(v.path, "the plugin asks for a "+target.Type().String()+", which a configuration cannot have")
}

func (v Value) intoNumber(target reflect.Value) error {
	var (
		what string
		err  error
	)
	switch {
	case target.CanInt():
		what = "a whole number"
		var number int64
		number, err = strconv.ParseInt(v.node.Text, 10, target.Type().Bits())
		target.SetInt(number)
	case target.CanUint():
		what = "a whole number that is not negative"
		var number uint64
		number, err = strconv.ParseUint(v.node.Text, 10, target.Type().Bits())
		target.SetUint(number)
	case target.CanFloat():
		what = "a number"
		var number float64
		number, err = strconv.ParseFloat(v.node.Text, target.Type().Bits())
		target.SetFloat(number)
	default:
		return v.unfit(target)
	}
	switch {
	case v.node.Kind == Number && errors.Is(err, strconv.ErrRange):
		return ErrorAt(v.path, v.node.Text+" is out of range")
	case v.node.Kind != Number || err != nil:
		return v.Expected(what)
	default:
		return nil
	}
}

func (v Value) intoSlice(target reflect.Value) error {
	if v.node.Kind != List {
		return v.Expected("a list")
	}
	slice := reflect.MakeSlice(target.Type(), len(v.node.Values), len(v.node.Values))
	for i, node := range v.node.Values {
		if err := (Value{node, At(v.path, i)}).into(slice.Index(i)); err != nil {
			return err
		}
	}
	target.Set(slice)
	return nil
}

func (v Value) intoMap(target reflect.Value) error {
	kind := target.Type()
	if kind.Key().Kind() != reflect.String {
		return v.unfit(target)
	}
	if v.node.Kind != Table {
		return v.Expected("a table")
	}
	table := reflect.MakeMapWithSize(kind, len(v.node.Keys))
	for i, key := range v.node.Keys {
		value := reflect.New(kind.Elem()).Elem()
		if err := (Value{v.node.Values[i], in(v.path, key)}).into(value); err != nil {
			return err
		}
		table.SetMapIndex(reflect.ValueOf(key).Convert(kind.Key()), value)
	}
	target.Set(table)
	return nil
}

// intoStruct reads the keys in the order in which they are written, and stops at the first wrong
// one. A missing key is reported only if no key is wrong.
func (v Value) intoStruct(target reflect.Value) error {
	if v.node.Kind != Table {
		return v.Expected("a table")
	}
	members := membersOf(target, nil)
	given := make([]bool, len(members))
	for i, key := range v.node.Keys {
		value := Value{v.node.Values[i], in(v.path, key)}
		at := -1
		for j := range members {
			if members[j].key == key {
				at = j
			}
		}
		if at < 0 {
			return ErrorAt(value.path, "unknown key")
		}
		given[at] = true
		if err := value.into(members[at].value); err != nil {
			return err
		}
	}
	for i, member := range members {
		if given[i] {
			continue
		}
		if member.preset != "" {
			if err := member.setPreset(in(v.path, member.key)); err != nil {
				return err
			}
		} else if !member.optional {
			return ErrorAt(v.path, "missing key "+strconv.Quote(member.key))
		}
	}
	return nil
}

// A member is a struct field that is filled from a key.
type member struct {
	key      string
	value    reflect.Value
	optional bool
	preset   string
}

func membersOf(target reflect.Value, members []member) []member {
	kind := target.Type()
	for i := range kind.NumField() {
		field := kind.Field(i)
		tag := field.Tag.Get("json")
		key, options, _ := strings.Cut(tag, ",")
		if field.Anonymous && tag == "" && field.Type.Kind() == reflect.Struct {
			members = membersOf(target.Field(i), members)
			continue
		}
		if !field.IsExported() || tag == "-" {
			continue
		}
		if key == "" {
			key = field.Name
		}
		members = append(members, member{
			key:      key,
			value:    target.Field(i),
			optional: field.Type.Kind() == reflect.Pointer || strings.Contains(options, "omit"),
			preset:   field.Tag.Get("default"),
		})
	}
	return members
}

// setPreset sets the field to the value of its tag `default`: a string as it is, other types as
// JSON.
func (m *member) setPreset(path string) error {
	if m.value.Kind() == reflect.String {
		m.value.SetString(m.preset)
		return nil
	}
	node, err := json.Parse(m.preset)
	if err != nil {
		return ErrorAt(path, "the plugin's default is not JSON: "+m.preset)
	}
	return Value{node, path}.into(m.value)
}

// plain returns the value as encoding/json decodes it into an `any`.
func (v Value) plain() any {
	switch v.node.Kind {
	case Bool:
		return v.node.Truth
	case Number:
		number, _ := strconv.ParseFloat(v.node.Text, 64)
		return number
	case Text:
		return v.node.Text
	case List:
		list := make([]any, len(v.node.Values))
		for i, node := range v.node.Values {
			list[i] = Value{node: node}.plain()
		}
		return list
	case Table:
		table := make(map[string]any, len(v.node.Keys))
		for i, key := range v.node.Keys {
			table[key] = Value{node: v.node.Values[i]}.plain()
		}
		return table
	default:
		return nil
	}
}
