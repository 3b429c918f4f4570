// The proxy, as seen from inside the sandbox: the functions that the contract imports. In Node,
// `double.js` replaces this file; see "imports" in package.json.

import "./random.js";

export { names, servers, state } from "pointsman:router/backends@1.0.0";
export { write } from "pointsman:router/log@1.0.0";
export {
  defineDomain,
  defineExact,
  defineFirstSuffix,
  defineLookUp,
  defineNetwork,
  definePathPrefix,
  definePrefix,
  defineRegex,
  defineShare,
  defineSuffix,
  defineUsable,
  defineValue,
} from "pointsman:router/questions@1.0.0";
