// Octets and texts. The values of fields are octets, and clients send what they like: what reads
// them here answers for any, and never throws. QuickJS has neither TextDecoder nor TextEncoder,
// and a loop over octets takes it ten times as long as a function of its own.

const NOT_ASCII = /[^\0-\x7f]/;

// As many arguments as any engine takes at once.
const CHUNK = 4096;

// Each octet as the character of its number.
export function toLatin1(octets) {
  if (octets.toBase64 !== undefined) return atob(octets.toBase64());
  let text = "";
  for (let at = 0; at < octets.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, octets.subarray(at, at + CHUNK));
  }
  return text;
}

// What toLatin1 has made, back in octets.
export function fromLatin1(latin1) {
  if (Uint8Array.fromBase64 !== undefined) return Uint8Array.fromBase64(btoa(latin1));
  return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
}

// The text that octets are in UTF-8; undefined where they are none.
export function toText(octets) {
  return octets && fromUtf8(toLatin1(octets));
}

// toText of what toLatin1 has made.
export function fromUtf8(latin1) {
  if (!NOT_ASCII.test(latin1)) return latin1;
  try {
    return decodeURIComponent(escape(latin1));
  } catch {
    return undefined;
  }
}

// A text in UTF-8, as toLatin1 would show it. Half a surrogate pair becomes U+FFFD.
export function toUtf8(text) {
  return NOT_ASCII.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text;
}

// A text in UTF-8; octets as they are. Anything else would trap on its way to the proxy.
export function toOctets(value) {
  if (typeof value === "string") return fromLatin1(toUtf8(value));
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`expected a string or a Uint8Array, not ${kindOf(value)}`);
}

// Without the blanks around it. Not trim alone: two more of the octets are blanks to it.
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

// A string that the proxy takes: one with half a surrogate pair would trap.
export function toWellFormed(value, what) {
  if (typeof value !== "string") {
    throw new TypeError(`${what} is a string, not ${kindOf(value)}`);
  }
  return value.toWellFormed();
}

// What an author's mistake is, in few words.
export function kindOf(value) {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value.then === "function") return "a promise";
  if (typeof value === "object") return "an object";
  return `a ${typeof value}`;
}
