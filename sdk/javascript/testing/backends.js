// Backends in memory, as tests set them and plugins see them.

export class Backends {
  map;

  // `given` is names, each with one server of the same name, or an object with the names of
  // servers. Servers are usable and idle.
  constructor(given) {
    const named =
      typeof given[Symbol.iterator] === "function"
        ? Array.from(given, (name) => [name, [name]])
        : Object.entries(given);
    this.map = new Map(
      named.map(([name, servers]) => [name, { queued: 0, servers: servers.map(idle) }]),
    );
  }

  names() {
    return [...this.map.keys()];
  }

  state(name) {
    const backend = this.map.get(name);
    if (backend === undefined) return null;
    return {
      usableServers: backend.servers.filter(({ usable }) => usable).length,
      active: backend.servers.reduce((sum, { active }) => sum + active, 0),
      queued: backend.queued,
    };
  }

  servers(name) {
    // An option without a value is null in the sandbox.
    const copy = (server) => ({ limit: null, latency: null, ...server });
    return this.map.get(name)?.servers.map(copy) ?? null;
  }
}

function idle(name) {
  return { name, usable: true, weight: 1, active: 0 };
}
