// The plugin's lines in the proxy's log. The table [log] of the proxy's configuration filters them.

import { write } from "#proxy";

const at = (level) => (message) => write(level, String(message).toWellFormed());

export const log = Object.freeze({
  trace: at("trace"),
  debug: at("debug"),
  info: at("info"),
  warn: at("warn"),
  error: at("error"),
});
