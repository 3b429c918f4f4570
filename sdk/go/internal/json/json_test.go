package json

import (
	stdlib "encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// plain returns a value as encoding/json decodes it.
func plain(v Value) any {
	switch v.Kind {
	case Bool:
		return v.Truth
	case Number:
		number, _ := strconv.ParseFloat(v.Text, 64)
		return number
	case Text:
		return v.Text
	case List:
		list := []any{}
		for _, value := range v.Values {
			list = append(list, plain(value))
		}
		return list
	case Table:
		table := map[string]any{}
		for i, key := range v.Keys {
			table[key] = plain(v.Values[i])
		}
		return table
	default:
		return nil
	}
}

// check compares the parser with the standard library, which is more lenient only about duplicate
// keys, unpaired surrogates and depth.
func check(t *testing.T, text string) {
	t.Helper()
	var want any
	wantErr := stdlib.Unmarshal([]byte(text), &want)
	got, err := Parse(text)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(plain(got), want) {
		t.Errorf("%q: %v, %v, not %v, %v", text, got, err, want, wantErr)
	}
	if err == nil && got.Source != strings.Trim(text, " \t\r\n") {
		t.Errorf("%q: %q", text, got.Source)
	}
}

const sample = ` {"a": [1, -0.5e+3, 0, "b\u00e4\\\"\/\b\f\n\r\t", true, false, null, {}, []], "ä": {"😀": "\ud83d\ude00"}} `

func TestWhatIsReadIsWhatTheStandardLibraryReads(t *testing.T) {
	for _, text := range []string{
		sample, "", " ", "0", "-", "-0", "01", "1.", ".5", "1e", "1e+", "1E5", "+1", "tru", "truee", "nul", "NaN",
		`"`, `"\`, `"\u`, `"\u12`, `"\u12G4"`, `"\x"`, "\"\n\"", "\"\x00\"", "\x00", `"a" "b"`, "[", "[1", "[1,", "[1,]", "[,]", "]",
		"{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{1:1}`, `{"a" 1}`, "}", "[1 2]", `{"a":1 "b":2}`,
	} {
		check(t, text)
	}
	// Parses every prefix, and the sample with every octet replaced.
	for i := range len(sample) {
		check(t, sample[:i])
		for _, octet := range []byte("\"\\{}[],:0-e. \x00x") {
			text := sample[:i] + string(rune(octet)) + sample[i+1:]
			if !strings.Contains(text, `\ud83d\ude00`) {
				continue
			}
			check(t, strings.ToValidUTF8(text, "?"))
		}
	}
}

func TestWhatOnlyTheStandardLibraryTakesIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"a":2}`:             `the configuration has the key "a" twice in one table`,
		`"\ud83d"`:                  "the configuration is not JSON",
		`"\ud83dx"`:                 "the configuration is not JSON",
		`"\ude00\ud83d"`:            "the configuration is not JSON",
		strings.Repeat("[", 1e6):    "the configuration is nested too deep",
		strings.Repeat(`{"":`, 1e6): "the configuration is nested too deep",
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}
