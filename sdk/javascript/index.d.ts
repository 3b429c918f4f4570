// Write routing plugins for Pointsman in JavaScript or TypeScript.

import type { Read, Readers } from "./config.js";
import type { Request } from "./request.js";

export { questions } from "./questions.js";
export type { Entries, Matcher, Question, ValueQuestion } from "./questions.js";
export { Request } from "./request.js";

/** The form in which the proxy asks a plugin: a plugin's module exports one as `plugin`. */
export interface Plugin {
  configure(json: string): "cacheable" | "uncacheable";
  route(head: unknown): Decision;
}

/** What a plugin is made of. */
export interface Definition<R extends Readers, State> {
  /**
   * The keys of the plugin's own table in the proxy's configuration, `router.config`, each with
   * its reader. A key that is not here is an error. Without `config` there are none.
   */
  config?: R;
  /**
   * Makes the state that `route` works with from the configuration, once for each instance.
   * Questions are defined here. Without `configure`, the state is the configuration. An exception
   * keeps the plugin out of service: `ConfigError` names the key.
   */
  configure?(config: Read<R>): State;
  /**
   * Whether the proxy may reuse a decision: true promises that it follows from the configuration,
   * from what was read of the request and from the answers to questions, and from nothing else.
   * False by default.
   */
  cacheable?: boolean | ((state: State) => boolean);
  /**
   * Decides where a request goes. An exception, an `EditError` included, counts as a fault of the
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

/** Field lines, by name or as pairs; a text is sent in UTF-8. */
export type Fields =
  | Readonly<Record<string, string | Uint8Array>>
  | Iterable<readonly [name: string, value: string | Uint8Array]>;

/** A response that a plugin makes itself. */
export interface Response {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: Uint8Array])[];
  readonly body: Uint8Array;
}

/** What happens if a chosen server is not usable. */
export type Fallback = "another-server" | "ask-again";

/** Where a request goes. Only `Decision.backend` and its siblings make one. */
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

/** Decisions. They may be made in `configure` and used again and again. */
export const Decision: {
  /** To the backend `name`. A name that the proxy's configuration does not have is a fault. */
  backend(name: string): Decision;
  /** To the frontend's `default_backend`. */
  readonly defaultBackend: Decision;
  /**
   * Not for this plugin: the router's next one decides, after the last the `default_backend`. Edits
   * and options stay.
   */
  readonly next: Decision;
  /**
   * To one server of a backend. If it is not usable, to another server of the backend; with
   * `otherwise: "ask-again"`, `route` is called with the next `attempt`.
   */
  server(backend: string, server: string, options?: { otherwise?: Fallback }): Decision;
  /** To no backend: the proxy sends this response. `status` is within 200 to 599. */
  respond(status: number, parts?: { headers?: Fields; body?: string | Uint8Array }): Decision;
  /** To another address, by 301, 302, 303, 307 or 308 (RFC 9110, section 15.4). */
  redirect(status: number, location: string | Uint8Array): Decision;
};

/** The load of a backend. */
export interface BackendState {
  /** Servers that are up and not draining, with or without a free slot. */
  readonly usableServers: number;
  /** Requests and tunnels in progress, over all servers. */
  readonly active: number;
  /** Requests that wait for a free slot. */
  readonly queued: number;
}

/** A server of a backend. */
export interface Server {
  readonly name: string;
  /** Up and not draining, whether or not a slot is free. */
  readonly usable: boolean;
  readonly weight: number;
  /** Requests and tunnels in progress. */
  readonly active: number;
  /** Requests that it accepts at once; undefined without a limit. */
  readonly limit: number | undefined;
  /** Moving average of the time to a response's head, in microseconds. */
  readonly latency: number | undefined;
}

/**
 * What the proxy knows about its backends. Calling any of these in `route` makes the decision
 * uncacheable; a question, `questions.usable`, does not. In `configure` every server counts as usable
 * and idle.
 */
export const backends: {
  /** Every backend of the configuration, by name. */
  names(): string[];
  /** The load of the backend `name`; undefined if the configuration does not have it. */
  state(name: string): BackendState | undefined;
  /** The servers of the backend `name`; undefined if the configuration does not have it. */
  servers(name: string): Server[] | undefined;
  /** Whether the configuration has a backend `name`. */
  exists(name: string): boolean;
};

/** The plugin's lines in the proxy's log. The table `[log]` of the configuration filters them. */
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
 * An error that is intended: the proxy shows its message. Of any other error that `configure` or
 * `route` throws, the stack is logged, too.
 */
export class PluginError extends Error {}

/** An error about a key of the configuration: the proxy points at it in its file. */
export class ConfigError extends PluginError {
  /** `path` is written as in `rules[0].suffix`; it is empty for the whole configuration. */
  constructor(path: string, message: string);
  readonly path: string;
  /**
   * The entry that the error of a matcher's definition is about, counted from 0; undefined if it is
   * about something else.
   */
  readonly entry: number | undefined;
  /** The same error at another key. */
  atKey(path: string): ConfigError;
}

/** The proxy's refusal of an edit; the message is its reason. */
export class EditError extends Error {
  private constructor();
}

/** The text that octets are in UTF-8; undefined where they are none, or there are none. */
export function toText(octets: Uint8Array | undefined): string | undefined;
/**
 * Each octet as the character of its number, U+0000 to U+00FF: for any octets, and so that the
 * functions of strings work on them.
 */
export function toLatin1(octets: Uint8Array): string;
/** What `toLatin1` made, without the blanks around it: `trim` would take more octets for blanks. */
export function trimBlanks(latin1: string): string;
/** A text in UTF-8; octets as they are. */
export function toOctets(value: string | Uint8Array): Uint8Array;

declare global {
  /** Lines of the proxy's log. */
  interface Console {
    debug(...values: unknown[]): void;
    log(...values: unknown[]): void;
    info(...values: unknown[]): void;
    warn(...values: unknown[]): void;
    error(...values: unknown[]): void;
  }
  var console: Console;
}
