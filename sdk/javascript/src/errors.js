// Why a plugin refuses its configuration, fails to route, or cannot edit a request.

// An error that is meant: it is told as it is, without a stack in the log.
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

  constructor(path, message) {
    super(path === "" ? message : `${path}: ${message}`);
    this.path = path;
  }
}

const REASONS = {
  "invalid-syntax": "not a field or target that HTTP allows",
  forbidden: "a field that only the proxy may set",
};

// The proxy's refusal of an edit.
export class EditError extends Error {
  static {
    this.prototype.name = "EditError";
  }

  constructor(what, reason) {
    super(`cannot ${what}: ${REASONS[reason]}`);
    this.reason = reason;
  }
}
