// Readers, which convert the JSON that the proxy passes into the values that a plugin works with.
// Errors name the key. `config.d.ts` has the documentation.

import { backends } from "./src/backends.js";
import { ConfigError } from "./src/errors.js";

export function text(value, path) {
  if (typeof value !== "string") throw expected("a text", value, path);
  return value;
}

export function boolean(value, path) {
  if (typeof value !== "boolean") throw expected("true or false", value, path);
  return value;
}

export function number(value, path) {
  if (typeof value !== "number") throw expected("a number", value, path);
  return value;
}

export function integer(value, path) {
  if (!Number.isSafeInteger(value)) throw expected("a whole number", value, path);
  return value;
}

export function within(smallest, largest, reader = integer) {
  return (value, path) => {
    const read = reader(value, path);
    if (read >= smallest && read <= largest) return read;
    throw new ConfigError(path, `${value} is not within ${smallest} to ${largest}`);
  };
}

export function choice(...texts) {
  const expectation = texts.map((choice) => JSON.stringify(choice)).join(" or ");
  return (value, path) => {
    if (texts.includes(value)) return value;
    throw expected(expectation, value, path);
  };
}

export function backendName(value, path) {
  const name = text(value, path);
  if (backends.exists(name)) return name;
  throw new ConfigError(path, `there is no backend ${JSON.stringify(name)}`);
}

export function list(reader) {
  const read = readerOf(reader);
  return (value, path) => {
    if (!Array.isArray(value)) throw expected("a list", value, path);
    return value.map((element, index) => read(element, at(path, index)));
  };
}

export function record(reader) {
  const read = readerOf(reader);
  return (value, path) => {
    const entries = Object.entries(asTable(value, path));
    return new Map(entries.map(([key, element]) => [key, read(element, at(path, key))]));
  };
}

export function table(shape) {
  const readers = Object.entries(shape).map(([key, reader]) => [key, readerOf(reader)]);
  const known = new Map(readers);
  return (value, path) => {
    const given = asTable(value, path);
    const read = {};
    // Reads keys in the order in which they are written, so that the first error is that of the
    // first wrong key.
    for (const [key, element] of Object.entries(given)) {
      const reader = known.get(key);
      if (reader === undefined) throw new ConfigError(at(path, key), "unknown key");
      read[key] = reader(element, at(path, key));
    }
    for (const [key, reader] of readers) {
      if (Object.hasOwn(given, key)) continue;
      if (!optionals.has(reader)) throw new ConfigError(path, `missing key ${JSON.stringify(key)}`);
      read[key] = optionals.get(reader);
    }
    return read;
  };
}

// The readers of optional keys, and their defaults.
const optionals = new WeakMap();

export function optional(reader, fallback) {
  const read = readerOf(reader);
  const own = (value, path) => read(value, path);
  optionals.set(own, fallback);
  return own;
}

export function at(path, key) {
  if (typeof key === "number") return `${path}[${key}]`;
  return path === "" ? key : `${path}.${key}`;
}

export function expected(what, value, path) {
  return new ConfigError(path, `expected ${what}, found ${shown(value)}`);
}

// Reads the whole configuration.
export function parse(json, reader) {
  let value;
  try {
    value = JSON.parse(json);
  } catch {
    throw new ConfigError("", "the configuration is not JSON");
  }
  return readerOf(reader)(value, "");
}

// A shape can be given in place of `table(shape)`.
function readerOf(reader) {
  if (typeof reader === "function") return reader;
  if (typeof reader === "object" && reader !== null) return table(reader);
  throw new TypeError("a reader is a function, or an object with a reader for each key");
}

function asTable(value, path) {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw expected("a table", value, path);
}

function shown(value) {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a table";
  return JSON.stringify(value);
}
