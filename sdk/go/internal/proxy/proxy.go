// Package proxy is the proxy as the SDK sees it: the contract's imports in the sandbox,
// a double in memory under `go test`.
//
// Both sides have the same functions and types; which one there is follows from the
// build. Nothing here is for plugins.
package proxy

import "strings"

// Client is the peer that sent a request.
type Client struct {
	Address string
	Port    uint16
}

// TLS has the facts of a session; what is not there is empty.
type TLS struct {
	ServerName string
	ALPN       string
}

// State is the load of a backend.
type State struct {
	UsableServers uint32
	Active        uint32
	Queued        uint32
}

// Level is how much a line in the log matters, as the contract numbers it.
type Level uint8

// The contract's levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

// Edited is what became of an edit.
type Edited uint8

// The contract's answers to an edit.
const (
	Done Edited = iota
	InvalidSyntax
	Forbidden
)

// Text makes a WIT string of s: one that is not UTF-8 would trap on its way out, and a
// plugin may well log or compare what a client sent.
func Text(s string) string {
	return strings.ToValidUTF8(s, "\uFFFD")
}
