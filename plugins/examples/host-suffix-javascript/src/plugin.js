// Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.

import { Decision, definePlugin, toLatin1 } from "pointsman-sdk";

import { config } from "./config.js";
import { lower, trimmed, values } from "./field.js";
import { matcher } from "./rule.js";

export const plugin = definePlugin({
  config,
  cacheable: true,

  // Rules that follow each other and look at the same field are a group: it is read once for all.
  configure({ rules }) {
    const groups = [];
    for (const rule of rules) {
      const header = rule.header.toLowerCase();
      if (groups.at(-1)?.header !== header) groups.push({ header, rules: [] });
      const decision = Decision.backend(rule.backend);
      groups.at(-1).rules.push({ matches: matcher(rule), decision });
    }
    return groups;
  },

  route(request, groups) {
    for (const { header, rules } of groups) {
      const found = valuesOf(request, header);
      if (found.length === 0) continue;
      // The first rule that matches wins, whichever value it is.
      for (const { matches, decision } of rules) {
        if (found.some(matches)) return decision;
      }
    }
    return Decision.defaultBackend;
  },
});

// The values of a field, in lower case and without the blanks around them.
function valuesOf(request, header) {
  const lines = request.headerLines(header).map((line) => lower(toLatin1(line)));
  // Host is no list: a comma in it is refused before routing, as is a second line.
  return header === "host" && lines.length === 1 ? lines.map(trimmed) : lines.flatMap(values);
}
