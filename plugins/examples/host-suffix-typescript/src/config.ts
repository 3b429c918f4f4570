// The plugin's options, which ../../host-suffix/README.md explains.

import { ConfigError } from "pointsman-sdk";
import {
  type Read,
  at,
  backendName,
  boolean,
  expected,
  list,
  optional,
  text,
} from "pointsman-sdk/config";

export const config = {
  rules: list({
    header: optional(fieldName, "host"),
    suffix: suffixes,
    backend: backendName,
    ignore_port: optional(boolean, false),
    label_boundary: optional(boolean, false),
  }),
};

// The options of one rule.
export type Options = Read<typeof config>["rules"][number];

// Reads one suffix, or a list of suffixes any of which can match.
function suffixes(value: unknown, path: string): string[] {
  if (typeof value === "string") return [suffix(value, path)];
  if (!Array.isArray(value)) throw expected("a text or a list of texts", value, path);
  if (value.length === 0) throw new ConfigError(path, "an empty list matches no request");
  return value.map((element, index) => suffix(element, at(path, index)));
}

function suffix(value: unknown, path: string): string {
  const read = text(value, path);
  if (read !== "") return read;
  throw new ConfigError(
    path,
    "an empty suffix matches every value; for requests that no other rule matches, set " +
      "the frontend's `default_backend`",
  );
}

// Reads a token (RFC 9110, section 5.6.2).
function fieldName(value: unknown, path: string): string {
  const name = text(value, path);
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return name;
  throw new ConfigError(path, `${JSON.stringify(name)} is not the name of a header field`);
}
