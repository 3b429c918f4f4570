// The state of the proxy's backends.

import { names, servers, state } from "#proxy";
import { unsigned } from "./numbers.js";
import { toWellFormed } from "./octets.js";

const NAME = "a backend's name";

export const backends = Object.freeze({
  names() {
    return names();
  },

  state(name) {
    const found = state(toWellFormed(name, NAME));
    if (found == null) return undefined;
    return {
      usableServers: unsigned(found.usableServers),
      active: unsigned(found.active),
      queued: unsigned(found.queued),
    };
  },

  servers(name) {
    return servers(toWellFormed(name, NAME))?.map((server) => ({
      name: server.name,
      usable: server.usable,
      weight: unsigned(server.weight),
      active: unsigned(server.active),
      limit: unsigned(server.limit),
      latency: unsigned(server.latency),
    }));
  },

  exists(name) {
    return backends.state(name) !== undefined;
  },
});
