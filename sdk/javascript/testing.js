// Tests of a plugin without the proxy: in Node, in memory, with the same glue code. `testing.d.ts`
// has the documentation.

import { takeLog, use } from "./src/double.js";
import { again } from "./src/plugin.js";
import { Backends } from "./testing/backends.js";
import { Head } from "./testing/head.js";
import { Questions } from "./testing/questions.js";

export { takeLog };

export function configure(plugin, config = {}, backends = [], { tables = {}, shares = [] } = {}) {
  const proxy = { backends: new Backends(backends) };
  proxy.questions = new Questions(proxy.backends.map, tables);
  const fresh = again(plugin);
  const json = typeof config === "string" ? config : JSON.stringify(config);
  use(proxy);
  const cacheability = answer(() => fresh.configure(json));
  return {
    cacheable: cacheability === "cacheable",
    backends: proxy.backends.map,
    shares: new Set(shares),
    setUsable(name, usable) {
      for (const server of this.backends.get(name).servers) server.usable = usable;
    },
    route(head) {
      use(proxy);
      head.enter(proxy.questions, this.shares);
      try {
        return answer(() => fresh.route(head));
      } finally {
        head.leave();
      }
    },
  };
}

// The contract's errors are strings, but tests expect Error objects.
function answer(call) {
  try {
    return call();
  } catch (thrown) {
    throw new Error(thrown);
  }
}

export function request(target = "/", options = {}) {
  return new Head(target, options);
}
