// Tests of a plugin without the proxy: in Node, in memory, with the same glue.
//
// Questions are answered as the proxy does, but for two: a request is in the shares whose salts the
// test gives, and regular expressions are JavaScript's, with flags such as `(?i)` at the beginning.

import type { Decision, Fields, Plugin } from "./index.js";

/** A server that tests set; `limit` and `latency` are null, or left out, if there is none. */
export interface TestServer {
  name: string;
  usable: boolean;
  weight: number;
  active: number;
  limit?: number | null;
  latency?: number | null;
}

/** A configured plugin, driven as the proxy drives one. */
export interface Instance {
  readonly cacheable: boolean;
  /** The backends that the plugin sees: change them while a test runs. */
  readonly backends: Map<string, { queued: number; servers: TestServer[] }>;
  /** Salts of the shares that requests are in, unless a request has its own. */
  readonly shares: Set<string>;
  /** Makes every server of a backend usable, or none. */
  setUsable(name: string, usable: boolean): void;
  /**
   * Routes a request. An error has the message that the proxy would show; what would trap in the
   * proxy throws, too, whatever the plugin catches.
   */
  route(request: TestRequest): Decision;
}

/**
 * Configures a plugin before a proxy that has these backends, each with one idle server of the same
 * name or with the servers given, and these tables. Requests are in the shares with these salts. An
 * error has the message that the proxy would show. `config` may be JSON.
 */
export function configure(
  plugin: Plugin,
  config?: string | object,
  backends?: Iterable<string> | Readonly<Record<string, readonly string[]>>,
  proxy?: {
    tables?: Readonly<Record<string, Readonly<Record<string, string | Uint8Array>>>>;
    shares?: Iterable<string>;
  },
): Instance;

/**
 * A request in memory: what was read of it, and what was done to it. Where an answer to a question
 * was used, it is that answer.
 */
export interface TestRequest {
  /** Reads and questions, each once: `method`, `header host`, `suffix over host`. */
  readonly reads: readonly string[];
  /**
   * In the form of cases.toml, in the order made: `set x-a: 1`, `append x-b: 2`, `remove x-c`,
   * `set host: a.test`, `path-with-query /new`, `replace-path-prefix 4 ""`.
   */
  readonly edits: readonly string[];
  /** `set x-a: 1`, `append x-b: 2`, `remove x-c`. */
  readonly responseEdits: readonly string[];
  /** The last value of each option. Timeouts are in milliseconds. */
  readonly options: {
    readonly affinity?: Uint8Array;
    readonly queueTimeout?: number;
    readonly connectTimeout?: number;
    readonly serverTimeout?: number;
    readonly tunnelTimeout?: number;
    readonly tries?: number;
  };
  readonly tags: Readonly<Record<string, string>>;
}

/** Facts of a TLS session. */
export interface TestTls {
  serverName?: string;
  alpn?: string;
  clientCertificate?: {
    subject?: string;
    issuer?: string;
    names?: string[];
    serial?: string;
    sha256?: string;
    notAfter?: number;
  };
}

/** Makes a request: by default `GET`, from 127.0.0.1, in the clear, without fields and body. */
export function request(
  target?: string,
  options?: {
    method?: string;
    headers?: Fields;
    /** `https` with `tls`, else `http`, unless it is given. */
    scheme?: string;
    /** Null for a connection without HTTP, whose host is the server name of `tls`. */
    version?: string | null;
    clientAddress?: string;
    clientPort?: number;
    tls?: TestTls;
    attempt?: number;
    /** The prefix that had arrived, of a frontend that waits for it. */
    body?: string | Uint8Array;
    /** True unless it is given. */
    bodyIsComplete?: boolean;
    /** Salts of the shares that this request is in. */
    shares?: Iterable<string>;
  },
): TestRequest;

/** Takes the lines that were logged. */
export function takeLog(): {
  level: "trace" | "debug" | "info" | "warn" | "error";
  message: string;
}[];
