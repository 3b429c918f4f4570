// What the declarations promise, checked by the compiler alone: `npm run check`.

import {
  type BackendState,
  ConfigError,
  Decision,
  EditError,
  PluginError,
  Request,
  backends,
  definePlugin,
  log,
  toLatin1,
  toOctets,
  toText,
  trimBlanks,
} from "pointsman-sdk";
import {
  type Read,
  at,
  backendName,
  boolean,
  choice,
  expected,
  integer,
  list,
  number,
  optional,
  record,
  table,
  text,
  within,
} from "pointsman-sdk/config";
import { configure, request, setBackend, takeLog } from "pointsman-sdk/testing";

// Fails unless both types are the same.
function same<A, B>(
  _: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false,
) {}

const suffixes = (value: unknown, path: string): string[] => {
  throw expected("a text", value, at(path, 0));
};

const config = {
  rules: list({
    suffix: suffixes,
    header: optional(text, "host"),
    weight: optional(within(0, 1, number)),
    kind: choice("a", "b"),
  }),
  nested: table({ backend: backendName, strict: boolean }),
  names: record(integer),
};

same<
  Read<typeof config>,
  {
    readonly rules: {
      readonly suffix: string[];
      readonly header: string;
      readonly weight: number | undefined;
      readonly kind: "a" | "b";
    }[];
    readonly nested: { readonly backend: string; readonly strict: boolean };
    readonly names: Map<string, number>;
  }
>(true);

// What is read is what `route` gets.
definePlugin({
  config: { backend: backendName },
  cacheable: ({ backend }) => backend === "a",
  route(asked, state) {
    same<typeof asked, Request>(true);
    same<typeof state, { readonly backend: string }>(true);
    return Decision.backend(state.backend);
  },
});

// What `configure` makes is what `route` gets, in whatever order they are written.
export const plugin = definePlugin({
  config,
  configure({ rules, nested }) {
    same<typeof rules, Read<typeof config>["rules"]>(true);
    return { first: rules[0]?.suffix, backend: nested.backend };
  },
  cacheable: true,
  route(asked, { first, backend }) {
    same<typeof first, string[] | undefined>(true);
    same<typeof backend, string>(true);
    return asked.attempt > 0 ? Decision.defaultBackend : Decision.backend(backend);
  },
});

definePlugin({ route: () => Decision.defaultBackend });
definePlugin({ configure: () => 5, route: (_, state) => Decision.backend(state.toFixed()) });
// @ts-expect-error: there is no such key
definePlugin({ config: { backend: text }, route: (_, { bakend }) => Decision.backend(bakend) });
// @ts-expect-error: a plugin cannot wait
definePlugin({ route: async () => Decision.defaultBackend });
// @ts-expect-error: no decision
definePlugin({ route: () => {} });
// @ts-expect-error: none that the SDK has made
definePlugin({ route: () => ({ tag: "backend", val: "a" }) });
// @ts-expect-error: neither a reader nor a shape
definePlugin({ config: { a: 5 }, route: () => Decision.defaultBackend });

export function reads(asked: Request) {
  same<typeof asked.method, string>(true);
  same<typeof asked.query, string | undefined>(true);
  same<typeof asked.host, Uint8Array | undefined>(true);
  same<ReturnType<typeof asked.headerLines>, Uint8Array[]>(true);
  const tls: string | undefined = asked.tls?.alpn;
  for (const [name, value] of asked.headers()) asked.appendHeader(name, value);
  // @ts-expect-error: it may not be there
  toLatin1(asked.header("a"));
  // @ts-expect-error: neither a text nor octets
  asked.setHeader("a", 5);
  return [tls, toText(asked.header("a")), trimBlanks(toLatin1(toOctets("a")))];
}

export const answers: Decision[] = [
  Decision.respond(403),
  Decision.respond(403, { body: "no\n" }),
  Decision.respond(403, { headers: { "x-a": "b" }, body: Uint8Array.of(1) }),
  Decision.respond(403, {
    headers: [
      ["set-cookie", "a"],
      ["set-cookie", Uint8Array.of(1)],
    ],
  }),
  Decision.respond(403, { headers: new Map([["a", "b"]]) }),
  Decision.redirect(301, "/"),
];
// @ts-expect-error: a value, not a function
Decision.defaultBackend();

export const state: BackendState | undefined = backends.state("a");
log.info(state?.usableServers);
export const thrown: PluginError[] = [new ConfigError("a", "b"), new PluginError("c")];
export const path: string = new ConfigError("a", "b").path;
// @ts-expect-error: only the proxy refuses
new EditError("a", "forbidden");

const instance = configure(plugin, { rules: [] }, ["a"]);
const asked = request("/", { headers: { host: "a" }, client: { port: 1 }, tls: { alpn: "h2" } });
setBackend("a", { active: 1 });
export const outcome = [instance.route(asked).tag, instance.cacheable, asked.edits, takeLog()];
