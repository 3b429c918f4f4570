// Math.random for the sandbox. QuickJS is started when a plugin is built, so that its own would
// give the same numbers to every instance.

let seed = 0;

Math.random = () => {
  // A look at the clocks, each time, also tells the proxy that the decision follows from more
  // than the request, and is not to be cached.
  const now = Math.trunc(performance.now() * 1e6) ^ Date.now();
  seed = (seed + 0x9e3779b9) ^ now;
  return (mix(seed) >>> 5) * 2 ** -27;
};

// The finaliser of MurmurHash3: each bit of what comes in changes half of what comes out.
function mix(bits) {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
