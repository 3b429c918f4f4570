package pointsman

import (
	"math"
	"strconv"
	"time"

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// MaxTries is the largest number that SetTries takes.
const MaxTries = 16

// SetAffinity sends requests with the same key, which is octets, to the same server while it
// is usable.
func (r *Request) SetAffinity(key string) {
	r.head.SetAffinity(key)
}

// SetAffinityBy does the same with the answer to a question as the key, which becomes no part
// of the decision's cache key: sticky sessions need one cached decision, not one for each.
func (r *Request) SetAffinityBy(question *ValueQuestion) {
	r.head.SetAffinityBy(question.ask())
}

// SetQueueTimeout limits the wait for a free slot of a server. 0 means not to wait.
func (r *Request) SetQueueTimeout(timeout time.Duration) {
	r.head.SetOption(proxy.QueueTimeout, milliseconds(timeout))
}

// SetConnectTimeout limits the time to connect to a server. More than 0.
func (r *Request) SetConnectTimeout(timeout time.Duration) {
	r.setTimeout(proxy.ConnectTimeout, timeout)
}

// SetServerTimeout limits how long the server may be silent. More than 0.
func (r *Request) SetServerTimeout(timeout time.Duration) {
	r.setTimeout(proxy.ServerTimeout, timeout)
}

// SetTunnelTimeout limits how long a tunnel, such as a WebSocket, may be silent. More than 0.
func (r *Request) SetTunnelTimeout(timeout time.Duration) {
	r.setTimeout(proxy.TunnelTimeout, timeout)
}

func (r *Request) setTimeout(option proxy.Option, timeout time.Duration) {
	if timeout == 0 {
		panic("a timeout of 0 is for the queue only")
	}
	r.head.SetOption(option, milliseconds(timeout))
}

// milliseconds rounds up, so that no timeout becomes 0. A time too long for the contract, of
// 49 days, becomes the longest.
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

// SetTries sets how often the request may be sent in all, 1 to MaxTries, where that is safe.
func (r *Request) SetTries(tries int) {
	if tries < 1 || tries > MaxTries {
		panic("tries must be 1 to " + strconv.Itoa(MaxTries) + ": " + strconv.Itoa(tries))
	}
	r.head.SetOption(proxy.Tries, uint32(tries))
}

// Tag adds a name and a value to the access record and the trace; they are never a metric's
// label. A name is a token (RFC 9110, section 5.6.2) of at most 64 bytes, a value is cut after 256
// bytes, and there are at most 16 tags.
func (r *Request) Tag(name, value string) {
	r.head.Tag(name, value)
}

// TagBy adds a tag whose value is the answer to a question, which becomes no part of the
// decision's cache key.
func (r *Request) TagBy(name string, question *ValueQuestion) {
	r.head.TagBy(name, question.ask())
}
