// Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.

import { Decision, type Request, definePlugin, toLatin1 } from "pointsman-sdk";

import { config } from "./config.js";
import { lower, lowerAscii, trimmed, values } from "./field.js";
import { Rule } from "./rule.js";

// Rules that follow each other and look at the same field, which is read once for all.
interface Group {
  header: string;
  rules: { rule: Rule; decision: Decision }[];
  fold: (line: string) => string;
}

export const plugin = definePlugin({
  config,
  cacheable: true,

  configure({ rules }) {
    const groups: Group[] = [];
    for (const options of rules) {
      const header = options.header.toLowerCase();
      let group = groups.at(-1);
      if (group?.header !== header) {
        group = { header, rules: [], fold: lowerAscii };
        groups.push(group);
      }
      const rule = new Rule(options);
      if (!rule.isAscii) group.fold = lower;
      group.rules.push({ rule, decision: Decision.backend(options.backend) });
    }
    return groups;
  },

  route(request, groups) {
    for (const group of groups) {
      const found = valuesOf(request, group);
      if (found.length === 0) continue;
      // The first rule that matches wins, whichever value it is.
      for (const { rule, decision } of group.rules) {
        if (rule.matches(found)) return decision;
      }
    }
    return Decision.defaultBackend;
  },
});

// The values that may match, in lower case and without the blanks around them.
function valuesOf(request: Request, { header, rules, fold }: Group): string[] {
  const lines = request.headerLines(header).map((line) => fold(toLatin1(line)));
  // Host is no list: a comma in it is refused before routing, as is a second line.
  if (header === "host" && lines.length === 1) return lines.map(trimmed);
  const near = lines.filter((line) => rules.some(({ rule }) => rule.mayMatch(line)));
  return near.flatMap(values);
}
