// What a rule compares.

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

  // Whether one of these values, in lower case and without blanks around it, ends as the rule asks.
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

  // Whether it compares with nothing but ASCII.
  get isAscii(): boolean {
    return this.#suffixes.every((suffix) => /^[\0-\x7f]*$/.test(suffix));
  }

  // Whether a line may have such a value: most have none, and are not worth taking apart.
  mayMatch(line: string): boolean {
    return this.#suffixes.some((suffix) => line.includes(suffix));
  }
}

// Whether the suffix, with which `value` ends, starts where a label of it does.
function startsLabel(value: string, suffix: string): boolean {
  const start = value.length - suffix.length;
  return start === 0 || value[start - 1] === "." || suffix.startsWith(".");
}
