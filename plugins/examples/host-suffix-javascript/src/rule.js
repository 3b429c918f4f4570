// What a rule compares.

import { octetsOf, withoutPort } from "./field.js";

// A function that tells whether a value ends as the rule asks.
export function matcher({ suffix, ignore_port, label_boundary }) {
  const suffixes = suffix.map(octetsOf);
  const ends = label_boundary ? endsWithLabels : endsWith;
  return ignore_port
    ? (value) => ends(withoutPort(value), suffixes)
    : (value) => ends(value, suffixes);
}

function endsWith(value, suffixes) {
  return suffixes.some((suffix) => value.endsWith(suffix));
}

// Whether a suffix starts where a label of the value does.
function endsWithLabels(value, suffixes) {
  return suffixes.some(
    (suffix) =>
      value.endsWith(suffix) &&
      (suffix.startsWith(".") ||
        value.length === suffix.length ||
        value[value.length - suffix.length - 1] === "."),
  );
}
