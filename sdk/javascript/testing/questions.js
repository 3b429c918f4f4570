// Questions, answered by trying every entry. Octets are strings with one character per octet.

import { BlockList, isIP } from "node:net";

import { toOctets, toUtf8 } from "../src/octets.js";
import { readerOf } from "./parts.js";

const MILLION = 1_000_000;

// An error that would be a trap in the proxy.
export class Trap extends Error {}

// Makes an error in the form in which the sandbox throws it.
export function refusal(reason) {
  return Object.assign(new Error(reason), { payload: reason });
}

// The questions of one plugin. Its methods are the contract's functions that define them.
export class Questions {
  #defined = [];
  #backends;
  #tables;

  constructor(backends, tables) {
    this.#backends = backends;
    this.#tables = new Map(Object.entries(tables));
  }

  // Returns the question with this number. It is a trap if there is no such question, or if the
  // question is of the other kind.
  find(number, isValue) {
    const question = this.#defined[number];
    if (question === undefined) throw new Trap(`question ${number} was not defined`);
    if (question.isValue === isValue) return question;
    const answer = question.isValue ? "a value" : "a number";
    throw new Trap(`the answer to question ${number} is ${answer}`);
  }

  exact(over, ignoreCase, entries) {
    const fold = foldOf(ignoreCase);
    const read = reader(over);
    const numbers = new Map(ranked(entries, fold, (entry) => entry));
    // If there are several values, the first that matches wins.
    const answer = (head) => {
      const found = read(head)
        .map(fold)
        .find((value) => numbers.has(value));
      return numbers.get(found) ?? null;
    };
    return this.#define(`exact over ${over}`, answer);
  }

  prefix(over, ignoreCase, entries) {
    const rank = (entry) => (value) => (value.startsWith(entry) ? entry.length : undefined);
    return this.#best("prefix", over, entries, foldOf(ignoreCase), rank);
  }

  pathPrefix(over, ignoreCase, entries) {
    const fold = foldOf(ignoreCase);
    const normal = (entry) => fold(entry).replace(/\/$/, "");
    const rank = (entry) => (value) =>
      `${value}/`.startsWith(`${entry}/`) ? entry.length : undefined;
    return this.#best("path-prefix", over, entries, fold, rank, normal);
  }

  suffix(over, ignoreCase, entries) {
    const rank = (entry) => (value) => (value.endsWith(entry) ? entry.length : undefined);
    return this.#best("suffix", over, entries, foldOf(ignoreCase), rank);
  }

  firstSuffix(over, ignoreCase, entries) {
    const rank = (entry) => (value) => (value.endsWith(entry) ? 0 : undefined);
    return this.#best("first-suffix", over, entries, foldOf(ignoreCase), rank);
  }

  domain(over, entries) {
    const rank = (entry) => (value) =>
      `.${value}`.endsWith(`.${entry}`) ? entry.length : undefined;
    return this.#best("domain", over, entries, foldOf(true), rank);
  }

  network(over, entries) {
    return this.#best("network", over, entries, foldOf(false), rankOfNetwork);
  }

  regex(over, entries) {
    return this.#best("regex", over, entries, caseless, rankOfRegex);
  }

  share(over, salt, perMillion) {
    const read = over === "random" ? () => ["1"] : reader(over);
    const answer = (head) => {
      if (!read(head)[0] || perMillion === 0) return null;
      return perMillion === MILLION || head.shares.has(salt) ? 1 : null;
    };
    return this.#define(`share ${salt} over ${over}`, answer);
  }

  lookUp(table, over) {
    const read = reader(over);
    const rows = this.#tables.get(table);
    if (rows === undefined)
      throw refusal(`there is no table ${JSON.stringify(table)} in the configuration`);
    const values = new Map(Object.entries(rows).map(([key, value]) => [toUtf8(key), value]));
    const answer = (head) => octetsOf(values.get(read(head)[0]));
    return this.#define(`look-up ${table} over ${over}`, answer, true);
  }

  value(over) {
    const read = reader(over);
    const answer = (head) => octetsOf(toOctetsOf(read(head)[0]));
    return this.#define(`value over ${over}`, answer, true);
  }

  usable(name) {
    const backend = this.#backends.get(name);
    if (backend === undefined)
      throw refusal(`there is no backend ${JSON.stringify(name)} in the configuration`);
    const answer = () => (backend.servers.some(({ usable }) => usable) ? 1 : null);
    return this.#define(`usable ${name}`, answer);
  }

  #define(shown, answer, isValue = false) {
    return this.#defined.push({ shown, answer, isValue }) - 1;
  }

  // If there are several values, the best match wins: the entry with the highest rank, or the first
  // of several with the same rank.
  #best(kind, over, entries, fold, rankOf, normal = fold) {
    const read = reader(over);
    const ranks = ranked(entries, normal, rankOf);
    const answer = (head) => {
      const values = read(head).map(fold);
      let best = { rank: -1, number: null };
      for (const [rank, number] of ranks) {
        for (const value of values) {
          if (rank(value) > best.rank) best = { rank: rank(value), number };
        }
      }
      return best.number;
    };
    return this.#define(`${kind} over ${over}`, answer);
  }
}

function reader(over) {
  const read = readerOf(over);
  if (read) return read;
  throw refusal(`${JSON.stringify(over)} is not a part of a request`);
}

// Returns the comparison of each entry, with its number. Equal entries, and invalid ones, are
// errors.
function ranked(entries, normal, rankOf) {
  const known = new Map();
  return entries.map(([entry, number], index) => {
    const at = index + 1;
    const octets = normal(toUtf8(entry));
    if (known.has(octets)) {
      throw refusal(`entry ${at} repeats entry ${known.get(octets)}, ${JSON.stringify(entry)}`);
    }
    known.set(octets, at);
    try {
      return [rankOf(octets), number];
    } catch (error) {
      throw refusal(`entry ${at}, ${JSON.stringify(entry)}, is not ${error.message}`);
    }
  });
}

// Folds only ASCII case.
function foldOf(ignoreCase) {
  const lower = (octets) => octets.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
  return ignoreCase ? lower : (octets) => octets;
}

function rankOfNetwork(entry) {
  const [address, digits] = entry.split(/\/(?=[0-9]+$)/);
  const version = isIP(address);
  const length = Number(digits ?? (version === 4 ? 32 : 128));
  if (version === 0 || length > (version === 4 ? 32 : 128)) {
    throw new Error("a network (CIDR), as in 192.0.2.0/24");
  }
  const network = new BlockList();
  network.addSubnet(address, length, `ipv${version}`);
  return (value) =>
    isIP(value) === version && network.check(value, `ipv${version}`) ? length : undefined;
}

// Maps octets beyond ASCII to characters that have no case. Otherwise, a RegExp with the flag i would
// treat them as Latin-1 letters and ignore their case.
function caseless(octets) {
  return octets.replace(/[\x80-\xff]/g, (octet) =>
    String.fromCharCode(0xe000 + octet.charCodeAt(0)),
  );
}

// Flags can be at the start, as in `(?i)`. Matching on octets is implied.
function rankOfRegex(entry) {
  const [flags, set] = /^\(\?([ims]*)(?:-u)?\)/.exec(entry) ?? ["", ""];
  const pattern = compiled(entry.slice(flags.length), set);
  return (value) => (pattern.test(value) ? 0 : undefined);
}

function compiled(source, flags) {
  try {
    return new RegExp(source, flags);
  } catch (error) {
    throw new Error(`a regular expression: ${error.message}`);
  }
}

function toOctetsOf(octets) {
  return octets === undefined ? undefined : Uint8Array.from(octets, (one) => one.charCodeAt(0));
}

function octetsOf(value) {
  return value === undefined ? null : toOctets(value);
}
