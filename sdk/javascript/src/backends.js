// What the proxy knows about its backends.

import { state } from "#proxy";
import { toWellFormed } from "./octets.js";

export const backends = Object.freeze({
  state(name) {
    return state(toWellFormed(name, "a backend's name")) ?? undefined;
  },
  exists(name) {
    return backends.state(name) !== undefined;
  },
});
