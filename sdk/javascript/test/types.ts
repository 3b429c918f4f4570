// The type declarations, checked by the compiler alone: `npm run check`.

import {
  type BackendState,
  ConfigError,
  Decision,
  EditError,
  PluginError,
  Request,
  type Server,
  backends,
  definePlugin,
  log,
  questions,
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
import { configure, request, takeLog } from "pointsman-sdk/testing";

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

// The configuration that was read is passed to `route`.
definePlugin({
  config: { backend: backendName },
  cacheable: ({ backend }) => backend === "a",
  route(asked, state) {
    same<typeof asked, Request>(true);
    same<typeof state, { readonly backend: string }>(true);
    return Decision.backend(state.backend);
  },
});

// The result of `configure` is passed to `route`, whatever the order of the keys.
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
// @ts-expect-error: not a decision
definePlugin({ route: () => {} });
// @ts-expect-error: not a decision that the SDK made
definePlugin({ route: () => ({ tag: "backend", val: "a" }) });
// @ts-expect-error: neither a reader nor a shape
definePlugin({ config: { a: 5 }, route: () => Decision.defaultBackend });

export function reads(asked: Request) {
  same<typeof asked.method, string>(true);
  same<typeof asked.query, string | undefined>(true);
  same<typeof asked.host, string>(true);
  same<typeof asked.authority, Uint8Array>(true);
  same<typeof asked.clientCertificateNotAfter, number | undefined>(true);
  same<ReturnType<typeof asked.headerLines>, Uint8Array[]>(true);
  const tls: string | undefined = asked.alpn;
  for (const [name, value] of asked.headers()) asked.appendHeader(name, value);
  // @ts-expect-error: it can be undefined
  toLatin1(asked.header("a"));
  // @ts-expect-error: neither a text nor octets
  asked.setHeader("a", 5);
  return [tls, toText(asked.header("a")), trimBlanks(toLatin1(toOctets("a")))];
}

// An answer has the type of the entries' values.
definePlugin({
  configure: () => ({
    backend: questions.suffix("host", { ".a": Decision.backend("a") }, { ignoreCase: true }),
    number: questions.regex("path", new Map([["a", 1]]), { key: "paths" }),
    mixed: questions.firstSuffix("path", [
      ["a", "b"],
      ["c", null],
    ]),
    network: questions.network("client-address", { "::/0": true }),
    canary: questions.share("cookie:s", { salt: "canary", perMillion: 1 }),
    tenant: questions.lookUp("tenants", "header:x-tenant"),
    usable: questions.usable("a"),
  }),
  route(asked, { backend, number, mixed, network, canary, tenant, usable }) {
    same<ReturnType<typeof asked.ask<Decision | undefined>>, Decision | undefined>(true);
    const found: Decision | undefined = asked.ask(backend);
    const answers: [number | undefined, "b" | null | undefined, true | undefined] = [
      asked.ask(number),
      asked.ask(mixed),
      asked.ask(network),
    ];
    const facts: boolean[] = [asked.ask(canary), asked.ask(usable)];
    same<ReturnType<typeof asked.askText>, string | undefined>(true);
    asked.setAffinityBy(tenant);
    asked.setHeaderBy("x-tenant", tenant);
    asked.tagBy("tenant", tenant);
    // @ts-expect-error: its answer is not a value
    asked.tagBy("canary", canary);
    // @ts-expect-error: its answer is not text
    asked.askText(backend);
    // @ts-expect-error: not a question
    asked.ask(0);
    asked.tag("answers", String([answers, facts, asked.ask(tenant)?.length]));
    return found ?? Decision.next;
  },
});
// @ts-expect-error: the salt is missing
questions.share("cookie:s", { perMillion: 1 });
// @ts-expect-error: these have no option for case
questions.domain("host", {}, { ignoreCase: true });

export const answers: Decision[] = [
  Decision.next,
  Decision.server("a", "s1"),
  Decision.server("a", "s1", { otherwise: "ask-again" }),
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
// @ts-expect-error: not a fallback
Decision.server("a", "s1", { otherwise: "fail" });

export const state: BackendState | undefined = backends.state("a");
export const servers: Server[] | undefined = backends.servers(backends.names()[0] ?? "a");
log.info(state?.usableServers);
export const thrown: PluginError[] = [new ConfigError("a", "b"), new PluginError("c")];
export const path: string = new ConfigError("a", "b").atKey("c").path;
export const entry: number | undefined = new ConfigError("a", "b").entry;
// @ts-expect-error: only the proxy makes one
new EditError("a");

const instance = configure(plugin, { rules: [] }, ["a"], { tables: { t: { a: "b" } } });
configure(plugin, {}, { a: ["s1", "s2"] }, { shares: ["canary"] }).setUsable("a", false);
const asked = request("/", {
  headers: { host: "a" },
  clientPort: 1,
  tls: { alpn: "h2", clientCertificate: { notAfter: 1 } },
  body: "{}",
  shares: [],
});
export const limit = instance.backends.get("a")?.servers[0]?.limit;
export const outcome = [
  instance.route(asked).tag,
  instance.cacheable,
  asked.edits,
  asked.options.affinity,
  asked.tags["a"],
  takeLog(),
];
