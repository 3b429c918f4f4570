// The request whose route is being decided.

import type { Question, ValueQuestion } from "./questions.js";

/**
 * A request head, read lazily: only what is asked for crosses into the sandbox, and becomes part
 * of the key under which the decision is cached.
 *
 * Values of fields are octets, which need not be UTF-8 (RFC 9110, section 5.5); a method whose name
 * ends in `Text` gives text, or undefined if there is no value or it is not UTF-8. Reads show the
 * request as it was admitted, without edits. Edits and options take effect only if `route` does not
 * respond by itself; edits of the response always do. A request can be used until `route` returns.
 */
export class Request {
  private constructor();

  /** The answer to a question that was defined in `configure`. */
  ask<A>(question: Question<A>): A;
  /** `ask` as text. */
  askText(question: ValueQuestion): string | undefined;

  /** As sent, for example `GET` (RFC 9110, section 9). */
  get method(): string;
  /** `http` or `https`; a trusted proxy's `X-Forwarded-Proto` counts. */
  get scheme(): string;
  /** `1.0`, `1.1`, `2` or `3`; undefined for a connection without HTTP. */
  get version(): string | undefined;
  /** The host as sent, with its port if it has one; empty if there is none (HTTP/1.0). */
  get authority(): Uint8Array;
  /** The host in lower case, without port and trailing dot. */
  get host(): string;
  /** The target in origin form, for example `/a?b=c`; `*` for `OPTIONS *`. */
  get pathWithQuery(): string;
  /** The path alone, as sent. */
  get path(): string;
  /** What follows the first `?` of the target, as sent. Reads the whole target. */
  get query(): string | undefined;

  /** First value of a query parameter; `%XX` decoded once, `+` read as a blank. */
  queryParameter(name: string): Uint8Array | undefined;
  /** `queryParameter` as text. */
  queryParameterText(name: string): string | undefined;

  /** The value of the first line of the field `name`, which matches in any case. */
  header(name: string): Uint8Array | undefined;
  /** `header` as text. */
  headerText(name: string): string | undefined;
  /** The value of every line of the field `name`, in the order received. */
  headerLines(name: string): Uint8Array[];
  /** Every field line in the order received, names as sent. */
  headers(): [name: string, value: Uint8Array][];

  /** The value of one cookie (RFC 6265, section 5.4). */
  cookie(name: string): Uint8Array | undefined;
  /** `cookie` as text. */
  cookieText(name: string): string | undefined;

  /** Address of the client in text form; empty for a client on a Unix socket. */
  get clientAddress(): string;
  /** Port of the peer, 0 for a Unix socket. It differs for each connection. */
  get clientPort(): number;
  /** Server name of the TLS session (SNI), in lower case. */
  get serverName(): string | undefined;
  /** Protocol agreed by ALPN, for example `h2`. */
  get alpn(): string | undefined;
  /** Of the verified client certificate, as all that follow: undefined without one. */
  get clientCertificateSubject(): string | undefined;
  /** A distinguished name (RFC 4514), as the subject is. */
  get clientCertificateIssuer(): string | undefined;
  /** DNS names and URIs of the certificate. */
  get clientCertificateNames(): string[];
  /** In hex. */
  get clientCertificateSerial(): string | undefined;
  /** SHA-256 of the certificate, in hex. */
  get clientCertificateSha256(): string | undefined;
  /** Seconds since 1970. */
  get clientCertificateNotAfter(): number | undefined;
  /** Number of choices for this request that failed before this call; 0 at first. */
  get attempt(): number;
  /**
   * The part of the body that had arrived; undefined unless the frontend waits for it. A decision
   * that reads it is not cached.
   */
  get bodyPrefix(): Uint8Array | undefined;
  /** Whether `bodyPrefix` is the whole body. */
  get bodyIsComplete(): boolean;

  /**
   * Replaces every line of the field `name` by one with this value. Throws an `EditError`, as every
   * edit does, if HTTP forbids the name or the value, or only the proxy may set the field.
   */
  setHeader(name: string, value: string | Uint8Array): void;
  /** The same with the answer to a question; removes the field if there is none. */
  setHeaderBy(name: string, question: ValueQuestion): void;
  /** Adds one line after those that are there. */
  appendHeader(name: string, value: string | Uint8Array): void;
  /** Removes every line of the field `name`. */
  removeHeader(name: string): void;
  /** Replaces the Host (HTTP/2: `:authority`) that the server sees. */
  setAuthority(value: string | Uint8Array): void;
  /** Replaces the target by another in origin form. */
  setPathWithQuery(value: string): void;
  /**
   * Replaces the first `length` bytes of the path; the rest and the query stay. Done for each
   * request, so one decision serves every path below a prefix.
   */
  replacePathPrefix(length: number, replacement: string): void;

  /** Replaces every line of the field `name` in the response, whoever makes it. */
  setResponseHeader(name: string, value: string | Uint8Array): void;
  /** Adds one line to the response. */
  appendResponseHeader(name: string, value: string | Uint8Array): void;
  /** Removes every line of the field `name` from the response. */
  removeResponseHeader(name: string): void;

  /** Sends requests with the same key to the same server while it is usable. */
  setAffinity(key: string | Uint8Array): void;
  /** The same with the answer to a question as the key. */
  setAffinityBy(question: ValueQuestion): void;
  /** Overrides the backend's timeout of this name; 0 does not wait for a slot. */
  setQueueTimeout(milliseconds: number): void;
  /** Overrides the backend's timeout of this name. */
  setConnectTimeout(milliseconds: number): void;
  /** Overrides the backend's timeout of this name. */
  setServerTimeout(milliseconds: number): void;
  /** Overrides the backend's timeout of this name. */
  setTunnelTimeout(milliseconds: number): void;
  /** How often the request may be sent in all, 1 to 16, where that is safe. */
  setTries(tries: number): void;
  /** A name and a value for the access record and the trace: at most 16, of 256 bytes. */
  tag(name: string, value: string): void;
  /** The same with the answer to a question as the value. */
  tagBy(name: string, question: ValueQuestion): void;
}
