// The request whose route is being decided. Each read of a field crosses the sandbox; method,
// target and host cross once.

import { EditError } from "./errors.js";
import { cookieIn, parameterIn } from "./find.js";
import {
  fromLatin1,
  fromUtf8,
  toLatin1,
  toOctets,
  toText,
  toUtf8,
  toWellFormed,
} from "./octets.js";

const FIELD = "a field's name";

export class Request {
  #head;
  #method;
  #target;
  #host;
  #hostRead = false;

  constructor(head) {
    this.#head = head;
  }

  get method() {
    return (this.#method ??= this.#head.method());
  }

  get scheme() {
    return this.#head.scheme();
  }

  get pathWithQuery() {
    return (this.#target ??= this.#head.pathWithQuery());
  }

  get path() {
    const target = this.pathWithQuery;
    const mark = target.indexOf("?");
    return mark < 0 ? target : target.slice(0, mark);
  }

  get query() {
    const target = this.pathWithQuery;
    const mark = target.indexOf("?");
    return mark < 0 ? undefined : target.slice(mark + 1);
  }

  queryParam(name) {
    const value = this.#parameter(name);
    return value === undefined ? undefined : fromLatin1(value);
  }

  queryParamText(name) {
    const value = this.#parameter(name);
    return value === undefined ? undefined : fromUtf8(value);
  }

  #parameter(name) {
    const key = toUtf8(toWellFormed(name, "a parameter's name"));
    const query = this.query;
    return query === undefined ? undefined : parameterIn(toUtf8(query), key);
  }

  get host() {
    if (!this.#hostRead) {
      this.#host = this.header("host");
      this.#hostRead = true;
    }
    return this.#host;
  }

  get hostText() {
    return toText(this.host);
  }

  get hostname() {
    const host = this.host;
    return host && withoutPort(host);
  }

  get hostnameText() {
    return toText(this.hostname);
  }

  header(name) {
    return this.headerLines(name)[0];
  }

  headerText(name) {
    return toText(this.header(name));
  }

  headerLines(name) {
    return this.#head.header(toWellFormed(name, FIELD));
  }

  headers() {
    return this.#head.headers();
  }

  cookie(name) {
    const found = this.#cookie(name);
    return found && found.line.subarray(found.start, found.end);
  }

  cookieText(name) {
    const found = this.#cookie(name);
    return found && fromUtf8(found.latin1.slice(found.start, found.end));
  }

  #cookie(name) {
    const key = toUtf8(toWellFormed(name, "a cookie's name"));
    for (const line of this.headerLines("cookie")) {
      const latin1 = toLatin1(line);
      const found = cookieIn(latin1, key);
      if (found) return { line, latin1, ...found };
    }
    return undefined;
  }

  get client() {
    return this.#head.client();
  }

  get tls() {
    const tls = this.#head.tls();
    return tls
      ? { serverName: tls.serverName ?? undefined, alpn: tls.alpn ?? undefined }
      : undefined;
  }

  get attempt() {
    return this.#head.attempt();
  }

  setHeader(name, value) {
    const [field, octets] = [toWellFormed(name, FIELD), toOctets(value)];
    edit(`set ${field}`, () => this.#head.setHeader(field, octets));
  }

  appendHeader(name, value) {
    const [field, octets] = [toWellFormed(name, FIELD), toOctets(value)];
    edit(`append ${field}`, () => this.#head.appendHeader(field, octets));
  }

  removeHeader(name) {
    const field = toWellFormed(name, FIELD);
    edit(`remove ${field}`, () => this.#head.removeHeader(field));
  }

  setPathWithQuery(value) {
    const target = toWellFormed(value, "a target");
    edit("set the target", () => this.#head.setPathWithQuery(target));
  }
}

function edit(what, call) {
  try {
    call();
  } catch (error) {
    const reason = error?.payload?.tag;
    throw reason === undefined ? error : new EditError(what, reason);
  }
}

const [COLON, OPEN, CLOSE] = [0x3a, 0x5b, 0x5d];

// A host without its port: `a:80`, `[::1]:80`. An address such as `::1`, which must have brackets
// to be followed by a port, is left as it is.
function withoutPort(host) {
  if (host[0] === OPEN) {
    const bracket = host.indexOf(CLOSE);
    return bracket > 0 && host[bracket + 1] === COLON ? host.subarray(0, bracket + 1) : host;
  }
  const colon = host.indexOf(COLON);
  return colon >= 0 && host.lastIndexOf(COLON) === colon ? host.subarray(0, colon) : host;
}
