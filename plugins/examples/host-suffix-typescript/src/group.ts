// Groups of consecutive rules with the same field and the same options.

import { Decision, type Request, questions, toLatin1 } from "pointsman-sdk";

import type { Options } from "./config.js";
import { lower, octetsOf, startsLabel, trimmed, values, withoutPort } from "./field.js";

interface Look {
  header: string;
  ignorePort: boolean;
  labelBoundary: boolean;
}

export interface Group extends Look {
  hasOptions: boolean;
  // Suffixes in lower case, each with the decision of the first rule that has it.
  suffixes: Map<string, Decision>;
}

// Returns the decision of the first rule of a group that matches.
type Decide = (request: Request) => Decision | undefined;

export function grouped(rules: Options[]): Group[] {
  const groups: Group[] = [];
  for (const rule of rules) {
    const header = rule.header.toLowerCase();
    const options = { ignorePort: rule.ignore_port, labelBoundary: rule.label_boundary };
    let group = groups.at(-1);
    if (!group || !looksAlike(group, { header, ...options })) {
      const hasOptions = options.ignorePort || options.labelBoundary;
      group = { header, ...options, hasOptions, suffixes: new Map() };
      groups.push(group);
    }
    for (const suffix of rule.suffix.map(lower)) {
      if (!group.suffixes.has(suffix)) group.suffixes.set(suffix, Decision.backend(rule.backend));
    }
  }
  return groups;
}

function looksAlike(one: Look, other: Look): boolean {
  return (["header", "ignorePort", "labelBoundary"] as const).every(
    (key) => one[key] === other[key],
  );
}

// Returns the function that decides for a group without options, by asking questions.
export function asked({ header, suffixes }: Group): Decide {
  const options = { ignoreCase: true, key: "rules" };
  if (header !== "host") {
    const field = questions.firstSuffix(`values:${header}`, suffixes, options);
    return (request) => request.ask(field);
  }
  // Host is not a list. A connection without HTTP has a host but no fields.
  const field = questions.firstSuffix("header:host", suffixes, options);
  const connection = questions.firstSuffix("host", suffixes, options);
  return (request) =>
    request.ask(field) ?? (request.version === undefined ? request.ask(connection) : undefined);
}

// Returns the function that decides for a group with options, by reading the field's values.
export function read({ header, ignorePort, labelBoundary, suffixes }: Group): Decide {
  const entries = Array.from(suffixes, ([suffix, decision]) => ({
    suffix: octetsOf(suffix),
    decision,
  }));
  return (request) => {
    const found = valuesOf(request, header).map(lower);
    const compared = ignorePort ? found.map(withoutPort) : found;
    const ends = (suffix: string) => (value: string) =>
      value.endsWith(suffix) && (!labelBoundary || startsLabel(value, suffix));
    return entries.find(({ suffix }) => compared.some(ends(suffix)))?.decision;
  };
}

function valuesOf(request: Request, header: string): string[] {
  if (header === "host" && request.version === undefined) return [request.host];
  const lines = request.headerLines(header).map(toLatin1);
  return header === "host" ? lines.map(trimmed) : lines.flatMap(values);
}
