// Field lines, and what is in one. Texts here have a character for each octet: a value need not be
// UTF-8. All of it runs at the engine's own pace, in time linear in what a client has sent.

import { toOctets, toLatin1, trimBlanks } from "pointsman-sdk";

export { trimBlanks as trimmed };

// What stands between commas. A comma in a quoted text separates nothing (RFC 9110, section 5.6.1),
// and quotes that never end reach to the end of the line.
const VALUE = /(?:[^",]+|"(?:[^"\\]+|\\[^]?)*(?:"|$))+/g;

export function values(line) {
  const found = line.includes('"') ? (line.match(VALUE) ?? []) : line.split(",");
  return found.map(trimBlanks);
}

// A text of the configuration, as a line is compared with it.
export function octetsOf(text) {
  return toLatin1(toOctets(text));
}

// In lower case, as far as it is ASCII: other characters are octets, not letters.
export function lower(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

// A host without its port: `a:80`, `[::1]:80`. An address such as `::1`, which must have brackets
// to be followed by a port, is left as it is.
export function withoutPort(value) {
  if (value.startsWith("[")) {
    const bracket = value.indexOf("]");
    return bracket > 0 && value[bracket + 1] === ":" ? value.slice(0, bracket + 1) : value;
  }
  const colon = value.indexOf(":");
  return colon >= 0 && value.lastIndexOf(":") === colon ? value.slice(0, colon) : value;
}

// Whether the suffix, with which `value` ends, starts where a label of it does.
export function startsLabel(value, suffix) {
  const start = value.length - suffix.length;
  return start === 0 || value[start - 1] === "." || suffix.startsWith(".");
}
