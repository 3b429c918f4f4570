// Readers of a plugin's configuration. Errors name the key, as in
// `rules[0].port: expected a whole number, found "a"`.

import type { ConfigError } from "./index.js";

/**
 * Reads one value, found at `path`, as in `rules[0].suffix`. It throws a `ConfigError` for one that
 * is of no use. A plugin may have its own.
 */
export type Reader<T> = (value: unknown, path: string) => T;

/** What reads a table: a reader for each key. */
export interface Shape {
  readonly [key: string]: Readers;
}

/** A reader, or the shape of a table. */
export type Readers = Reader<any> | Shape;

/** What readers make of a configuration. */
export type Read<R extends Readers> =
  R extends Reader<infer T> ? T : R extends Shape ? { readonly [K in keyof R]: Read<R[K]> } : never;

/** A text. */
export const text: Reader<string>;
/** True or false. */
export const boolean: Reader<boolean>;
/** Any number. */
export const number: Reader<number>;
/** A whole number that JavaScript has without loss. */
export const integer: Reader<number>;
/** The name of a backend that the proxy's configuration has. */
export const backendName: Reader<string>;

/** A number from `smallest` to `largest`, whole unless `reader` is `number`. */
export function within(smallest: number, largest: number, reader?: Reader<number>): Reader<number>;
/** One of these texts. */
export function choice<const T extends readonly string[]>(...texts: T): Reader<T[number]>;
/** A list of what `reader` reads. */
export function list<R extends Readers>(reader: R): Reader<Read<R>[]>;
/** A table whose keys are free, with what `reader` reads at each. */
export function record<R extends Readers>(reader: R): Reader<Map<string, Read<R>>>;
/** A table of these keys: all are required, but for those that are `optional`; no other may be. */
export function table<S extends Shape>(shape: S): Reader<Read<S>>;

/** A key that may be missing, and what is read then. */
export function optional<R extends Readers>(reader: R): Reader<Read<R> | undefined>;
export function optional<R extends Readers, const F>(reader: R, fallback: F): Reader<Read<R> | F>;

/** The path of what is in a table or a list: `rules[0]`, `rules[0].suffix`. */
export function at(path: string, key: string | number): string;
/** The error of a value of the wrong type: `expected a text, found 5`. */
export function expected(what: string, value: unknown, path: string): ConfigError;
