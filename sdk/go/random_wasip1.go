package pointsman

import (
	"math/rand"
	randv2 "math/rand/v2"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// Go seeds math/rand from numbers that it takes as it starts, when they are the same for every
// instance, and never asks for more: the proxy would not see that a decision follows from them.
// So the functions of math/rand and math/rand/v2 get each number from the proxy.

//go:linkname globalRandGenerator math/rand.globalRandGenerator
var globalRandGenerator atomic.Pointer[rand.Rand]

//go:linkname globalRand math/rand/v2.globalRand
var globalRand *randv2.Rand

// generator and its state of the beginning.
var generator, fresh = rand.New(source{}), rand.New(source{})

func init() {
	globalRandGenerator.Store(generator)
	globalRand = randv2.New(source{})
}

// forgetRandom has rand.Read keep nothing of a number for another request.
func forgetRandom() {
	*generator = *fresh
}

// source is the proxy.
type source struct{}

func (source) Uint64() uint64 { return proxy.Random() }

func (source) Int63() int64 { return int64(proxy.Random() >> 1) }

// Seed has no effect, as that of math/rand has none.
func (source) Seed(int64) {}
