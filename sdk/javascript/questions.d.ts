// Questions about a request that the proxy answers by itself.

declare const answer: unique symbol;

/** A question that was defined. `request.ask` returns its answer. */
export interface Question<A> {
  /** The question's number in the contract. */
  readonly number: number;
  readonly [answer]: A;
}

/**
 * A question whose answer is octets. `setHeaderBy`, `setAffinityBy` and `tagBy` use the answer
 * without making it part of the key under which a decision is cached.
 */
export interface ValueQuestion extends Question<Uint8Array | undefined> {
  readonly isValue: true;
}

/**
 * Entries, each with a value of any kind: an object, a Map, or pairs. Use a Map or pairs if the
 * order matters. No two entries can be equal. Entries with equal values share one cached decision.
 * Decisions are equal if their contents are; other values are compared as a Map compares its keys.
 */
export type Entries<T> = Readonly<Record<string, T>> | Iterable<readonly [entry: string, value: T]>;

/** The key that an error is shown at: a path in the configuration, as in `rules[0].suffix`. */
export interface At {
  key?: string;
}

/** Whether ASCII case is ignored. By default, it is not. */
export interface Case {
  ignoreCase?: boolean;
}

/** A question whose answer is the value of the entry that matches; undefined if none does. */
export type Matcher<T> = Question<T | undefined>;

/**
 * Questions about a request that the proxy answers by itself. Define them in `configure`, and ask
 * them in `route`. The proxy uses the answers as the key of its decision cache, so one cached
 * decision serves every request with the same answers.
 *
 * `over` names the part of the request: `method`, `scheme`, `authority`, `host`, `path`,
 * `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each member of a
 * comma-separated list), `cookie:NAME`, `client-address`, `server-name` or `body-json:POINTER`
 * (RFC 6901).
 *
 * A definition that the proxy refuses throws a `ConfigError`. If one entry is at fault, the
 * error's `entry` is its index, and `error.atKey` shows the error at the entry's own key.
 */
export const questions: {
  /**
   * Defines a matcher for the entry that equals the whole part. If the part has several lines or
   * members, the first that equals an entry wins.
   */
  exact<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** Defines a matcher for the longest entry that is a prefix of the part. */
  prefix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /**
   * Defines a matcher for the longest entry that is a prefix of the part in whole segments: `/api`
   * matches `/api` and `/api/x`, but not `/apiary`. A `/` at the end of an entry is ignored.
   */
  pathPrefix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** Defines a matcher for the longest entry that is a suffix of the part. */
  suffix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /** Defines a matcher for the first entry, in the order given, that is a suffix of the part. */
  firstSuffix<const T>(over: string, entries: Entries<T>, options?: Case & At): Matcher<T>;
  /**
   * Defines a matcher for the longest entry that the part, a host name, equals or is a subdomain
   * of.
   */
  domain<const T>(over: string, entries: Entries<T>, options?: At): Matcher<T>;
  /** Defines a matcher for the smallest network (CIDR) that contains the part, an address. */
  network<const T>(over: string, entries: Entries<T>, options?: At): Matcher<T>;
  /**
   * Defines a matcher for the first regular expression, in the order given, that matches anywhere
   * in the part. Expressions match bytes and have the syntax of Rust's crate `regex`.
   */
  regex<const T>(over: string, entries: Entries<T>, options?: At): Matcher<T>;
  /**
   * Defines the question of whether the request is in a share of `perMillion` requests out of
   * 1,000,000. The answer depends only on the part and the salt. A request in a share is also in
   * every larger share with the same salt. A request in which the part is absent or empty is in no
   * share. `over` can also be `random`: a number drawn once per request, so shares with the same
   * salt and size give the same answer.
   */
  share(over: string, options: { salt: string; perMillion: number } & At): Question<boolean>;
  /**
   * Defines a lookup of the part in the operator's table `table`. The answer is the table's value
   * for the part.
   */
  lookUp(table: string, over: string, options?: At): ValueQuestion;
  /**
   * Defines a question whose answer is the part itself. If only `setHeaderBy`, `setAffinityBy` or
   * `tagBy` use the answer, it is not part of the key under which the decision is cached.
   */
  value(over: string, options?: At): ValueQuestion;
  /**
   * Defines the question of whether a backend has a usable server. The question is answered again
   * at each attempt.
   */
  usable(backend: string, options?: At): Question<boolean>;
};
