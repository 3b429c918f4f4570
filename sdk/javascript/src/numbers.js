// Numbers to and from the proxy. The contract uses unsigned 32-bit numbers. componentize-qjs 0.4.5
// truncates a number that needs more than 31 bits, and returns such a number as signed.

const MAX = 2 ** 31 - 1;

// Converts a number from the proxy; an option without a value is null there.
export function unsigned(value) {
  return value == null ? undefined : value >>> 0;
}

// Checks a number for the proxy: it must be whole, and within these bounds.
export function whole(value, what, least = 0, most = MAX) {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${what} is a whole number from ${least} to ${most}`);
}
