// Math.random for the sandbox. QuickJS starts when a plugin is built, so its own generator would
// return the same numbers in every instance.

let seed = 0;

Math.random = () => {
  // Each read of the clocks also shows the proxy that the decision depends on more than the
  // request, and must not be cached.
  const now = Math.trunc(performance.now() * 1e6) ^ Date.now();
  seed = (seed + 0x9e3779b9) ^ now;
  return (mix(seed) >>> 5) * 2 ** -27;
};

// The finalizer of MurmurHash3: each input bit changes half of the output bits on average.
function mix(bits) {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
