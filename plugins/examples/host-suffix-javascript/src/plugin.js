// Routes by the end of a header field, as HAProxy's ACL `hdr_end(host) -i` does, with a few more
// options.
//
// Rules without options become a question, which the proxy answers by itself, so one cached
// decision serves every host with the same answer. A rule with an option has to read the field.

import { Decision, definePlugin } from "pointsman-sdk";

import { config } from "./config.js";
import { asked, grouped, read } from "./group.js";

export const plugin = definePlugin({
  config,
  cacheable: true,

  // Returns one deciding function for each group of rules.
  configure({ rules }) {
    return grouped(rules).map((group) => (group.hasOptions ? read(group) : asked(group)));
  },

  // The first rule that matches wins.
  route(request, groups) {
    for (const decide of groups) {
      const decision = decide(request);
      if (decision) return decision;
    }
    return Decision.next;
  },
});
