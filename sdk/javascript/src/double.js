// What stands in for the proxy in native tests: backends and a log in memory. `testing.js`
// sets it up.

const backends = new Map();
let lines = [];

export function state(name) {
  return backends.get(name) ?? null;
}

export function write(level, message) {
  lines.push({ level, message });
}

// Starts anew, with these backends, each with one server.
export function reset(names) {
  backends.clear();
  for (const name of names) set(name, {});
  lines = [];
}

export function set(name, { usableServers = 1, active = 0, queued = 0 }) {
  backends.set(name, { usableServers, active, queued });
}

export function takeLog() {
  const taken = lines;
  lines = [];
  return taken;
}
