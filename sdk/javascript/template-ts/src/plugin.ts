// Sends clients with the cookie `canary=1` to a separate backend.

import { Decision, definePlugin, questions } from "pointsman-sdk";
import { backendName } from "pointsman-sdk/config";

export const plugin = definePlugin({
  // The table `router.config` of the proxy's configuration. The type of `configure`'s argument
  // follows from it.
  config: { backend: backendName },

  // A decision depends only on the answers to questions, so the proxy can reuse it.
  cacheable: true,

  // The proxy answers this question by itself, so two cached decisions serve all clients.
  configure({ backend }) {
    return questions.exact("cookie:canary", { 1: Decision.backend(backend) });
  },

  route(request, canary) {
    return request.ask(canary) ?? Decision.next;
  },
});
