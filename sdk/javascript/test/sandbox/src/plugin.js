// The SDK against the proxy's implementation of the contract. The path selects the test, and
// cases.toml contains the expected results.

import {
  ConfigError,
  Decision,
  PluginError,
  backends,
  definePlugin,
  log,
  questions,
  toLatin1,
  toText,
} from "pointsman-sdk";
import { optional, text } from "pointsman-sdk/config";

let kept;

const actions = {
  "/reads": (request) => ({
    method: request.method,
    scheme: request.scheme,
    version: request.version ?? "none",
    authority: toText(request.authority),
    host: request.host,
    target: request.pathWithQuery,
    query: request.query,
    parameter: request.queryParameterText("ä"),
    none: [request.header("none") ?? "none", request.headerLines("none").length],
    client: [request.clientAddress, typeof request.clientPort],
    attempt: request.attempt,
    body: [request.bodyPrefix ?? "none", request.bodyIsComplete],
  }),
  "/tls": (request) => [
    request.serverName ?? "none",
    request.alpn ?? "none",
    request.clientCertificateSubject ?? "none",
    request.clientCertificateIssuer ?? "none",
    request.clientCertificateNames,
    request.clientCertificateSerial ?? "none",
    request.clientCertificateSha256 ?? "none",
    request.clientCertificateNotAfter ?? "none",
  ],
  "/questions": (request, { asked }) =>
    Object.entries(asked).map(([name, question]) => {
      const answer = request.ask(question) ?? "none";
      return `${name} ${answer instanceof Uint8Array ? toLatin1(answer) : answer}`;
    }),
  "/by": (request, { asked }) => {
    request.setHeaderBy("x-value", asked.value);
    request.setAffinityBy(asked.value);
    request.tagBy("value", asked.value);
    return Decision.next;
  },
  "/late": () => questions.value("host"),
  "/octets": (request) => {
    const value = request.header("x-octets");
    return [
      value instanceof Uint8Array,
      toLatin1(value),
      toText(value) ?? "none",
      toLatin1(request.cookie("a")),
      request.cookieText("a") ?? "none",
      request.cookieText("b"),
      request.cookie("c") ?? "none",
      request.headers().map(([name, octets]) => `${name}=${toLatin1(octets)}`),
    ];
  },
  "/edits": (request) => {
    request.setHeader("X-A", "ä");
    request.appendHeader("x-b", Uint8Array.of(0x61, 0x62, 0x63).subarray(1));
    request.removeHeader("x-c");
    request.setAuthority("b.test:80");
    request.setPathWithQuery("/new?a=b");
    return Decision.defaultBackend;
  },
  "/edits/prefix": (request) => {
    request.replacePathPrefix(6, "");
    request.setResponseHeader("x-a", "ä");
    request.appendResponseHeader("set-cookie", "a=b");
    request.removeResponseHeader("server");
    return Decision.next;
  },
  "/options": (request) => {
    request.setAffinity(Uint8Array.of(255));
    request.setQueueTimeout(0);
    request.setConnectTimeout(1);
    request.setServerTimeout(30_000);
    request.setTunnelTimeout(2 ** 31 - 1);
    request.setTries(3);
    request.tag("a", "ä");
    return Decision.server("www_backend", "www_backend", { otherwise: "ask-again" });
  },
  "/uncaught": (request) => request.setHeader("te", "a"),
  "/refused-edits": (request) =>
    [
      () => request.setHeader("a b", "c"),
      () => request.setHeader("a", "\n"),
      () => request.setHeader("\ud800", "c"),
      () => request.appendHeader("host", "c"),
      () => request.setAuthority("a b"),
      () => request.setPathWithQuery("\ud800"),
      () => request.replacePathPrefix(0, "?"),
      () => request.setResponseHeader("te", "a"),
      () => request.setHeader("a", 5),
      () => request.header(5),
      () => request.header("\ud800").length,
    ].map((edit) => {
      try {
        return String(edit());
      } catch (error) {
        return error.message;
      }
    }),
  "/octets-back": (request) =>
    Decision.respond(200, {
      headers: [["x-octets", request.header("x-octets")]],
      body: request.queryParameter("a"),
    }),
  "/redirect": () => Decision.redirect(308, "/é"),
  "/backend": () => Decision.backend("www_backend"),
  "/state": () => [
    backends.names(),
    backends.state("www_backend"),
    backends.state("x") ?? "none",
    backends
      .servers("www_backend")
      .map(({ usable, limit, latency }) => [usable, limit ?? "none", latency ?? "none"]),
    backends.servers("x") ?? "none",
    backends.exists("x\ud800"),
  ],
  "/default": () => Decision.defaultBackend,
  "/log": () => {
    log.info("a line \ud800 \0");
    log.error(undefined);
    return Decision.defaultBackend;
  },
  "/meant": () => {
    throw new PluginError("meant \ud800");
  },
  "/mistake": () => undefined.length,
  "/undefined": () => undefined,
  "/promise": async () => Decision.defaultBackend,
  "/own": () => ({ tag: "backend", val: 5 }),
  "/status": () => Decision.respond(1000),
  "/big": () => "x".repeat(2 ** 29),
  "/keep": (request) => {
    kept = request;
    return Decision.defaultBackend;
  },
  "/clock": () => Date.now() > 0 && performance.now() !== 0 && Math.random() < 1,
};

export const plugin = definePlugin({
  config: { name: optional(text, ""), over: optional(text, "host") },

  configure({ name, over }) {
    if (name === "refused") throw new ConfigError("name", "is refused");
    if (name === "mistake") return undefined.length;
    const pairs = { ".test": "b", ".a.test": "a" };
    const asked = {
      exact: questions.exact(over, { "b.a.test": 1 }, { key: "over" }),
      prefix: questions.prefix("path", { "/q": "q" }),
      pathPrefix: questions.pathPrefix("path", { "/q": "q", "/questions/": "questions" }),
      suffix: questions.suffix("host", pairs),
      firstSuffix: questions.firstSuffix("authority", { ".TEST": 1 }, { ignoreCase: true }),
      domain: questions.domain("host", { test: "test", "x.test": "x" }),
      network: questions.network("client-address", { "127.0.0.0/8": "v4", "::/0": "v6" }),
      regex: questions.regex("path", { "^/[a-z]+$": "letters" }),
      all: questions.share("random", { salt: "a", perMillion: 1_000_000 }),
      none: questions.share("random", { salt: "a", perMillion: 0 }),
      value: questions.value("header:x-value"),
      usable: questions.usable("www_backend"),
    };
    if (name === "table") asked.lookUp = questions.lookUp("tenants", "header:x-value");
    return { name, asked };
  },

  route(request, state) {
    const answer = actions[request.path](request, state);
    if (typeof answer?.tag === "string" || answer === undefined || answer instanceof Promise) {
      return answer;
    }
    return Decision.respond(200, { body: JSON.stringify(answer) });
  },
});
