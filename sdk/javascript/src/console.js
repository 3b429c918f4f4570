// `console` for the sandbox, where the engine has none. It writes lines to the proxy's log.

import { log } from "./log.js";

const at =
  (level) =>
  (...values) =>
    log[level](values.map(shown).join(" "));

globalThis.console ??= Object.freeze({
  debug: at("debug"),
  log: at("info"),
  info: at("info"),
  warn: at("warn"),
  error: at("error"),
});

export function shown(value) {
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
  if (typeof value !== "object") return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    // The value is cyclic, or contains a BigInt.
    return String(value);
  }
}
