// Write routing plugins for Pointsman in JavaScript or TypeScript.

import type { Read, Readers } from "./config.js";

/** The form in which the proxy asks a plugin: a plugin's module exports one as `plugin`. */
export interface Plugin {
  configure(json: string): "cacheable" | "uncacheable";
  route(head: unknown): Decision;
}

/** What a plugin is made of. */
export interface Definition<R extends Readers, State> {
  /**
   * The keys of the plugin's own table in the proxy's configuration, `router.config`, each with
   * what reads it. A key that is not here is an error. No keys where there is no `config`.
   */
  config?: R;
  /**
   * Makes what `route` works with from the configuration, once for each instance; what was read
   * itself where there is no `configure`. What it throws keeps the plugin out of service:
   * `ConfigError` names the key.
   */
  configure?(config: Read<R>): State;
  /**
   * Whether the proxy may reuse a decision: true promises that it follows from the configuration
   * and from what was read of the request alone. False where it is not given.
   */
  cacheable?: boolean | ((state: State) => boolean);
  /**
   * Decides where a request goes. What it throws counts as a fault of the plugin; the request
   * goes by the frontend's `on_fault`.
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

/** The peer of the connection: behind another proxy, that proxy. */
export interface Client {
  /** An IPv4 or IPv6 address in text form, or the path of a Unix socket: empty for most clients. */
  readonly address: string;
  /** 0 for a Unix socket. */
  readonly port: number;
}

/** Facts of the TLS session that a request came over. */
export interface Tls {
  /** Server name that the client asked for (SNI), in lower case. */
  readonly serverName?: string | undefined;
  /** Protocol agreed by ALPN, as in `h2`. */
  readonly alpn?: string | undefined;
}

/**
 * A request head, read lazily: only what is asked for crosses into the sandbox, and becomes part
 * of what a cached decision is kept under.
 *
 * Values of fields are octets, which need not be UTF-8 (RFC 9110, section 5.5); what ends in
 * `Text` has a text, or undefined where there is no value or it is no UTF-8. Edits apply to what
 * the chosen backend receives, in the order made, and are dropped where the decision is a response;
 * reads keep telling what the client sent. A request is of use until `route` returns.
 */
export class Request {
  private constructor();

  /** As sent, as in `GET` (RFC 9110, section 9). */
  get method(): string;
  /** `http` or `https`. */
  get scheme(): string;
  /** The target in origin form, as in `/a?b=c`; `*` for `OPTIONS *` (RFC 9112, section 3.2). */
  get pathWithQuery(): string;
  /** The target up to its first `?`, as in `/a`. Nothing is decoded. */
  get path(): string;
  /** What follows the first `?` of the target, as in `b=c`. Nothing is decoded. */
  get query(): string | undefined;

  /**
   * The value of the first parameter `name` of the query, as forms write it: `+` is a blank and
   * `%41` an `A`, in names, too. An escape that is none is left as it is.
   */
  queryParam(name: string): Uint8Array | undefined;
  /** `queryParam` as a text. */
  queryParamText(name: string): string | undefined;

  /**
   * The host that the request is for, with its port where it has one: the field `host`, or
   * `:authority` of HTTP/2. Undefined where the client sent neither (HTTP/1.0). Upper and lower
   * case are as sent.
   */
  get host(): Uint8Array | undefined;
  /** `host` as a text. */
  get hostText(): string | undefined;
  /**
   * `host` without its port: `a` of `a:80`, `[::1]` of `[::1]:80`. An address such as `::1`, which
   * must have brackets to be followed by a port, is left as it is.
   */
  get hostname(): Uint8Array | undefined;
  /** `hostname` as a text. */
  get hostnameText(): string | undefined;

  /** The value of the first line of the field `name`, which matches in any case. */
  header(name: string): Uint8Array | undefined;
  /** `header` as a text. */
  headerText(name: string): string | undefined;
  /** The value of every line of the field `name`, in the order received. */
  headerLines(name: string): Uint8Array[];
  /**
   * Every field line, names in lower case. Lines of one name are together, in the order received;
   * the order of the names is not that of the request.
   */
  headers(): [name: string, value: Uint8Array][];

  /** The value of the first cookie `name`, whose case counts (RFC 6265, section 4.2). */
  cookie(name: string): Uint8Array | undefined;
  /** `cookie` as a text. */
  cookieText(name: string): string | undefined;

  /** The peer that sent the request. */
  get client(): Client;
  /** Facts of the TLS session; undefined for a request in the clear. */
  get tls(): Tls | undefined;
  /** How many backends were tried before this call: 0 on the first. */
  get attempt(): number;

  /**
   * Replaces every line of the field `name` by one with this value. Throws an `EditError` where
   * HTTP forbids the name or the value, or only the proxy may set the field.
   */
  setHeader(name: string, value: string | Uint8Array): void;
  /** Adds a line, after those that are there. Throws as `setHeader` does; `host` is forbidden. */
  appendHeader(name: string, value: string | Uint8Array): void;
  /** Removes every line of the field `name`, where there are any. Throws as `appendHeader` does. */
  removeHeader(name: string): void;
  /** Replaces the target by another in origin form. Throws an `EditError` for any other. */
  setPathWithQuery(value: string): void;
}

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

/** Where a request goes. Only `Decision.backend` and its siblings make one. */
export type Decision = (
  | { readonly tag: "backend"; readonly val: string }
  | { readonly tag: "default-backend" }
  | { readonly tag: "respond"; readonly val: Response }
) & { readonly [made]: true };

declare const made: unique symbol;

/** Decisions. They may be made in `configure` and answered with again and again. */
export const Decision: {
  /** To the backend `name`. One that the proxy's configuration has not is a fault. */
  backend(name: string): Decision;
  /** To the frontend's `default_backend`. */
  readonly defaultBackend: Decision;
  /** Nowhere: the proxy sends this response. `status` is within 200 to 599. */
  respond(status: number, parts?: { headers?: Fields; body?: string | Uint8Array }): Decision;
  /** Sends the client elsewhere, by 301, 302, 303, 307 or 308 (RFC 9110, section 15.4). */
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

/**
 * What the proxy knows about its backends. To ask in `route` makes that decision uncacheable; to
 * ask in `configure` does not, where every server counts as usable and nothing is in progress.
 */
export const backends: {
  /** The load of the backend `name`; undefined where the proxy's configuration has no such. */
  state(name: string): BackendState | undefined;
  /** Whether the proxy's configuration has a backend `name`. */
  exists(name: string): boolean;
};

/** The plugin's lines in the proxy's log. Which of them are written is for the proxy's `[log]`. */
export const log: {
  /** For whoever follows the code step by step. */
  trace(message: unknown): void;
  /** For whoever looks for a mistake. */
  debug(message: unknown): void;
  /** Worth a line in daily use. */
  info(message: unknown): void;
  /** Not right, and not yet harmful. */
  warn(message: unknown): void;
  /** Wrong. */
  error(message: unknown): void;
};

/**
 * An error that is meant: the proxy shows its message. Of any other error that `configure` or
 * `route` throws it writes the stack to its log, too.
 */
export class PluginError extends Error {}

/** An error about a key of the configuration: the proxy points at it in its file. */
export class ConfigError extends PluginError {
  /** `path` is written as in `rules[0].suffix`; it is empty for the whole configuration. */
  constructor(path: string, message: string);
  readonly path: string;
}

/** The proxy's refusal of an edit. */
export class EditError extends Error {
  private constructor();
  readonly reason: "invalid-syntax" | "forbidden";
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
