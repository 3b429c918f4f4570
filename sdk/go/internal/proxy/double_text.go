//go:build !wasip1

package proxy

import "strings"

// A simple version of the proxy's parsing of fields and targets.

// hostOf returns the host of an authority, in lower case, without port or trailing dot.
func hostOf(authority string) string {
	host := authority
	if bracket := strings.IndexByte(host, ']'); strings.HasPrefix(host, "[") && bracket > 0 {
		host = host[:bracket+1]
	} else {
		host, _, _ = strings.Cut(host, ":")
	}
	return lower(strings.TrimSuffix(host, "."))
}

// lower folds ASCII letters only. strings.ToLower would fold Unicode letters and replace octets
// that are not UTF-8.
func lower(text string) string {
	octets := []byte(text)
	for i, octet := range octets {
		if 'A' <= octet && octet <= 'Z' {
			octets[i] = octet | 0x20
		}
	}
	return string(octets)
}

// parameter returns the first value of a query parameter, decoded.
func parameter(query, name string) (string, bool) {
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair != "" && decoded(key) == name {
			return decoded(value), true
		}
	}
	return "", false
}

// decoded decodes + to a space and %XX to an octet, once. An invalid escape stays as it is.
func decoded(text string) string {
	octets := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		octet := text[i]
		switch {
		case octet == '+':
			octet = ' '
		case octet == '%' && i+2 < len(text):
			high, low := digit(text[i+1]), digit(text[i+2])
			if high|low < 16 {
				octet = high<<4 | low
				i += 2
			}
		}
		octets = append(octets, octet)
	}
	return string(octets)
}

// digit returns the value of a hexadecimal digit; 16 for other octets.
func digit(octet byte) byte {
	switch {
	case '0' <= octet && octet <= '9':
		return octet - '0'
	case 'a' <= octet|0x20 && octet|0x20 <= 'f':
		return octet | 0x20 - 'a' + 10
	default:
		return 16
	}
}

// cookie finds a cookie in a line (RFC 6265, section 5.4).
func cookie(line, name string) (string, bool) {
	for pair := range strings.SplitSeq(line, ";") {
		key, value, found := strings.Cut(strings.Trim(pair, blanks), "=")
		if found && key == name {
			return value, true
		}
	}
	return "", false
}

// blanks are the characters that can surround a cookie or a member of a list.
const blanks = " \t"

// members returns the members of a comma-separated list, except empty ones. A comma inside a quoted
// string does not separate members (RFC 9110, section 5.6.4).
func members(line string) []string {
	var members []string
	add := func(member string) {
		if member = strings.Trim(member, blanks); member != "" {
			members = append(members, member)
		}
	}
	start, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch octet := line[i]; {
		case octet == '"':
			quoted = !quoted
		case octet == '\\' && quoted:
			i++
		case octet == ',' && !quoted:
			add(line[start:i])
			start = i + 1
		}
	}
	add(line[start:])
	return members
}

// isToken reports whether name is a token (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		octet := name[i]
		letter := 'a' <= octet|0x20 && octet|0x20 <= 'z'
		digit := '0' <= octet && octet <= '9'
		if !letter && !digit && !strings.Contains("!#$%&'*+-.^_`|~", string(rune(octet))) {
			return false
		}
	}
	return name != ""
}
