// Tests of a plugin without the proxy: in Node, in memory, with the same glue code.
//
// Questions are answered as in the proxy, with two exceptions: the test chooses the shares that
// requests are in, by the salts of the shares, and regular expressions are JavaScript's, with flags
// such as `(?i)` at the start.

import type { Decision, Fields, Plugin } from "./index.js";

/** A server in a test. `limit` and `latency` are null, or left out, if they have no value. */
export interface TestServer {
  name: string;
  usable: boolean;
  weight: number;
  active: number;
  limit?: number | null;
  latency?: number | null;
}

/** A configured plugin, called in the same way as by the proxy. */
export interface Instance {
  readonly cacheable: boolean;
  /** The backends that the plugin sees. A test can change them at any time. */
  readonly backends: Map<string, { queued: number; servers: TestServer[] }>;
  /** Salts of the shares that requests are in, unless a request has its own. */
  readonly shares: Set<string>;
  /** Makes every server of a backend usable or not usable. */
  setUsable(name: string, usable: boolean): void;
  /**
   * Routes a request. An error has the message that the proxy would show. Anything that would trap
   * in the proxy also throws, whatever the plugin catches.
   */
  route(request: TestRequest): Decision;
}

/**
 * Configures a plugin in a proxy with these backends and tables. Each backend has one idle server
 * of the same name, or the servers given. Requests are in the shares with these salts. An error
 * has the message that the proxy would show. `config` can be JSON.
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
 * A request in memory, with the plugin's reads and effects. If the answer to a question was used,
 * the answer is recorded.
 */
export interface TestRequest {
  /** Reads and questions, each once: `method`, `header host`, `suffix over host`. */
  readonly reads: readonly string[];
  /**
   * The edits in the form of cases.toml, in the order made: `set x-a: 1`, `append x-b: 2`, `remove
   * x-c`, `set host: a.test`, `path-with-query /new`, `replace-path-prefix 4 ""`.
   */
  readonly edits: readonly string[];
  /** The edits of the response: `set x-a: 1`, `append x-b: 2`, `remove x-c`. */
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

/** Makes a request: by default `GET`, from 127.0.0.1, without TLS, fields or body. */
export function request(
  target?: string,
  options?: {
    method?: string;
    headers?: Fields;
    /** The default is `https` with `tls`, and `http` without. */
    scheme?: string;
    /** Null for a connection without HTTP, whose host is the server name of `tls`. */
    version?: string | null;
    clientAddress?: string;
    clientPort?: number;
    tls?: TestTls;
    attempt?: number;
    /** The part of the body that had arrived, in a frontend that waits for the body. */
    body?: string | Uint8Array;
    /** The default is true. */
    bodyIsComplete?: boolean;
    /** Salts of the shares that this request is in. */
    shares?: Iterable<string>;
  },
): TestRequest;

/** Returns the lines that were logged, and clears them. */
export function takeLog(): {
  level: "trace" | "debug" | "info" | "warn" | "error";
  message: string;
}[];
