package pointsman

import (
	"math"
	"strconv"
	"time"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// MaxTries is the largest number that SetTries accepts.
const MaxTries = 16

// SetAffinity sends requests with the same key to the same server while that server is usable. Only
// the first 4 KiB of the key count. The key is octets.
func (r *Request) SetAffinity(key string) {
	r.head.SetAffinity(key)
}

// SetAffinityBy does the same as SetAffinity, with the answer to question as the key. The answer
// does not become part of the decision's cache key: sticky sessions need one cached decision in
// total, not one for each session.
func (r *Request) SetAffinityBy(question *ValueQuestion) {
	r.head.SetAffinityBy(question.ask())
}

// SetQueueTimeout sets the longest wait for a free slot, in place of the backend's timeout.queue. 0
// means not to wait.
func (r *Request) SetQueueTimeout(timeout time.Duration) {
	r.head.SetOption(proxy.QueueTimeout, milliseconds(timeout))
}

// SetConnectTimeout sets the longest time to connect to a server, in place of the backend's
// timeout.connect. It must be above 0.
func (r *Request) SetConnectTimeout(timeout time.Duration) {
	r.setTimeout(proxy.ConnectTimeout, timeout)
}

// SetServerTimeout sets how long the server can be silent, in place of the backend's
// timeout.server. It must be above 0.
func (r *Request) SetServerTimeout(timeout time.Duration) {
	r.setTimeout(proxy.ServerTimeout, timeout)
}

// SetTunnelTimeout sets how long a tunnel that starts with this request can be silent, in place of
// the backend's timeout.tunnel. It must be above 0.
func (r *Request) SetTunnelTimeout(timeout time.Duration) {
	r.setTimeout(proxy.TunnelTimeout, timeout)
}

func (r *Request) setTimeout(option proxy.Option, timeout time.Duration) {
	if timeout == 0 {
		panic("a timeout of 0 is for the queue only")
	}
	r.head.SetOption(option, milliseconds(timeout))
}

// milliseconds rounds up, so that a short timeout does not become 0. A timeout above the contract's
// maximum of 49 days becomes that maximum.
func milliseconds(timeout time.Duration) uint32 {
	if timeout < 0 {
		panic("a timeout must not be negative: " + timeout.String())
	}
	whole := timeout / time.Millisecond
	if timeout%time.Millisecond > 0 {
		whole++
	}
	return uint32(min(whole, math.MaxUint32))
}

// SetTries sets how many times the request can be sent in total, 1 to MaxTries. The request is sent
// again only if that is safe.
func (r *Request) SetTries(tries int) {
	if tries < 1 || tries > MaxTries {
		panic("tries must be 1 to " + strconv.Itoa(MaxTries) + ": " + strconv.Itoa(tries))
	}
	r.head.SetOption(proxy.Tries, uint32(tries))
}

// Tag adds a name and a value to the access log record and to the trace, but never to a metric's
// labels. A request can have at most 16 tags. A value is truncated to 256 bytes. A name is a token
// (RFC 9110, section 5.6.2) of at most 64 bytes.
func (r *Request) Tag(name, value string) {
	r.head.Tag(name, value)
}

// TagBy does the same as Tag, with the answer to question as the value. The answer does not become
// part of the decision's cache key.
func (r *Request) TagBy(name string, question *ValueQuestion) {
	r.head.TagBy(name, question.ask())
}
