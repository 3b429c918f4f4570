// A request head in memory, in the form of the contract.

import { pairs } from "../src/decision.js";
import { toLatin1, toOctets, toText, toUtf8, trimBlanks } from "../src/octets.js";
import * as parts from "./parts.js";
import { Trap, refusal } from "./questions.js";
import * as syntax from "./syntax.js";

export class Head {
  reads = [];
  edits = [];
  responseEdits = [];
  options = {};
  tags = {};
  #facts;
  #lines;
  #ownShares;
  #questions;
  #trap;

  constructor(target, options = {}) {
    const { tls, body, bodyIsComplete = true } = options;
    const isHttp = options.version !== null;
    const headers = (isHttp && options.headers) || [];
    this.#ownShares = options.shares;
    // Blanks around a value are not part of it (RFC 9110, section 5.5).
    this.#lines = pairs(headers).map(([name, value]) => [
      name,
      trimBlanks(toLatin1(toOctets(value))),
    ]);
    this.#facts = {
      method: "GET",
      scheme: tls ? "https" : "http",
      version: "1.1",
      clientAddress: "127.0.0.1",
      clientPort: 49152,
      attempt: 0,
      ...options,
      ...(isHttp ? { target } : { target: "", method: "" }),
      host: () => (isHttp ? parts.host(this.#linesOf("host")[0] ?? "") : (tls?.serverName ?? "")),
      body: body === undefined ? undefined : toLatin1(toOctets(body)),
      isComplete: body !== undefined && bodyIsComplete,
      lines: (name) => this.#linesOf(name),
    };
  }

  // Called before each use of the head. Sets the plugin's questions, and the shares that the
  // request is in, unless the head has its own.
  enter(questions, shares) {
    this.#questions = questions;
    this.#facts.shares = new Set(this.#ownShares ?? shares);
  }

  // Throws the error that would have trapped the plugin, whatever the plugin has caught.
  leave() {
    const trap = this.#trap;
    this.#trap = undefined;
    if (trap) throw trap;
  }

  #linesOf(name) {
    const wanted = name.toLowerCase();
    return this.#lines.filter(([known]) => known.toLowerCase() === wanted).map(([, line]) => line);
  }

  method() {
    return this.#read("method", this.#facts.method);
  }

  scheme() {
    return this.#read("scheme", this.#facts.scheme);
  }

  version() {
    return this.#read("version", this.#facts.version);
  }

  authority() {
    return this.#read("authority", toOctetsOf(this.#linesOf("host")[0] ?? ""));
  }

  host() {
    return this.#read("host", this.#facts.host());
  }

  pathWithQuery() {
    return this.#read("path-with-query", this.#facts.target);
  }

  path() {
    return this.#read("path", parts.pathOf(this.#facts.target));
  }

  queryParameter(name) {
    const value = parts.parameter(this.#facts.target, toUtf8(name));
    return this.#read(`query-parameter ${name}`, toOctetsOf(value));
  }

  header(name) {
    return this.#read(`header ${name.toLowerCase()}`, this.#linesOf(name).map(toOctetsOf));
  }

  headers() {
    return this.#read(
      "headers",
      this.#lines.map(([name, line]) => [name, toOctetsOf(line)]),
    );
  }

  cookie(name) {
    const value = parts.cookie(this.#linesOf("cookie"), toUtf8(name));
    return this.#read(`cookie ${name}`, toOctetsOf(value));
  }

  clientAddress() {
    return this.#read("client-address", this.#facts.clientAddress);
  }

  clientPort() {
    return this.#read("client-port", this.#facts.clientPort);
  }

  serverName() {
    return this.#read("server-name", this.#facts.tls?.serverName);
  }

  alpn() {
    return this.#read("alpn", this.#facts.tls?.alpn);
  }

  clientCertificateSubject() {
    return this.#certificate("subject", "subject");
  }

  clientCertificateIssuer() {
    return this.#certificate("issuer", "issuer");
  }

  clientCertificateNames() {
    return this.#certificate("names", "names") ?? [];
  }

  clientCertificateSerial() {
    return this.#certificate("serial", "serial");
  }

  clientCertificateSha256() {
    return this.#certificate("sha256", "sha256");
  }

  clientCertificateNotAfter() {
    return this.#certificate("not-after", "notAfter");
  }

  #certificate(read, fact) {
    return this.#read(`client-certificate-${read}`, this.#facts.tls?.clientCertificate?.[fact]);
  }

  attempt() {
    return this.#read("attempt", this.#facts.attempt);
  }

  bodyPrefix() {
    return this.#read("body-prefix", toOctetsOf(this.#facts.body));
  }

  bodyIsComplete() {
    return this.#read("body-is-complete", this.#facts.isComplete);
  }

  ask(number) {
    const { shown, answer } = this.#question(number, false);
    return this.#read(shown, answer(this.#facts));
  }

  askValue(number) {
    const { shown, answer } = this.#question(number, true);
    return this.#read(shown, answer(this.#facts));
  }

  // Returns an answer that is used without being read.
  #value(number) {
    return this.#question(number, true).answer(this.#facts);
  }

  #question(number, isValue) {
    try {
      if (!this.#questions) throw new Trap(`question ${number} was not defined`);
      return this.#questions.find(number, isValue);
    } catch (trap) {
      throw this.#end(trap);
    }
  }

  #end(trap) {
    this.#trap = trap;
    return trap;
  }

  // An option without a value is null in the sandbox.
  #read(what, value) {
    if (!this.reads.includes(what)) this.reads.push(what);
    return value ?? null;
  }

  #edit(edits, edit) {
    if (this.#facts.version === null) {
      throw refusal("a connection without HTTP has nothing to edit");
    }
    edits.push(edit);
  }

  setHeader(name, value) {
    this.#edit(this.edits, `set ${syntax.line(name, value)}`);
  }

  setHeaderBy(name, number) {
    const value = this.#value(number);
    if (value === null || !syntax.isValue(value)) this.removeHeader(name);
    else this.setHeader(name, value);
  }

  appendHeader(name, value) {
    this.#edit(this.edits, `append ${syntax.line(name, value)}`);
  }

  removeHeader(name) {
    this.#edit(this.edits, `remove ${syntax.field(name)}`);
  }

  setAuthority(value) {
    this.#edit(this.edits, `set host: ${syntax.authority(value)}`);
  }

  setPathWithQuery(value) {
    this.#edit(this.edits, `path-with-query ${syntax.target(value)}`);
  }

  replacePathPrefix(length, replacement) {
    const shown = JSON.stringify(syntax.pathPrefix(replacement));
    this.#edit(this.edits, `replace-path-prefix ${length} ${shown}`);
  }

  setResponseHeader(name, value) {
    this.#edit(this.responseEdits, `set ${syntax.line(name, value)}`);
  }

  appendResponseHeader(name, value) {
    this.#edit(this.responseEdits, `append ${syntax.line(name, value)}`);
  }

  removeResponseHeader(name) {
    this.#edit(this.responseEdits, `remove ${syntax.field(name)}`);
  }

  setAffinity(key) {
    this.options.affinity = key;
  }

  setAffinityBy(number) {
    const key = this.#value(number);
    if (key === null) delete this.options.affinity;
    else this.options.affinity = key;
  }

  setQueueTimeout(milliseconds) {
    this.options.queueTimeout = milliseconds;
  }

  setConnectTimeout(milliseconds) {
    this.options.connectTimeout = milliseconds;
  }

  setServerTimeout(milliseconds) {
    this.options.serverTimeout = milliseconds;
  }

  setTunnelTimeout(milliseconds) {
    this.options.tunnelTimeout = milliseconds;
  }

  setTries(tries) {
    this.options.tries = tries;
  }

  tag(name, value) {
    if (!syntax.isToken(name)) {
      throw this.#end(new Trap(`${JSON.stringify(name)} is not the name of a tag`));
    }
    this.tags[name] = value;
  }

  tagBy(name, number) {
    const value = this.#value(number);
    if (value !== null) this.tag(name, toText(value) ?? toLatin1(value));
  }
}

function toOctetsOf(latin1) {
  if (latin1 === undefined) return undefined;
  return Uint8Array.from(latin1, (octet) => octet.charCodeAt(0));
}
