package pointsman

import (
	"math/rand"
	randv2 "math/rand/v2"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"github.com/pointsman/pointsman/sdk/go/internal/proxy"
)

// Go seeds math/rand only at startup, with random numbers that are the same for every instance. The
// proxy could not detect that a decision depends on them. So the functions of math/rand and
// math/rand/v2 get each number from the proxy.

//go:linkname globalRandGenerator math/rand.globalRandGenerator
var globalRandGenerator atomic.Pointer[rand.Rand]

//go:linkname globalRand math/rand/v2.globalRand
var globalRand *randv2.Rand

// The generator, and its initial state.
var generator, fresh = rand.New(source{}), rand.New(source{})

func init() {
	globalRandGenerator.Store(generator)
	globalRand = randv2.New(source{})
}

// forgetRandom resets the generator, so that rand.Read keeps no part of a number for another
// request.
func forgetRandom() {
	*generator = *fresh
}

// source gets its numbers from the proxy.
type source struct{}

func (source) Uint64() uint64 { return proxy.Random() }

func (source) Int63() int64 { return int64(proxy.Random() >> 1) }

// Seed has no effect, as in math/rand.
func (source) Seed(int64) {}
