// The glue between a plugin and the contract: configuration, state, and errors.

import { write } from "#proxy";
import { parse } from "../config.js";
import { Answer } from "./decision.js";
import { PluginError } from "./errors.js";
import { kindOf } from "./octets.js";
import { defining } from "./questions.js";
import { Request } from "./request.js";

const definitions = new WeakMap();

export function definePlugin(definition) {
  const { config = {}, configure = (read) => read, cacheable = false, route } = definition;
  // This is thrown while the plugin is being built.
  if (typeof route !== "function") throw new TypeError("a plugin has a function `route`");
  let state;
  let configured = false;
  const plugin = {
    // This function of the contract returns a result, as `route` does: a thrown value becomes its
    // error.
    configure(json) {
      try {
        state = defining(() => configure(parse(json, config)));
        if (typeof state?.then === "function") throw new TypeError("there is nothing to wait for");
        const promised = typeof cacheable === "function" ? cacheable(state) : cacheable;
        if (typeof promised !== "boolean") {
          throw new TypeError(`cacheable is true or false, not ${kindOf(promised)}`);
        }
        configured = true;
        return promised ? "cacheable" : "uncacheable";
      } catch (error) {
        throw reported("configure", error);
      }
    },

    route(head) {
      try {
        if (!configured) throw new PluginError("not configured");
        const decision = route(new Request(head), state);
        if (decision instanceof Answer) return decision;
        throw new TypeError(`expected a Decision, not ${kindOf(decision)}`);
      } catch (error) {
        throw reported("route", error);
      }
    },
  };
  definitions.set(plugin, definition);
  return plugin;
}

// Returns the same plugin, not yet configured, since tests configure it more than once.
export function again(plugin) {
  return definePlugin(definitions.get(plugin));
}

// Returns the text that the proxy shows. An error that is not a PluginError is a mistake of the
// author, and is written to the log with its stack.
function reported(where, error) {
  let [brief, full] = ["something that cannot be shown", ""];
  try {
    if (error instanceof PluginError) return error.message.toWellFormed();
    brief = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    // V8's stacks begin with the message, QuickJS's do not.
    full = error?.stack ? String(error.stack).trimEnd() : "";
  } catch {
    // The getters of the thrown object can throw, too.
  }
  if (!full.startsWith(brief)) full = full === "" ? brief : `${brief}\n${full}`;
  write("error", `${where} threw ${full}`.toWellFormed());
  return `${where} threw ${brief.split("\n", 1)[0]}`.toWellFormed();
}
