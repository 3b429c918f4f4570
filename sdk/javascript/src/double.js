// The module `#proxy` in native tests. `testing.js` sets the proxy in memory that answers its
// calls.

let proxy;
let lines = [];

// Uses these backends and questions from now on.
export function use(other) {
  proxy = other;
}

export function names() {
  return proxy.backends.names();
}

export function state(name) {
  return proxy.backends.state(name);
}

export function servers(name) {
  return proxy.backends.servers(name);
}

export function write(level, message) {
  lines.push({ level, message });
}

export function takeLog() {
  const taken = lines;
  lines = [];
  return taken;
}

const define =
  (kind) =>
  (...values) =>
    proxy.questions[kind](...values);

export const defineDomain = define("domain");
export const defineExact = define("exact");
export const defineFirstSuffix = define("firstSuffix");
export const defineLookUp = define("lookUp");
export const defineNetwork = define("network");
export const definePathPrefix = define("pathPrefix");
export const definePrefix = define("prefix");
export const defineRegex = define("regex");
export const defineShare = define("share");
export const defineSuffix = define("suffix");
export const defineUsable = define("usable");
export const defineValue = define("value");
