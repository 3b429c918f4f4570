// Write routing plugins for Pointsman in JavaScript or TypeScript.

import type { Read, Readers } from "./config.js";
import type { Request } from "./request.js";

export { questions } from "./questions.js";
export type { Entries, Matcher, Question, ValueQuestion } from "./questions.js";
export { Request } from "./request.js";

/** The form in which the proxy calls a plugin. A plugin's module exports one as `plugin`. */
export interface Plugin {
  configure(json: string): "cacheable" | "uncacheable";
  route(head: unknown): Decision;
}

/** The definition of a plugin. */
export interface Definition<R extends Readers, State> {
  /**
   * The keys of the plugin's table in the proxy's configuration, `router.config`, each with its
   * reader. Any other key is an error. Without `config`, the table must be empty.
   */
  config?: R;
  /**
   * Makes the state that `route` works with from the configuration, once for each instance. Define
   * questions here. Without `configure`, the state is the configuration. If it throws, the plugin
   * is not put into service; `ConfigError` names the key.
   */
  configure?(config: Read<R>): State;
  /**
   * Whether the proxy may reuse a decision: `true` promises that a decision depends only on the
   * configuration, on the parts of the request that were read and on the answers to questions. The
   * default is `false`.
   */
  cacheable?: boolean | ((state: State) => boolean);
  /**
   * Decides where a request goes. An exception, including an `EditError`, counts as a fault of the
   * plugin.
   */
  route(request: Request, state: State): Decision;
}

/** Makes a plugin: `export const plugin = definePlugin({ ... })`. */
export function definePlugin<R extends Readers = {}, State = Read<R>>(
  definition: Definition<R, State> & { configure(config: Read<R>): State },
): Plugin;
export function definePlugin<R extends Readers = {}>(
  definition: Definition<R, Read<R>> & { configure?: undefined },
): Plugin;

/** Field lines, by name or as pairs. A string is sent as UTF-8. */
export type Fields =
  | Readonly<Record<string, string | Uint8Array>>
  | Iterable<readonly [name: string, value: string | Uint8Array]>;

/** A response that a plugin makes by itself. */
export interface Response {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: Uint8Array])[];
  readonly body: Uint8Array;
}

/** Fallback if the chosen server is not usable. */
export type Fallback = "another-server" | "ask-again";

/** The destination of a request. Only the members of `Decision` make one. */
export type Decision = (
  | { readonly tag: "backend"; readonly val: string }
  | { readonly tag: "default-backend" }
  | { readonly tag: "respond"; readonly val: Response }
  | {
      readonly tag: "server";
      readonly val: {
        readonly backend: string;
        readonly server: string;
        readonly otherwise: Fallback;
      };
    }
  | { readonly tag: "next" }
) & { readonly [made]: true };

declare const made: unique symbol;

/** Decisions. They can be made in `configure`, and used any number of times. */
export const Decision: {
  /**
   * Sends the request to the backend `name`. A name that is not in the proxy's configuration is a
   * fault of the plugin.
   */
  backend(name: string): Decision;
  /** The frontend's `default_backend`. */
  readonly defaultBackend: Decision;
  /**
   * No decision by this plugin: the next plugin of the frontend's router decides, with the edits
   * and options made so far. After the last plugin, the request goes to the frontend's
   * `default_backend`.
   */
  readonly next: Decision;
  /**
   * Sends the request to one server of a backend. If that server is not usable, the request goes
   * to another server of the backend; with `otherwise: "ask-again"`, `route` is called again with
   * the next `attempt`.
   */
  server(backend: string, server: string, options?: { otherwise?: Fallback }): Decision;
  /** Responds without a backend: the proxy sends this response, whose status is 200 to 599. */
  respond(status: number, parts?: { headers?: Fields; body?: string | Uint8Array }): Decision;
  /**
   * Redirects the client to `location` with status 301, 302, 303, 307 or 308 (RFC 9110, section
   * 15.4).
   */
  redirect(status: number, location: string | Uint8Array): Decision;
};

/** The load of a backend. */
export interface BackendState {
  /** Number of servers that are up and not draining, with or without a free slot. */
  readonly usableServers: number;
  /** Number of requests and tunnels in progress, over all servers. */
  readonly active: number;
  /** Number of requests that wait for a free slot. */
  readonly queued: number;
}

/** A server of a backend. */
export interface Server {
  readonly name: string;
  /** Whether the server is up and not draining, with or without a free slot. */
  readonly usable: boolean;
  readonly weight: number;
  /** Number of requests and tunnels in progress. */
  readonly active: number;
  /** Maximum number of concurrent requests; undefined if there is no limit. */
  readonly limit: number | undefined;
  /**
   * Moving average of the time until a response's head arrives, in microseconds; undefined before
   * the first response.
   */
  readonly latency: number | undefined;
}

/**
 * The state of the proxy's backends. Calling any of these functions in `route` makes the decision
 * uncacheable. To find out whether a backend is usable, ask `questions.usable` instead. While
 * `configure` runs, every server counts as usable and idle.
 */
export const backends: {
  /** Returns the names of all backends in the proxy's configuration. */
  names(): string[];
  /**
   * Returns the load of the backend `name`; undefined if the proxy's configuration has no such
   * backend.
   */
  state(name: string): BackendState | undefined;
  /**
   * Returns the servers of the backend `name`; undefined if the proxy's configuration has no such
   * backend.
   */
  servers(name: string): Server[] | undefined;
  /** Reports whether the proxy's configuration has the backend `name`. */
  exists(name: string): boolean;
};

/**
 * The plugin's lines in the proxy's log. The table `[log]` of the proxy's configuration filters
 * them.
 */
export const log: {
  /** Single steps of the code. */
  trace(message: unknown): void;
  /** Details that help to find a mistake. */
  debug(message: unknown): void;
  /** Worth a line in normal operation. */
  info(message: unknown): void;
  /** Unexpected, but handled. */
  warn(message: unknown): void;
  /** A failure. */
  error(message: unknown): void;
};

/**
 * An intended error: the proxy shows its message. If `configure` or `route` throws any other
 * error, its stack is logged too.
 */
export class PluginError extends Error {}

/**
 * An error about a key of the configuration. The proxy points at the key in its configuration file.
 */
export class ConfigError extends PluginError {
  /** `path` is written as in `rules[0].suffix`; it is empty for the whole configuration. */
  constructor(path: string, message: string);
  readonly path: string;
  /**
   * The index, from 0, of the entry that made the definition of a matcher fail; undefined if no
   * single entry is at fault.
   */
  readonly entry: number | undefined;
  /** Returns the same error at another key. */
  atKey(path: string): ConfigError;
}

/** An edit that the proxy refused. The message is the proxy's reason. */
export class EditError extends Error {
  private constructor();
}

/** Decodes octets as UTF-8; undefined if they are not UTF-8, or if there are none. */
export function toText(octets: Uint8Array | undefined): string | undefined;
/**
 * Converts each octet to the character with the same number, U+0000 to U+00FF, so that string
 * functions work on octets. Accepts any octets.
 */
export function toLatin1(octets: Uint8Array): string;
/** Removes the blanks around the result of `toLatin1`. `trim` would also remove other octets. */
export function trimBlanks(latin1: string): string;
/** Encodes a string as UTF-8; octets stay as they are. */
export function toOctets(value: string | Uint8Array): Uint8Array;

declare global {
  /** Writes lines to the proxy's log. */
  interface Console {
    debug(...values: unknown[]): void;
    log(...values: unknown[]): void;
    info(...values: unknown[]): void;
    warn(...values: unknown[]): void;
    error(...values: unknown[]): void;
  }
  var console: Console;
}
