// Numbers on their way to the proxy and from it. The contract has 32 bits without a sign;
// componentize-qjs 0.4.5 cuts a number that takes more than 31 bits, and gives one a sign.

const MAX = 2 ** 31 - 1;

// A number from the proxy; an option without a value is null there.
export function unsigned(value) {
  return value == null ? undefined : value >>> 0;
}

// A number for the proxy: whole, and within these bounds.
export function whole(value, what, least = 0, most = MAX) {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${what} is a whole number from ${least} to ${most}`);
}
