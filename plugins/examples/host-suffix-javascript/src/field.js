// Field lines and their parts. Strings here have one character per octet, since a value need not be
// UTF-8. All work is done by the engine's built-in functions, in time linear in the size of what a
// client has sent.

import { toOctets, toLatin1, trimBlanks } from "pointsman-sdk";

export { trimBlanks as trimmed };

// Matches one value between commas. A comma inside a quoted string does not separate values (RFC
// 9110, section 5.6.1). A quoted string that is not closed extends to the end of the line.
const VALUE = /(?:[^",]+|"(?:[^"\\]+|\\[^]?)*(?:"|$))+/g;

export function values(line) {
  const found = line.includes('"') ? (line.match(VALUE) ?? []) : line.split(",");
  return found.map(trimBlanks);
}

// Converts a string of the configuration to one character per octet, so that lines can be compared
// with it.
export function octetsOf(text) {
  return toLatin1(toOctets(text));
}

// Converts ASCII letters to lower case; other characters are octets, not letters.
export function lower(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

// Returns a host without its port: `a` for `a:80`, `[::1]` for `[::1]:80`. An address such as `::1`
// stays as it is, since it needs brackets before a port.
export function withoutPort(value) {
  if (value.startsWith("[")) {
    const bracket = value.indexOf("]");
    return bracket > 0 && value[bracket + 1] === ":" ? value.slice(0, bracket + 1) : value;
  }
  const colon = value.indexOf(":");
  return colon >= 0 && value.lastIndexOf(":") === colon ? value.slice(0, colon) : value;
}

// Reports whether the suffix starts at a label of `value`, which must end with the suffix.
export function startsLabel(value, suffix) {
  const start = value.length - suffix.length;
  return start === 0 || value[start - 1] === "." || suffix.startsWith(".");
}
