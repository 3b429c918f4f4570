// Conversions between octets and strings. Clients can send any octets as field values, so the
// functions that read field values accept any octets, and never throw. QuickJS has neither
// TextDecoder nor TextEncoder, and a loop over octets takes ten times as long there as a built-in
// function.

const NOT_ASCII = /[^\0-\x7f]/;

// A number of arguments that any engine accepts in one call.
const CHUNK = 4096;

// Converts octets to a string, with one character per octet.
export function toLatin1(octets) {
  if (octets.toBase64 !== undefined) return atob(octets.toBase64());
  let text = "";
  for (let at = 0; at < octets.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, octets.subarray(at, at + CHUNK));
  }
  return text;
}

// Converts the result of toLatin1 back to octets.
export function fromLatin1(latin1) {
  if (Uint8Array.fromBase64 !== undefined) return Uint8Array.fromBase64(btoa(latin1));
  return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
}

// Decodes octets as UTF-8; undefined if they are not UTF-8.
export function toText(octets) {
  return octets && fromUtf8(toLatin1(octets));
}

// Does what toText does, for the result of toLatin1.
export function fromUtf8(latin1) {
  if (!NOT_ASCII.test(latin1)) return latin1;
  try {
    return decodeURIComponent(escape(latin1));
  } catch {
    return undefined;
  }
}

// Encodes a string as UTF-8, in the form of toLatin1. An unpaired surrogate becomes U+FFFD.
export function toUtf8(text) {
  return NOT_ASCII.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text;
}

// Encodes a string as UTF-8; octets stay as they are. Anything else is an error here, since it
// would trap on its way to the proxy.
export function toOctets(value) {
  if (typeof value === "string") return fromLatin1(toUtf8(value));
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`expected a string or a Uint8Array, not ${kindOf(value)}`);
}

// Removes surrounding blanks. trim would also remove two octets that are not blanks in HTTP.
export function trimBlanks(latin1) {
  if (latin1.trim().length === latin1.length) return latin1;
  const rest = latin1.trimStart();
  const taken = latin1.slice(0, latin1.length - rest.length);
  const kept = taken.search(/[\v\xa0]/);
  return trimBlanksEnd(kept < 0 ? rest : latin1.slice(kept));
}

export function trimBlanksEnd(latin1) {
  const { length } = latin1.trimEnd();
  if (length === latin1.length) return latin1;
  const taken = latin1.slice(length);
  return latin1.slice(0, length + 1 + Math.max(taken.lastIndexOf("\v"), taken.lastIndexOf("\xa0")));
}

// Returns a string that the proxy accepts: unpaired surrogates, which would trap, are replaced.
export function toWellFormed(value, what) {
  if (typeof value !== "string") {
    throw new TypeError(`${what} is a string, not ${kindOf(value)}`);
  }
  return value.toWellFormed();
}

// Describes a wrong value in few words.
export function kindOf(value) {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value.then === "function") return "a promise";
  if (typeof value === "object") return "an object";
  return `a ${typeof value}`;
}
