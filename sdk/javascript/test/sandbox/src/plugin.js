// The SDK against the proxy's own side of the contract: the path says what is done, and cases.toml
// what has to come of it.

import {
  ConfigError,
  Decision,
  PluginError,
  backends,
  definePlugin,
  log,
  toLatin1,
  toText,
} from "pointsman-sdk";
import { optional, text } from "pointsman-sdk/config";

let kept;

const actions = {
  "/reads": (request) => ({
    method: request.method,
    scheme: request.scheme,
    target: request.pathWithQuery,
    query: request.query,
    param: request.queryParamText("ä"),
    host: request.hostText,
    hostname: request.hostnameText,
    none: [request.header("none") ?? "none", request.headerLines("none").length],
    client: request.client.address,
    tls: request.tls ?? "none",
    attempt: request.attempt,
  }),
  "/octets": (request) => {
    const value = request.header("x-octets");
    return [
      value instanceof Uint8Array,
      toLatin1(value),
      toText(value) ?? "none",
      toLatin1(request.cookie("a")),
      request.cookieText("a") ?? "none",
      request.cookieText("b"),
      request.headers().map(([name, octets]) => `${name}=${toLatin1(octets)}`),
    ];
  },
  "/edits": (request) => {
    request.setHeader("X-A", "ä");
    request.appendHeader("x-b", Uint8Array.of(0x61, 0x62, 0x63).subarray(1));
    request.removeHeader("x-c");
    request.setPathWithQuery("/new?a=b");
    return Decision.defaultBackend;
  },
  "/refused-edits": (request) =>
    [
      () => request.setHeader("a b", "c"),
      () => request.setHeader("a", "\n"),
      () => request.setHeader("\ud800", "c"),
      () => request.appendHeader("host", "c"),
      () => request.setPathWithQuery("\ud800"),
      () => request.setHeader("a", 5),
      () => request.header(5),
      () => request.header("\ud800").length,
    ].map((edit) => {
      try {
        return String(edit());
      } catch (error) {
        return error.reason ?? error.message;
      }
    }),
  "/octets-back": (request) =>
    Decision.respond(200, {
      headers: [["x-octets", request.header("x-octets")]],
      body: request.queryParam("a"),
    }),
  "/redirect": () => Decision.redirect(308, "/é"),
  "/backend": () => Decision.backend("www_backend"),
  "/state": () => [
    backends.state("www_backend"),
    backends.state("x") ?? "none",
    backends.exists("x\ud800"),
  ],
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
  config: { name: optional(text, "") },

  configure({ name }) {
    if (name === "refused") throw new ConfigError("name", "is refused");
    if (name === "mistake") return undefined.length;
    return name;
  },

  route(request, name) {
    const answer = actions[request.path](request, name);
    if (typeof answer?.tag === "string" || answer === undefined || answer instanceof Promise) {
      return answer;
    }
    return Decision.respond(200, { body: JSON.stringify(answer) });
  },
});
