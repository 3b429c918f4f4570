// Copies of the proxy's checks of an edit.

import { toLatin1 } from "../src/octets.js";
import { refusal } from "./questions.js";

// Fields that frame, upgrade or negotiate the connection. Only the proxy may set them.
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

// Reports whether `text` is a token (RFC 9110, section 5.6.2).
export function isToken(text) {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(text);
}

// Checks the name of a field that plugins may set, and returns it in lower case.
export function field(name) {
  const lower = name.toLowerCase();
  const shown = JSON.stringify(lower);
  if (lower === "host") throw refusal('the field "host" is set by `set-authority`');
  if (RESERVED.includes(lower) || lower.startsWith("sec-websocket-")) {
    throw refusal(`the field ${shown} is set by the proxy alone`);
  }
  if (!isToken(lower)) throw refusal(`${shown} is not a field name`);
  return lower;
}

// Reports whether HTTP allows octets as a field value: they have no control characters (RFC 9110,
// section 5.5).
export function isValue(value) {
  return !/[\0-\x08\n-\x1f\x7f]/.test(toLatin1(value));
}

// Checks a line of a field.
export function line(name, value) {
  const lower = field(name);
  if (!isValue(value)) {
    throw refusal(`the field ${JSON.stringify(lower)} cannot have this value`);
  }
  return `${lower}: ${shown(toLatin1(value).replace(/^[ \t]+|[ \t]+$/g, ""))}`;
}

// Checks a host with or without a port (RFC 9110, section 7.2).
export function authority(value) {
  const text = shown(toLatin1(value));
  if (/^(?:[\w.~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/.test(text)) return text;
  throw refusal(`${JSON.stringify(text)} is not a host with an optional port`);
}

// Checks a target in origin form (RFC 9112, section 3.2.1).
export function target(text) {
  if (/^\/[!-~]*$/.test(text) && !text.includes("#")) return text;
  throw refusal(`${JSON.stringify(text)} is not a target in origin form`);
}

// Checks the string that replaces the start of a path.
export function pathPrefix(text) {
  if (/^[!-~]*$/.test(text) && !/[?#]/.test(text)) return text;
  throw refusal(`${JSON.stringify(text)} is not a part of a path`);
}

// Escapes octets that are not ASCII, since an edit is shown as text.
function shown(latin1) {
  return latin1.replace(/[\x80-\xff]/g, (octet) => `\\x${octet.charCodeAt(0).toString(16)}`);
}
