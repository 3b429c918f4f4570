// The request whose route is being decided.

import type { Question, ValueQuestion } from "./questions.js";

/**
 * A request head, read lazily: only the parts that the plugin reads cross into the sandbox, and
 * each read becomes part of the key under which the decision is cached.
 *
 * Field values are octets, which need not be UTF-8 (RFC 9110, section 5.5). A method whose name
 * ends in `Text` returns text, or undefined if there is no value or it is not UTF-8. Reads show the
 * request as the proxy admitted it, without edits. Edits and options take effect only if `route`
 * does not respond by itself; response edits and tags always do. A request can be used until
 * `route` returns.
 */
export class Request {
  private constructor();

  /** Returns the answer to a question that was defined in `configure`. */
  ask<A>(question: Question<A>): A;
  /** Like `ask`, but returns text; also undefined if the answer is not UTF-8. */
  askText(question: ValueQuestion): string | undefined;

  /**
   * Returns the method as sent, for example `GET` (RFC 9110, section 9). Empty without HTTP (`mode
   * = "tcp"`).
   */
  get method(): string;
  /**
   * Returns the scheme: `http` or `https`. If a trusted proxy sends `X-Forwarded-Proto`, its value
   * is used.
   */
  get scheme(): string;
  /**
   * Returns the HTTP version: `1.0`, `1.1`, `2` or `3`. Undefined without HTTP (`mode = "tcp"`).
   */
  get version(): string | undefined;
  /**
   * Returns the authority as sent: the host, with the port if there is one. The scheme's default
   * port is left out if the authority comes from an absolute target or from `:authority`. Empty
   * without HTTP, or if the client sent no authority (HTTP/1.0).
   */
  get authority(): Uint8Array;
  /**
   * Returns the host of `authority`, in lower case, without port or trailing dot. Without HTTP
   * (`mode = "tcp"`), returns the server name of the TLS `ClientHello`.
   */
  get host(): string;
  /**
   * Returns the target in origin form, for example `/a?b=c`; `*` for `OPTIONS *` (RFC 9112,
   * section 3.2). Nothing is decoded.
   */
  get pathWithQuery(): string;
  /** Returns the path as sent, without the query. Nothing is decoded. */
  get path(): string;
  /**
   * Returns the text after the first `?` of the target, for example `b=c`; undefined if there is
   * no `?`. Nothing is decoded. Reads the whole target; `queryParameter` reads less.
   */
  get query(): string | undefined;

  /**
   * Returns the first value of the query parameter `name`; undefined if there is no such parameter.
   * `%XX` is decoded once, and `+` is read as a space.
   */
  queryParameter(name: string): Uint8Array | undefined;
  /** Like `queryParameter`, but returns text; also undefined if the value is not UTF-8. */
  queryParameterText(name: string): string | undefined;

  /**
   * Returns the value of the first line of the field `name`; undefined if there is no such line.
   * The name is case-insensitive.
   */
  header(name: string): Uint8Array | undefined;
  /** Like `header`, but returns text; also undefined if the value is not UTF-8. */
  headerText(name: string): string | undefined;
  /** Returns the value of every line of the field `name`, in the order received. */
  headerLines(name: string): Uint8Array[];
  /** Returns every field line in the order received, with names as sent. */
  headers(): [name: string, value: Uint8Array][];

  /**
   * Returns the value of the cookie `name`; undefined if there is no such cookie. The name is
   * case-sensitive (RFC 6265, section 5.4).
   */
  cookie(name: string): Uint8Array | undefined;
  /** Like `cookie`, but returns text; also undefined if the value is not UTF-8. */
  cookieText(name: string): string | undefined;

  /**
   * Returns the client's address: that of the peer, or the one given by the PROXY protocol or by a
   * trusted proxy. It is in the text form of RFC 5952, without zone or port; an IPv4-mapped IPv6
   * address is given as IPv4. Empty for a client on a Unix socket.
   */
  get clientAddress(): string;
  /**
   * Returns the port of the peer, which differs for each connection. 0 for a client on a Unix
   * socket, or if a trusted proxy gives the client's address.
   */
  get clientPort(): number;
  /**
   * Returns the server name of the TLS session (SNI), in lower case. Undefined if the proxy does
   * not terminate TLS, or if the client sent no name.
   */
  get serverName(): string | undefined;
  /**
   * Returns the protocol negotiated by ALPN, for example `h2`; undefined if no protocol was
   * negotiated.
   */
  get alpn(): string | undefined;
  /**
   * Returns the subject of the verified client certificate, a distinguished name (RFC 4514), for
   * example `CN=example.com,O=Example`. Undefined without TLS, or if the client presented no
   * certificate.
   */
  get clientCertificateSubject(): string | undefined;
  /**
   * Returns the issuer of the verified client certificate, a distinguished name (RFC 4514).
   * Undefined without a certificate.
   */
  get clientCertificateIssuer(): string | undefined;
  /**
   * Returns the DNS names and URIs (SPIFFE IDs, for example) of the verified client certificate,
   * in the order of the certificate. Empty without a certificate.
   */
  get clientCertificateNames(): string[];
  /**
   * Returns the serial number of the verified client certificate, in hex. Undefined without a
   * certificate.
   */
  get clientCertificateSerial(): string | undefined;
  /**
   * Returns the SHA-256 of the verified client certificate, in hex. Undefined without a
   * certificate.
   */
  get clientCertificateSha256(): string | undefined;
  /**
   * Returns the time at which the verified client certificate expires, in seconds since 1970.
   * Undefined without a certificate.
   */
  get clientCertificateNotAfter(): number | undefined;
  /**
   * Returns how many decisions for this request have failed before this call; 0 on the first call.
   */
  get attempt(): number;
  /**
   * Returns the part of the body that had arrived when `route` was called; undefined unless the
   * frontend waits for the body (`routing.body`). A decision that reads it is not cached.
   */
  get bodyPrefix(): Uint8Array | undefined;
  /** Reports whether `bodyPrefix` is the whole body. */
  get bodyIsComplete(): boolean;

  /**
   * Replaces every line of the field `name` with one line that has this value. Throws an
   * `EditError`, as every edit does, if HTTP does not allow the name or the value, or if only the
   * proxy may set the field.
   */
  setHeader(name: string, value: string | Uint8Array): void;
  /**
   * Like `setHeader`, with the answer to `question` as the value. Removes the field if there is no
   * answer, or if HTTP does not allow the answer as a field value.
   */
  setHeaderBy(name: string, question: ValueQuestion): void;
  /** Adds one line of the field `name`, after any existing lines. */
  appendHeader(name: string, value: string | Uint8Array): void;
  /** Removes every line of the field `name`. */
  removeHeader(name: string): void;
  /** Replaces the Host (HTTP/2: `:authority`) that the server sees. */
  setAuthority(value: string | Uint8Array): void;
  /** Replaces the target with another one in origin form, for example `/a?b=c`. */
  setPathWithQuery(value: string): void;
  /**
   * Replaces the first `length` bytes of the path; the rest of the path and the query stay
   * unchanged. The proxy does this for each request, so one cached decision serves every path below
   * a prefix. The new path begins with `/`; the proxy adds the slash if it is missing.
   */
  replacePathPrefix(length: number, replacement: string): void;

  /**
   * Replaces every line of the field `name` in the final response with one line that has this
   * value. Response edits apply to every final response, whether a server, a plugin or the proxy
   * itself makes it, but not to interim responses.
   */
  setResponseHeader(name: string, value: string | Uint8Array): void;
  /** Adds one line of the field `name` to the final response. */
  appendResponseHeader(name: string, value: string | Uint8Array): void;
  /** Removes every line of the field `name` from the final response. */
  removeResponseHeader(name: string): void;

  /**
   * Sends requests with the same key to the same server while that server is usable. Only the
   * first 4 KiB of the key count.
   */
  setAffinity(key: string | Uint8Array): void;
  /** Like `setAffinity`, with the answer to `question` as the key. */
  setAffinityBy(question: ValueQuestion): void;
  /**
   * Sets the longest wait for a free slot, in milliseconds, in place of the backend's
   * `timeout.queue`. 0 means not to wait.
   */
  setQueueTimeout(milliseconds: number): void;
  /**
   * Sets the longest time to connect to a server, in milliseconds, in place of the backend's
   * `timeout.connect`. Must be above 0.
   */
  setConnectTimeout(milliseconds: number): void;
  /**
   * Sets how long the server can be silent, in milliseconds, in place of the backend's
   * `timeout.server`. Must be above 0.
   */
  setServerTimeout(milliseconds: number): void;
  /**
   * Sets how long a tunnel that starts with this request can be silent, in milliseconds, in place
   * of the backend's `timeout.tunnel`. Must be above 0.
   */
  setTunnelTimeout(milliseconds: number): void;
  /**
   * Sets how many times the request can be sent in total, 1 to 16. The request is sent again only
   * if that is safe.
   */
  setTries(tries: number): void;
  /**
   * Adds a name and a value to the access log record and to the trace, but never to a metric's
   * labels. A request can have at most 16 tags. A value is truncated to 256 bytes.
   */
  tag(name: string, value: string): void;
  /** Like `tag`, with the answer to `question` as the value. */
  tagBy(name: string, question: ValueQuestion): void;
}
