package main

import "strings"

// This file works on octets, since a value need not be UTF-8.

// members returns the values of lines that are lists, without surrounding blanks. A comma inside a
// quoted string does not separate values (RFC 9110, section 5.6.1).
func members(lines []string) []string {
	var members []string
	for _, line := range lines {
		for {
			end := comma(line)
			if end < 0 {
				break
			}
			members = append(members, strings.Trim(line[:end], " \t"))
			line = line[end+1:]
		}
		members = append(members, strings.Trim(line, " \t"))
	}
	return members
}

// comma returns the position of the first comma outside of quotes, or -1 if there is none.
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

// withoutPort returns a host without its port: a for a:80, [::1] for [::1]:80. An address such as
// ::1 stays as it is, since it needs brackets before a port.
func withoutPort(host string) string {
	if strings.HasPrefix(host, "[") {
		if bracket := strings.IndexByte(host, ']'); strings.HasPrefix(host[bracket+1:], ":") {
			return host[:bracket+1]
		}
		return host
	}
	name, port, found := strings.Cut(host, ":")
	if !found || strings.Contains(port, ":") {
		return host
	}
	return name
}

// endsWith reports whether value, in any case, ends with suffix, which is in lower case.
func endsWith(value, suffix string) bool {
	if len(value) < len(suffix) {
		return false
	}
	// Compares from the front: names of one site have the same end, so a difference is found sooner at
	// the front.
	tail := value[len(value)-len(suffix):]
	for i := range len(suffix) {
		if lowerOctet(tail[i]) != suffix[i] {
			return false
		}
	}
	return true
}

// startsLabel reports whether suffix starts at a label of value, which must end with suffix.
func startsLabel(value, suffix string) bool {
	start := len(value) - len(suffix)
	return suffix[0] == '.' || start == 0 || value[start-1] == '.'
}

// lower folds ASCII letters only; strings.ToLower would fold Unicode letters too.
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
