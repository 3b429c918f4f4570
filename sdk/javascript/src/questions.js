// Questions about a request that the proxy answers by itself. `questions.d.ts` has the
// documentation.

import * as proxy from "#proxy";
import { Answer, pairs } from "./decision.js";
import { ConfigError, attempt } from "./errors.js";
import { whole } from "./numbers.js";
import { toWellFormed } from "./octets.js";

const MILLION = 1_000_000;

// Set while a plugin is being configured. A definition at any other time would trap.
let isDefining = false;

// Runs `configure`, which can define questions.
export function defining(configure) {
  isDefining = true;
  try {
    return configure();
  } finally {
    isDefining = false;
  }
}

export class Question {
  constructor(number) {
    this.number = number;
  }
}

class Matcher extends Question {
  #values;

  constructor(number, values) {
    super(number);
    this.#values = values;
  }

  answer(head) {
    // No entry has the number 0, so 0 finds no value.
    return this.#values[head.ask(this.number) ?? 0];
  }
}

class Fact extends Question {
  answer(head) {
    return head.ask(this.number) != null;
  }
}

export class ValueQuestion extends Question {
  answer(head) {
    return head.askValue(this.number) ?? undefined;
  }
}

export const questions = Object.freeze({
  exact: cased(proxy.defineExact),
  prefix: cased(proxy.definePrefix),
  pathPrefix: cased(proxy.definePathPrefix),
  suffix: cased(proxy.defineSuffix),
  firstSuffix: cased(proxy.defineFirstSuffix),
  domain: uncased(proxy.defineDomain),
  network: uncased(proxy.defineNetwork),
  regex: uncased(proxy.defineRegex),

  share(over, { salt, perMillion, key }) {
    whole(perMillion, "perMillion", 0, MILLION);
    const texts = [partOf(over), toWellFormed(salt, "a salt")];
    return new Fact(define(key, () => proxy.defineShare(...texts, perMillion)));
  },

  lookUp(table, over, { key } = {}) {
    const texts = [toWellFormed(table, "a table's name"), partOf(over)];
    return new ValueQuestion(define(key, () => proxy.defineLookUp(...texts)));
  },

  value(over, { key } = {}) {
    const part = partOf(over);
    return new ValueQuestion(define(key, () => proxy.defineValue(part)));
  },

  usable(backend, { key } = {}) {
    const name = toWellFormed(backend, "a backend's name");
    return new Fact(define(key, () => proxy.defineUsable(name)));
  },
});

function cased(define) {
  return (over, entries, { ignoreCase = false, key } = {}) =>
    matcher((part, numbered) => define(part, Boolean(ignoreCase), numbered), over, entries, key);
}

function uncased(define) {
  return (over, entries, { key } = {}) => matcher(define, over, entries, key);
}

function matcher(defineMatcher, over, entries, key) {
  const part = partOf(over);
  const values = [undefined];
  // Decisions are equal if their contents are. Other values are compared as a Map compares its
  // keys.
  const [decisions, others] = [new Map(), new Map()];
  const numbered = pairs(entries).map(([entry, value]) => {
    const isDecision = value instanceof Answer;
    const numbers = isDecision ? decisions : others;
    const identity = isDecision ? JSON.stringify(value) : value;
    let number = numbers.get(identity);
    if (number === undefined) {
      number = values.push(value) - 1;
      numbers.set(identity, number);
    }
    return [toWellFormed(entry, "an entry"), number];
  });
  return new Matcher(
    define(key, () => defineMatcher(part, numbered)),
    values,
  );
}

function define(key = "", call) {
  if (!isDefining) throw new TypeError("questions are defined in `configure`");
  return attempt(call, (reason) => new ConfigError(key, reason));
}

function partOf(over) {
  return toWellFormed(over, "a part of the request");
}
