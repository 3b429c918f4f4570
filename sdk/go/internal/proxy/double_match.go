//go:build !wasip1

package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// best returns the number of the entry that matches best, over all lines or members of a part. If
// two match equally well, the first entry wins.
func (q *Question) best(part []string) (number uint32, found bool) {
	best := 0
	for _, value := range part {
		for i, entry := range q.entries {
			rank, matches := q.rank(value, entry.Text, i)
			if matches && (!found || rank > best) {
				best, number, found = rank, entry.Number, true
			}
		}
	}
	return number, found
}

// rank reports whether an entry matches, and how well.
func (q *Question) rank(value, entry string, index int) (rank int, matches bool) {
	value, entry = q.folded(value), q.folded(q.trimmed(entry))
	switch q.match {
	case Exact:
		// All matches have the same rank, so the first line wins.
		return 0, value == entry
	case Prefix:
		return len(entry), strings.HasPrefix(value, entry)
	case PathPrefix:
		rest, matches := strings.CutPrefix(value, entry)
		return len(entry), matches && (rest == "" || rest[0] == '/')
	case Suffix:
		return len(entry), strings.HasSuffix(value, entry)
	case FirstSuffix:
		return -index, strings.HasSuffix(value, entry)
	case Domain:
		rest, matches := strings.CutSuffix(strings.TrimSuffix(value, "."), entry)
		return len(entry), matches && (rest == "" || strings.HasSuffix(rest, "."))
	case Network:
		network, _ := parseNetwork(entry)
		if strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") {
			value = value[1 : len(value)-1]
		}
		address, err := netip.ParseAddr(value)
		return network.Bits(), err == nil && network.Contains(address.Unmap())
	default:
		return -index, regexp.MustCompile(entry).MatchString(value)
	}
}

// parseNetwork parses a network in CIDR notation, or an address. IPv4-mapped IPv6 becomes IPv4.
func parseNetwork(text string) (netip.Prefix, error) {
	errNoNetwork := errors.New("a network (CIDR), as in 192.0.2.0/24")
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errNoNetwork
	}
	if address := network.Addr(); address.Is4In6() {
		bits := network.Bits() - (address.BitLen() - address.Unmap().BitLen())
		if bits < 0 {
			return netip.Prefix{}, errNoNetwork
		}
		network = netip.PrefixFrom(address.Unmap(), bits)
	}
	if network != network.Masked() {
		return netip.Prefix{}, fmt.Errorf("a network: it begins at %v", network.Masked())
	}
	return network, nil
}

// isDomain reports whether name consists of labels of a host name.
func isDomain(name string) bool {
	notAllowed := func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, notAllowed) {
			return false
		}
	}
	return true
}
