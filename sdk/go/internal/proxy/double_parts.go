//go:build !wasip1

package proxy

import (
	"errors"
	"strconv"
	"strings"
)

// random is a part that only shares can use: a number drawn for each request.
const random = "random"

// checkPart returns an error unless over names a part of a request.
func checkPart(over string) error {
	kind, name, named := strings.Cut(over, ":")
	known := false
	switch kind {
	case "method", "scheme", "authority", "host", "path", "path-with-query", "client-address", "server-name":
		known = !named
	case "query", "cookie":
		known = name != ""
	case "header", "values":
		known = isToken(name)
	case "body-json":
		known = named && (name == "" || name[0] == '/')
	}
	if !known {
		return errors.New(strconv.Quote(over) + " is not a part of a request")
	}
	return nil
}

// part returns each line or member of the part that over names; none if the part is absent.
func (h *Head) part(over string) []string {
	kind, name, _ := strings.Cut(over, ":")
	switch kind {
	case "method":
		return []string{h.Method()}
	case "scheme":
		return []string{h.Scheme()}
	case "authority":
		return []string{h.Authority()}
	case "host":
		return []string{h.Host()}
	case "path":
		return []string{h.Path()}
	case "path-with-query":
		return []string{h.PathWithQuery()}
	case "client-address":
		return []string{h.ClientAddress()}
	case "server-name":
		return some(h.ServerName())
	case "query":
		return some(h.QueryParameter(name))
	case "cookie":
		return some(h.Cookie(name))
	case "header":
		return h.values(name)
	case "values":
		var all []string
		for _, line := range h.values(name) {
			all = append(all, members(line)...)
		}
		return all
	case "body-json":
		return some(h.bodyJSON(name))
	default:
		return nil
	}
}

// bodyJSON returns the member that a pointer names (RFC 6901).
func (h *Head) bodyJSON(pointer string) (string, bool) {
	body, found := h.BodyPrefix()
	if !found || !h.BodyIsComplete() {
		return "", false
	}
	for _, line := range h.values("content-encoding") {
		for _, coding := range members(line) {
			if !strings.EqualFold(coding, "identity") {
				return "", false
			}
		}
	}
	return memberOf(body, pointer)
}

func some(text string, found bool) []string {
	if !found {
		return nil
	}
	return []string{text}
}
