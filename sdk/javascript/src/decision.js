// Decisions of a plugin, in the form that the contract requires.

import { whole } from "./numbers.js";
import { kindOf, toOctets, toWellFormed } from "./octets.js";

const BACKEND = "a backend's name";
const FALLBACKS = ["another-server", "ask-again"];

// The only type that `route` can return: an object made in another way could trap.
export class Answer {
  constructor(tag, val) {
    this.tag = tag;
    if (val !== undefined) this.val = val;
  }
}

export const Decision = Object.freeze({
  backend(name) {
    return new Answer("backend", toWellFormed(name, BACKEND));
  },

  defaultBackend: Object.freeze(new Answer("default-backend")),

  next: Object.freeze(new Answer("next")),

  server(backend, server, { otherwise = "another-server" } = {}) {
    if (!FALLBACKS.includes(otherwise)) {
      throw new TypeError(`otherwise is ${FALLBACKS.map((one) => `"${one}"`).join(" or ")}`);
    }
    return new Answer("server", {
      backend: toWellFormed(backend, BACKEND),
      server: toWellFormed(server, "a server's name"),
      otherwise,
    });
  },

  respond(status, { headers = [], body = "" } = {}) {
    return new Answer("respond", {
      status: whole(status, "a status", 200, 599),
      headers: pairs(headers).map(([name, value]) => [
        toWellFormed(name, "a field's name"),
        toOctets(value),
      ]),
      body: toOctets(body),
    });
  },

  redirect(status, location) {
    return Decision.respond(status, { headers: [["location", location]] });
  },
});

// Returns the pairs of an object, or of an iterable that contains pairs in order: [["set-cookie",
// "a"], ["set-cookie", "b"]].
export function pairs(given) {
  if (typeof given !== "object" || given === null) {
    throw new TypeError(`expected an object or a list of pairs, not ${kindOf(given)}`);
  }
  return typeof given[Symbol.iterator] === "function" ? [...given] : Object.entries(given);
}
