// Questions about a request that the proxy answers by itself.

declare const answer: unique symbol;

/** A question that was defined; `request.ask` answers it. */
export interface Question<A> {
  /** Its number in the contract. */
  readonly number: number;
  readonly [answer]: A;
}

/**
 * A question whose answer is octets. `setHeaderBy`, `setAffinityBy` and `tagBy` use the answer
 * without making it a part of the key under which a decision is cached.
 */
export interface ValueQuestion extends Question<Uint8Array | undefined> {
  readonly isValue: true;
}

/**
 * Entries, each with a value of any kind: an object, a Map, or pairs. Use a Map or pairs if their
 * order matters. No two entries may be equal. Entries with equal values (as keys of a Map are equal;
 * decisions if they say the same) share one cached decision.
 */
export type Entries<T> = Readonly<Record<string, T>> | Iterable<readonly [entry: string, value: T]>;

/** Where an error is shown: the path of the configuration's key, as in `rules[0].suffix`. */
export interface At {
  key?: string;
}

/** Whether ASCII case is ignored: it is not, unless this says so. */
export interface Case {
  ignoreCase?: boolean;
}

/** Answered with the value of the entry that matches; undefined if none does. */
export type Matcher<T> = Question<T | undefined>;

/**
 * Define questions in `configure`, ask them in `route`: the proxy answers by itself, and keeps
 * decisions under the answers, so that one decision serves every request with the same answers.
 *
 * `over` names the part of the request: `method`, `scheme`, `authority`, `host`, `path`,
 * `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each member of a
 * comma-separated list), `cookie:NAME`, `client-address`, `server-name` or `body-json:POINTER`
 * (RFC 6901).
 *
 * A definition that the proxy refuses throws a `ConfigError`. If one entry is at fault, its `entry`
 * tells which, and `error.atKey` shows it at a key of its own.
 */
export const questions: {
  /** Which entry equals the part; of several lines or members, the first that equals one. */
  exact<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** The longest entry that the part begins with. */
  prefix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /**
   * The longest entry that the part begins with, ending at a `/` or at the part's end; a `/` at an
   * entry's end is ignored.
   */
  pathPrefix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** The longest entry that the part ends with. */
  suffix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** The first entry, in the order given, that the part ends with. */
  firstSuffix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** The longest entry that the part, a host name, equals or is a subdomain of. */
  domain<const T>(over: string, entries: Entries<T>, options?: At): Matcher<T>;
  /** The smallest network, as in `10.0.0.0/8`, that contains the part, an address. */
  network<const T>(over: string, entries: Entries<T>, options?: At): Matcher<T>;
  /**
   * The first regular expression, in the order given, that matches: on octets, anywhere. In the
   * syntax of Rust's crate `regex`.
   */
  regex<const T>(over: string, entries: Entries<T>, options?: At): Matcher<T>;
  /**
   * Whether the request is in a share of `perMillion` out of 1,000,000. Equal parts with equal salts
   * are always in the same share, and a larger share contains a smaller one. A part that is absent
   * or empty is in no share. `over` may also be `random`.
   */
  share(over: string, options: { salt: string; perMillion: number } & At): Question<boolean>;
  /** The value in the operator's table under the part. */
  lookUp(table: string, over: string, options?: At): ValueQuestion;
  /** The part itself. */
  value(over: string, options?: At): ValueQuestion;
  /** Whether a backend has a usable server. */
  usable(backend: string, options?: At): Question<boolean>;
};
