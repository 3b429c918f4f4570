// The request whose route is being decided. Each read crosses the sandbox boundary, but the method,
// host, path and target cross it only once. In the sandbox, an option without a value is null.

import { EditError, attempt } from "./errors.js";
import { unsigned, whole } from "./numbers.js";
import { kindOf, toOctets, toText, toWellFormed } from "./octets.js";
import { Question, ValueQuestion } from "./questions.js";

const FIELD = "a field's name";
const TAG = "a tag's name";
const MAX_TRIES = 16;

export class Request {
  #head;
  #method;
  #host;
  #path;
  #target;

  constructor(head) {
    this.#head = head;
  }

  ask(question) {
    if (question instanceof Question) return question.answer(this.#head);
    throw new TypeError(`expected a question, not ${kindOf(question)}`);
  }

  askText(question) {
    numberOf(question);
    return toText(this.ask(question));
  }

  get method() {
    return (this.#method ??= this.#head.method());
  }

  get scheme() {
    return this.#head.scheme();
  }

  get version() {
    return this.#head.version() ?? undefined;
  }

  get authority() {
    return this.#head.authority();
  }

  get host() {
    return (this.#host ??= this.#head.host());
  }

  get pathWithQuery() {
    return (this.#target ??= this.#head.pathWithQuery());
  }

  get path() {
    return (this.#path ??= this.#head.path());
  }

  get query() {
    const target = this.pathWithQuery;
    const mark = target.indexOf("?");
    return mark < 0 ? undefined : target.slice(mark + 1);
  }

  queryParameter(name) {
    return this.#head.queryParameter(toWellFormed(name, "a parameter's name")) ?? undefined;
  }

  queryParameterText(name) {
    return toText(this.queryParameter(name));
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
    return this.#head.cookie(toWellFormed(name, "a cookie's name")) ?? undefined;
  }

  cookieText(name) {
    return toText(this.cookie(name));
  }

  get clientAddress() {
    return this.#head.clientAddress();
  }

  get clientPort() {
    return this.#head.clientPort();
  }

  get serverName() {
    return this.#head.serverName() ?? undefined;
  }

  get alpn() {
    return this.#head.alpn() ?? undefined;
  }

  get clientCertificateSubject() {
    return this.#head.clientCertificateSubject() ?? undefined;
  }

  get clientCertificateIssuer() {
    return this.#head.clientCertificateIssuer() ?? undefined;
  }

  get clientCertificateNames() {
    return this.#head.clientCertificateNames();
  }

  get clientCertificateSerial() {
    return this.#head.clientCertificateSerial() ?? undefined;
  }

  get clientCertificateSha256() {
    return this.#head.clientCertificateSha256() ?? undefined;
  }

  get clientCertificateNotAfter() {
    const seconds = this.#head.clientCertificateNotAfter();
    return seconds == null ? undefined : Number(seconds);
  }

  get attempt() {
    return unsigned(this.#head.attempt());
  }

  get bodyPrefix() {
    return this.#head.bodyPrefix() ?? undefined;
  }

  get bodyIsComplete() {
    return this.#head.bodyIsComplete();
  }

  setHeader(name, value) {
    const [field, octets] = [toWellFormed(name, FIELD), toOctets(value)];
    edit(() => this.#head.setHeader(field, octets));
  }

  setHeaderBy(name, question) {
    const [field, number] = [toWellFormed(name, FIELD), numberOf(question)];
    edit(() => this.#head.setHeaderBy(field, number));
  }

  appendHeader(name, value) {
    const [field, octets] = [toWellFormed(name, FIELD), toOctets(value)];
    edit(() => this.#head.appendHeader(field, octets));
  }

  removeHeader(name) {
    const field = toWellFormed(name, FIELD);
    edit(() => this.#head.removeHeader(field));
  }

  setAuthority(value) {
    const octets = toOctets(value);
    edit(() => this.#head.setAuthority(octets));
  }

  setPathWithQuery(value) {
    const target = toWellFormed(value, "a target");
    edit(() => this.#head.setPathWithQuery(target));
  }

  replacePathPrefix(length, replacement) {
    const bytes = whole(length, "the length of a prefix");
    const path = toWellFormed(replacement, "a path");
    edit(() => this.#head.replacePathPrefix(bytes, path));
  }

  setResponseHeader(name, value) {
    const [field, octets] = [toWellFormed(name, FIELD), toOctets(value)];
    edit(() => this.#head.setResponseHeader(field, octets));
  }

  appendResponseHeader(name, value) {
    const [field, octets] = [toWellFormed(name, FIELD), toOctets(value)];
    edit(() => this.#head.appendResponseHeader(field, octets));
  }

  removeResponseHeader(name) {
    const field = toWellFormed(name, FIELD);
    edit(() => this.#head.removeResponseHeader(field));
  }

  setAffinity(key) {
    this.#head.setAffinity(toOctets(key));
  }

  setAffinityBy(question) {
    this.#head.setAffinityBy(numberOf(question));
  }

  setQueueTimeout(milliseconds) {
    this.#head.setQueueTimeout(timeout(milliseconds, 0));
  }

  setConnectTimeout(milliseconds) {
    this.#head.setConnectTimeout(timeout(milliseconds, 1));
  }

  setServerTimeout(milliseconds) {
    this.#head.setServerTimeout(timeout(milliseconds, 1));
  }

  setTunnelTimeout(milliseconds) {
    this.#head.setTunnelTimeout(timeout(milliseconds, 1));
  }

  setTries(tries) {
    this.#head.setTries(whole(tries, "the number of tries", 1, MAX_TRIES));
  }

  tag(name, value) {
    this.#head.tag(toWellFormed(name, TAG), toWellFormed(value, "a tag's value"));
  }

  tagBy(name, question) {
    this.#head.tagBy(toWellFormed(name, TAG), numberOf(question));
  }
}

function edit(call) {
  attempt(call, (reason) => new EditError(reason));
}

function numberOf(question) {
  if (question instanceof ValueQuestion) return question.number;
  throw new TypeError("expected a question whose answer is a value");
}

function timeout(milliseconds, least) {
  return whole(milliseconds, "a timeout in milliseconds", least);
}
