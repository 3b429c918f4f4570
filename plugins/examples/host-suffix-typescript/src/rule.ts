// The comparison that a rule makes.

import type { Options } from "./config.js";
import { octetsOf, withoutPort } from "./field.js";

export class Rule {
  readonly #suffixes: string[];
  readonly #ignorePort: boolean;
  readonly #labelBoundary: boolean;

  constructor({ suffix, ignore_port, label_boundary }: Options) {
    this.#suffixes = suffix.map(octetsOf);
    this.#ignorePort = ignore_port;
    this.#labelBoundary = label_boundary;
  }

  // Reports whether one of these values, in lower case and without surrounding blanks, has the
  // ending that the rule requires.
  matches(values: string[]): boolean {
    for (const value of values) {
      const compared = this.#ignorePort ? withoutPort(value) : value;
      for (const suffix of this.#suffixes) {
        if (compared.endsWith(suffix) && (!this.#labelBoundary || startsLabel(compared, suffix))) {
          return true;
        }
      }
    }
    return false;
  }

  // Whether all suffixes are ASCII.
  get isAscii(): boolean {
    return this.#suffixes.every((suffix) => /^[\0-\x7f]*$/.test(suffix));
  }

  // Reports whether a line can contain a value that matches. Most lines cannot, and are then not
  // split into values.
  mayMatch(line: string): boolean {
    return this.#suffixes.some((suffix) => line.includes(suffix));
  }
}

// Reports whether the suffix starts at a label of `value`, which must end with the suffix.
function startsLabel(value: string, suffix: string): boolean {
  const start = value.length - suffix.length;
  return start === 0 || value[start - 1] === "." || suffix.startsWith(".");
}
