// Values in texts that clients send: cookies and parameters of a query. As toLatin1 shows them.
//
// By regular expressions, for those run at an engine's own pace: a head may have 64 KiB, and what
// does not end within the proxy's deadline is a fault. Each is linear in what it reads.

import { trimBlanksEnd } from "./octets.js";

const BLANK = "[\\t\\n\\f\\r ]";

// As many names as a plugin may ask for without making their patterns anew.
const MAX_PATTERNS = 100;

const cookies = new Map();
const parameters = new Map();

// The pattern of a name, made once.
function patternOf(patterns, name, make) {
  let pattern = patterns.get(name);
  if (pattern === undefined) {
    if (patterns.size === MAX_PATTERNS) patterns.clear();
    pattern = make(name);
    patterns.set(name, pattern);
  }
  return pattern;
}

// Where the value of the first cookie `name` is in a line (RFC 6265, section 4.2).
export function cookieIn(line, name) {
  // Most often there is none, and this says so soonest.
  if (!line.includes(`${name}=`)) return undefined;
  const found = patternOf(cookies, name, cookiePattern)?.exec(line);
  if (!found) return undefined;
  const start = found.index + found[0].length;
  const next = line.indexOf(";", start);
  const value = line.slice(start, next < 0 ? line.length : next);
  return { start, end: start + trimBlanksEnd(value).length };
}

// A name that no cookie can have gets none.
function cookiePattern(name) {
  if (/^[\t\n\f\r ]|;/.test(name)) return null;
  return new RegExp(`(?:^|;)${BLANK}*${[...name].map(literal).join("")}=`);
}

// The value of the first parameter `name` in a query, decoded.
export function parameterIn(query, name) {
  const found = patternOf(parameters, name, parameterPattern).exec(query);
  return found ? decoded(found[1] ?? "") : undefined;
}

// Any way in which a form may write the name.
function parameterPattern(name) {
  const octets = [...name].map((octet) => {
    const encoded = `%${caseless(hex(octet))}`;
    if (octet === " ") return `(?:[ +]|${encoded})`;
    if (octet === "%") return `(?:%(?![0-9A-Fa-f]{2})|${encoded})`;
    if ("+&=".includes(octet)) return encoded;
    return `(?:${literal(octet)}|${encoded})`;
  });
  return new RegExp(`(?:^|&)${octets.join("")}(?:=([^&]*)|(?=&|$))`);
}

// What a form wrote (application/x-www-form-urlencoded). An escape that is none stays, as it does
// with unescape; %u, which is one to that alone, is kept from it.
function decoded(text) {
  if (!/[+%]/.test(text)) return text;
  return unescape(text.split("+").join(" ").replaceAll("%u", "%25u"));
}

function literal(octet) {
  return `\\x${hex(octet)}`;
}

function hex(octet) {
  return octet.charCodeAt(0).toString(16).padStart(2, "0");
}

function caseless(digits) {
  return digits.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
}
