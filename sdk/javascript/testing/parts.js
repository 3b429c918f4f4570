// The parts of a request that questions are about: a simple version of the proxy's code. Octets are
// strings with one character per octet, in the form of toLatin1; undefined means no answer.

import { fromUtf8, toUtf8, trimBlanks } from "../src/octets.js";
import { NumberText, parseJson } from "./json.js";

// Returns a function that reads every line or member of a part; undefined if `over` names no part.
export function readerOf(over) {
  const colon = over.indexOf(":");
  if (colon < 0) return PLAIN.get(over);
  const [kind, name] = [over.slice(0, colon), over.slice(colon + 1)];
  if (kind === "body-json") return bodyJson(name);
  const read = NAMED.get(kind);
  return read && name !== "" ? (head) => read(head, name) : undefined;
}

const PLAIN = new Map([
  ["method", ({ method }) => some(method)],
  ["scheme", ({ scheme }) => some(scheme)],
  ["authority", (head) => head.lines("host").slice(0, 1)],
  ["host", (head) => some(head.host())],
  ["path", ({ target }) => some(pathOf(target))],
  ["path-with-query", ({ target }) => some(target)],
  ["client-address", ({ clientAddress }) => some(clientAddress)],
  ["server-name", ({ tls }) => some(tls?.serverName)],
]);

const NAMED = new Map([
  ["query", ({ target }, name) => asList(parameter(target, toUtf8(name)))],
  ["header", (head, name) => head.lines(name)],
  ["values", (head, name) => head.lines(name).flatMap(members)],
  ["cookie", (head, name) => asList(cookie(head.lines("cookie"), toUtf8(name)))],
]);

function some(text) {
  return text ? [toUtf8(text)] : [];
}

function asList(value) {
  return value === undefined ? [] : [value];
}

export function pathOf(target) {
  return target.split("?", 1)[0];
}

// Returns a host in lower case, without port or trailing dot.
export function host(authority) {
  return authority
    .replace(/:[0-9]*$/, "")
    .replace(/\.$/, "")
    .toLowerCase();
}

// Returns the first parameter with that name, form-decoded. An invalid escape stays as it is.
export function parameter(target, name) {
  const query = target.split("?").slice(1).join("?");
  for (const pair of query === "" ? [] : query.split("&")) {
    const [, key, value = ""] = /^([^=]*)=?(.*)$/s.exec(pair);
    if (pair !== "" && decoded(key) === name) return decoded(value);
  }
  return undefined;
}

function decoded(text) {
  const octet = (_, digits) => String.fromCharCode(parseInt(digits, 16));
  return toUtf8(text)
    .replaceAll("+", " ")
    .replace(/%([0-9A-Fa-f]{2})/g, octet);
}

// Returns the value of the first cookie with that name, which is case-sensitive.
export function cookie(lines, name) {
  for (const pair of lines.flatMap((line) => line.split(";"))) {
    const [, key, value] = /^([^=]*)=(.*)$/s.exec(trimBlanks(pair)) ?? [];
    if (key === name && value !== undefined) return value;
  }
  return undefined;
}

// Returns the members of a comma-separated list. A comma inside a quoted string does not separate
// members (RFC 9110, section 5.6.1).
export function members(line) {
  const found = line.includes('"')
    ? (line.match(/(?:[^",]+|"(?:[^"\\]+|\\[^]?)*(?:"|$))+/g) ?? [])
    : line.split(",");
  return found.map(trimBlanks);
}

// Returns the string, number or boolean that the pointer finds in a body that is complete and has
// no content coding.
function bodyJson(pointer) {
  if (!/^(?:\/(?:[^~]|~[01])*)?$/s.test(pointer)) return undefined;
  const tokens = pointer.split("/").slice(1).map(unescaped);
  return (head) => {
    const coded = head.lines("content-encoding").some((line) => line.toLowerCase() !== "identity");
    if (!head.isComplete || coded) return [];
    const value = tokens.reduce(step, parseJson(fromUtf8(head.body)));
    if (typeof value === "string" || typeof value === "boolean") return [toUtf8(String(value))];
    return value instanceof NumberText ? [value.text] : [];
  };
}

function unescaped(token) {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}

function step(value, token) {
  if (Array.isArray(value)) return /^(?:0|[1-9][0-9]*)$/.test(token) ? value[token] : undefined;
  return value instanceof Map ? value.get(token) : undefined;
}
