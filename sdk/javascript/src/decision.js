// What a plugin answers, in the form that the contract asks for.

import { kindOf, toOctets, toWellFormed } from "./octets.js";

// What `route` may answer with: an object of any other making could trap.
export class Answer {
  constructor(tag, val) {
    this.tag = tag;
    if (val !== undefined) this.val = val;
  }
}

export const Decision = Object.freeze({
  backend(name) {
    return new Answer("backend", toWellFormed(name, "a backend's name"));
  },

  defaultBackend: Object.freeze(new Answer("default-backend")),

  respond(status, { headers = [], body = "" } = {}) {
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError("a status is a whole number from 200 to 599");
    }
    return new Answer("respond", {
      status,
      headers: fields(headers).map(([name, value]) => [
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

// Field lines from an object, or from pairs: [["set-cookie", "a"], ["set-cookie", "b"]].
export function fields(headers) {
  if (typeof headers !== "object" || headers === null) {
    throw new TypeError(`expected an object or a list of pairs, not ${kindOf(headers)}`);
  }
  return typeof headers[Symbol.iterator] === "function" ? [...headers] : Object.entries(headers);
}
