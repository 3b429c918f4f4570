// The exports of the package. `index.d.ts` has the documentation.

import "./src/console.js";

export { backends } from "./src/backends.js";
export { Decision } from "./src/decision.js";
export { ConfigError, EditError, PluginError } from "./src/errors.js";
export { log } from "./src/log.js";
export { toLatin1, toOctets, toText, trimBlanks } from "./src/octets.js";
export { definePlugin } from "./src/plugin.js";
export { questions } from "./src/questions.js";
export { Request } from "./src/request.js";
