// Tests of a plugin without the proxy: in Node, in memory, with the same glue. `testing.d.ts` has
// the documentation.

import { fields } from "./src/decision.js";
import { reset, set, takeLog } from "./src/double.js";
import { toLatin1, toOctets } from "./src/octets.js";
import { again } from "./src/plugin.js";

export { takeLog };

export function setBackend(name, state) {
  set(name, state);
}

export function configure(plugin, config = {}, backends = []) {
  reset(backends);
  const fresh = again(plugin);
  const json = typeof config === "string" ? config : JSON.stringify(config);
  const cacheability = answer(() => fresh.configure(json));
  return {
    cacheable: cacheability === "cacheable",
    route: (head) => answer(() => fresh.route(head)),
  };
}

// The contract's errors are texts; tests want errors.
function answer(call) {
  try {
    return call();
  } catch (thrown) {
    throw new Error(thrown);
  }
}

export function request(target = "/", options = {}) {
  return new Head(target, options);
}

// A request head as the contract has it.
class Head {
  reads = [];
  edits = [];
  #method;
  #scheme;
  #target;
  #lines;
  #client;
  #tls;
  #attempt;

  constructor(target, { method = "GET", headers = [], client, tls, scheme, attempt = 0 }) {
    this.#method = method;
    this.#scheme = scheme ?? (tls ? "https" : "http");
    this.#target = target;
    this.#lines = fields(headers).map(([name, value]) => [name.toLowerCase(), toOctets(value)]);
    this.#client = { address: "127.0.0.1", port: 49152, ...client };
    this.#tls = tls;
    this.#attempt = attempt;
  }

  method() {
    this.#read("method");
    return this.#method;
  }

  scheme() {
    this.#read("scheme");
    return this.#scheme;
  }

  pathWithQuery() {
    this.#read("path-with-query");
    return this.#target;
  }

  header(name) {
    const wanted = name.toLowerCase();
    this.#read(`header ${wanted}`);
    return this.#lines.filter(([known]) => known === wanted).map(([, value]) => value.slice());
  }

  headers() {
    this.#read("headers");
    const names = [...new Set(this.#lines.map(([name]) => name))];
    return names.flatMap((name) =>
      this.#lines.filter(([known]) => known === name).map(([, value]) => [name, value.slice()]),
    );
  }

  client() {
    this.#read("client");
    return { ...this.#client };
  }

  tls() {
    this.#read("tls");
    if (!this.#tls) return null;
    return { serverName: this.#tls.serverName ?? null, alpn: this.#tls.alpn ?? null };
  }

  attempt() {
    this.#read("attempt");
    return this.#attempt;
  }

  setHeader(name, value) {
    this.edits.push(`set ${checkedName(name)}: ${checkedValue(value)}`);
  }

  appendHeader(name, value) {
    this.edits.push(`append ${notHost(checkedName(name))}: ${checkedValue(value)}`);
  }

  removeHeader(name) {
    this.edits.push(`remove ${notHost(checkedName(name))}`);
  }

  setPathWithQuery(value) {
    if (!/^\/[!-~]*$/.test(value) || value.includes("#")) throw refusal("invalid-syntax");
    this.edits.push(`path-with-query ${value}`);
  }

  #read(what) {
    if (!this.reads.includes(what)) this.reads.push(what);
  }
}

// Fields that frame, upgrade or negotiate the connection, which only the proxy may set.
const RESERVED = [
  "connection",
  "content-length",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

// A token (RFC 9110, section 5.6.2), in lower case, that is not the proxy's.
function checkedName(name) {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw refusal("invalid-syntax");
  const lower = name.toLowerCase();
  if (RESERVED.includes(lower) || lower.startsWith("sec-websocket-")) throw refusal("forbidden");
  return lower;
}

// A request has exactly one `host` (RFC 9112, section 3.2).
function notHost(name) {
  if (name === "host") throw refusal("forbidden");
  return name;
}

// A value without controls (RFC 9110, section 5.5). Octets that are not ASCII are escaped: an edit
// is shown as a text.
function checkedValue(value) {
  const latin1 = toLatin1(value);
  if (/[\0-\x08\n-\x1f\x7f]/.test(latin1)) throw refusal("invalid-syntax");
  return latin1.replace(/[\x80-\xff]/g, (octet) => `\\x${octet.charCodeAt(0).toString(16)}`);
}

// An error as the sandbox throws it.
function refusal(tag) {
  return Object.assign(new Error(tag), { payload: { tag } });
}
