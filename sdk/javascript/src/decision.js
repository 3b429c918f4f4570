// What a plugin answers, in the form that the contract asks for.

import { whole } from "./numbers.js";
import { kindOf, toOctets, toWellFormed } from "./octets.js";

const BACKEND = "a backend's name";
const FALLBACKS = ["another-server", "ask-again"];

// What `route` may answer with: an object of any other making could trap.
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

// Pairs of an object, or of what has them in order: [["set-cookie", "a"], ["set-cookie", "b"]].
export function pairs(given) {
  if (typeof given !== "object" || given === null) {
    throw new TypeError(`expected an object or a list of pairs, not ${kindOf(given)}`);
  }
  return typeof given[Symbol.iterator] === "function" ? [...given] : Object.entries(given);
}
