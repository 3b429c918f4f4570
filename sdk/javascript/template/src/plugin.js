// Sends clients with the cookie `canary=1` to a backend of their own.

import { Decision, definePlugin, questions } from "pointsman-sdk";
import { backendName } from "pointsman-sdk/config";

export const plugin = definePlugin({
  // The table `router.config` of the proxy's configuration.
  config: { backend: backendName },

  // A decision follows from the answers to questions alone: the proxy may use it again.
  cacheable: true,

  // The proxy answers this by itself, so that two cached decisions serve all clients.
  configure({ backend }) {
    return questions.exact("cookie:canary", { 1: Decision.backend(backend) });
  },

  route(request, canary) {
    return request.ask(canary) ?? Decision.next;
  },
});
