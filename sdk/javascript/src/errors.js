// Errors of a plugin that refuses its configuration, fails to route, or cannot edit a request.

// An intended error: its message is shown as it is, and its stack is not logged.
export class PluginError extends Error {
  static {
    this.prototype.name = "PluginError";
  }
}

// An error about a key of the plugin's configuration.
export class ConfigError extends PluginError {
  static {
    this.prototype.name = "ConfigError";
  }

  #reason;

  constructor(path, message) {
    super(path === "" ? message : `${path}: ${message}`);
    this.path = path;
    this.#reason = message;
  }

  atKey(path) {
    return new ConfigError(path, this.#reason);
  }

  get entry() {
    // The proxy's message is `entry 3, "a", is not ...`, counted from 1.
    const found = /^entry ([1-9][0-9]*)\b/.exec(this.#reason);
    return found ? Number(found[1]) - 1 : undefined;
  }
}

// The proxy's refusal of an edit, with its reason.
export class EditError extends Error {
  static {
    this.prototype.name = "EditError";
  }
}

// Calls a function of the contract. If it throws, `make` converts the message to an error.
export function attempt(call, make) {
  try {
    return call();
  } catch (error) {
    const reason = error?.payload;
    throw typeof reason === "string" ? make(reason) : error;
  }
}
