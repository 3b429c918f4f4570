// Tests of a plugin without the proxy: in Node, in memory, with the same glue.

import type { BackendState, Client, Decision, Fields, Plugin, Tls } from "./index.js";

/** A configured plugin, driven as the proxy drives one. */
export interface Instance {
  readonly cacheable: boolean;
  /** Routes a request. What it throws has the message that the proxy would show. */
  route(request: TestRequest): Decision;
}

/**
 * Configures a plugin before a proxy that has these backends, each with one server. What it throws
 * has the message that the proxy would show. `config` may be JSON.
 */
export function configure(
  plugin: Plugin,
  config?: string | object,
  backends?: Iterable<string>,
): Instance;

/** A request in memory: what it was asked for, and the edits made to it. */
export interface TestRequest {
  /** As `pointsman route` tells it: `method`, `header host`; each once. */
  readonly reads: readonly string[];
  /** As in cases.toml: `set x-a: 1`, `append x-b: 2`, `remove x-c`, `path-with-query /new`. */
  readonly edits: readonly string[];
}

/** Makes a request: by default `GET`, from 127.0.0.1, in the clear, without fields. */
export function request(
  target?: string,
  options?: {
    method?: string;
    headers?: Fields;
    client?: Partial<Client>;
    /** The scheme is then `https`, unless it is given, too. */
    tls?: Tls;
    scheme?: string;
    attempt?: number;
  },
): TestRequest;

/** Sets the load of a backend; adds one that is not there. One server is usable unless given. */
export function setBackend(name: string, state: Partial<BackendState>): void;

/** Takes the lines that were logged. */
export function takeLog(): {
  level: "trace" | "debug" | "info" | "warn" | "error";
  message: string;
}[];
