// The proxy, from inside the sandbox: the contract's imported functions.
// In Node, `double.js` is in this file's place; see "imports" in package.json.

import "./random.js";

export { state } from "pointsman:router/backends@0.1.0";
export { write } from "pointsman:router/log@0.1.0";
