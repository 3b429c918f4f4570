// Sends clients that have the cookie `canary=1` to a backend of their own.

import { Decision, definePlugin } from "pointsman-sdk";
import { backendName } from "pointsman-sdk/config";

export const plugin = definePlugin({
  // The table `router.config` of the proxy's configuration; its type follows.
  config: { backend: backendName },

  // A decision follows from the configuration and from what was read of the request alone.
  cacheable: true,

  route(request, { backend }) {
    if (request.cookieText("canary") === "1") {
      return Decision.backend(backend);
    }
    return Decision.defaultBackend;
  },
});
