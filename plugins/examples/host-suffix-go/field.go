package main

import "iter"

// Octets throughout: a value need not be UTF-8. No allocation: this runs for each request that
// no cached decision covers.

// values are those of a line that is a list: what stands between commas, without the
// blanks around it. A comma in a quoted text separates nothing (RFC 9110, section 5.6.1).
func values(line string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			end := comma(line)
			if end < 0 {
				yield(trim(line))
				return
			}
			if !yield(trim(line[:end])) {
				return
			}
			line = line[end+1:]
		}
	}
}

// comma is where the first one is that stands outside of quotes; -1 if none does.
func comma(line string) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch octet := line[i]; {
		case octet == '"':
			quoted = !quoted
		case octet == '\\' && quoted:
			i++
		case octet == ',' && !quoted:
			return i
		}
	}
	return -1
}

// trim cuts off blanks around a value. Not strings.TrimSpace, which takes octets for letters
// of Unicode.
func trim(value string) string {
	for value != "" && isBlank(value[0]) {
		value = value[1:]
	}
	for value != "" && isBlank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return value
}

func isBlank(octet byte) bool {
	return octet == ' ' || '\t' <= octet && octet <= '\r' && octet != '\v'
}

// endsWith tells whether a value ends with a suffix, which is in lower case, whatever its own
// case.
func endsWith(value, suffix string) bool {
	if len(value) < len(suffix) {
		return false
	}
	// From the front: names of one site differ there, and end alike.
	tail := value[len(value)-len(suffix):]
	for i := range len(suffix) {
		if lowerOctet(tail[i]) != suffix[i] {
			return false
		}
	}
	return true
}

// startsLabel tells whether a suffix, with which a value ends, starts where a label does.
func startsLabel(value, suffix string) bool {
	start := len(value) - len(suffix)
	return suffix[0] == '.' || start == 0 || value[start-1] == '.'
}

// lower folds ASCII's letters. Not strings.ToLower, which folds Unicode's too.
func lower(text string) string {
	octets := []byte(text)
	for i, octet := range octets {
		octets[i] = lowerOctet(octet)
	}
	return string(octets)
}

func lowerOctet(octet byte) byte {
	if 'A' <= octet && octet <= 'Z' {
		octet |= 0x20
	}
	return octet
}
