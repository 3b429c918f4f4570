// Package proxy is the SDK's access to the proxy: the contract's imports in the sandbox, a double
// in memory under `go test`.
//
// Both variants have the same functions and types; the build selects one. Plugins must not use this
// package.
package proxy

import "strings"

// Level is the severity of a log line, as the contract numbers it.
type Level uint8

// The contract's levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

// MatchKind is the kind of comparison that a matcher makes.
type MatchKind uint8

// One kind for each define function of the contract that takes entries.
const (
	Exact MatchKind = iota
	Prefix
	PathPrefix
	Suffix
	FirstSuffix
	Domain
	Network
	Regex
)

// Entry is a matcher's entry, and the number that answers the question if the entry matches.
type Entry struct {
	Text   string
	Number uint32
}

// Backend is the load of a backend.
type Backend struct {
	UsableServers uint32
	Active        uint32
	Queued        uint32
}

// Server is the state of a server.
type Server struct {
	Name   string
	Usable bool
	Weight uint32
	Active uint32
	// 0 if there is no limit.
	Limit uint32
	// Latency in microseconds; 0 before the first response.
	Latency uint32
}

// Option is a numeric option of a request.
type Option uint8

// The contract's timeouts, in milliseconds, and the number of tries.
const (
	QueueTimeout Option = iota
	ConnectTimeout
	ServerTimeout
	TunnelTimeout
	Tries
)

// Text converts s to UTF-8, as a WIT string must be. Other octets would trap at the boundary, and
// plugins log and compare values that clients sent.
func Text(s string) string {
	return strings.ToValidUTF8(s, "\uFFFD")
}
