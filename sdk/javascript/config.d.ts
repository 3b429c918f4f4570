// Readers of a plugin's configuration. Errors name the key, as in `rules[0].port: expected a whole
// number, found "a"`.

import type { ConfigError } from "./index.js";

/**
 * Reads one value, found at `path`, as in `rules[0].suffix`. Throws a `ConfigError` if the value
 * is not usable. A plugin can define its own readers.
 */
export type Reader<T> = (value: unknown, path: string) => T;

/** The shape of a table: a reader for each key. */
export interface Shape {
  readonly [key: string]: Readers;
}

/** A reader, or the shape of a table. */
export type Readers = Reader<any> | Shape;

/** The type of a configuration that these readers have read. */
export type Read<R extends Readers> =
  R extends Reader<infer T> ? T : R extends Shape ? { readonly [K in keyof R]: Read<R[K]> } : never;

/** Reads a string. */
export const text: Reader<string>;
/** Reads true or false. */
export const boolean: Reader<boolean>;
/** Reads any number. */
export const number: Reader<number>;
/** Reads a whole number that JavaScript can represent exactly. */
export const integer: Reader<number>;
/** Reads the name of a backend, which the proxy's configuration must have. */
export const backendName: Reader<string>;

/** Reads a number from `smallest` to `largest`, which must be whole unless `reader` is `number`. */
export function within(smallest: number, largest: number, reader?: Reader<number>): Reader<number>;
/** Reads one of these strings. */
export function choice<const T extends readonly string[]>(...texts: T): Reader<T[number]>;
/** Reads a list, each element with `reader`. */
export function list<R extends Readers>(reader: R): Reader<Read<R>[]>;
/** Reads a table with any keys, each value with `reader`. */
export function record<R extends Readers>(reader: R): Reader<Map<string, Read<R>>>;
/**
 * Reads a table of these keys. All keys are required, except those that are `optional`. Any other
 * key is an error.
 */
export function table<S extends Shape>(shape: S): Reader<Read<S>>;

/** Reads a key that can be missing. Without it, the result is undefined or the given default. */
export function optional<R extends Readers>(reader: R): Reader<Read<R> | undefined>;
export function optional<R extends Readers, const F>(reader: R, fallback: F): Reader<Read<R> | F>;

/** Returns the path of a value in a table or a list: `rules[0]`, `rules[0].suffix`. */
export function at(path: string, key: string | number): string;
/** Returns the error for a value of the wrong type: `expected a text, found 5`. */
export function expected(what: string, value: unknown, path: string): ConfigError;
