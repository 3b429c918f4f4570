import assert from "node:assert/strict";
import test from "node:test";

import { text } from "../config.js";
import { ConfigError, Decision, PluginError, backends, definePlugin, log } from "../index.js";
import { configure, request, takeLog } from "../testing.js";

const always = (answer) => definePlugin({ route: () => answer });

test("a plugin sees its configuration, the backends and the log", () => {
  const plugin = definePlugin({
    config: { name: text },
    configure: ({ name }) => ({ name, count: 0 }),
    cacheable: ({ name }) => name === "a",
    route(asked, state) {
      asked.setHeader("x-count", String(++state.count));
      log.info(`${state.name} ${state.count}`);
      const busy = backends.state(state.name)?.active > 0;
      return busy ? Decision.defaultBackend : Decision.backend(state.name);
    },
  });
  const [a, b] = [configure(plugin, { name: "a" }), configure(plugin, '{"name": "b"}', ["a"])];
  assert.deepEqual([a.cacheable, b.cacheable], [true, false]);
  const asked = request("/");
  assert.deepEqual(a.route(asked), Decision.backend("a"));
  assert.deepEqual(a.route(asked), Decision.backend("a"));
  assert.deepEqual(b.route(asked), Decision.backend("b"));
  assert.deepEqual(asked.edits, ["set x-count: 1", "set x-count: 2", "set x-count: 1"]);
  assert.deepEqual(
    takeLog().map(({ level, message }) => `${level} ${message}`),
    ["info a 1", "info a 2", "info b 1"],
  );
  b.backends.get("a").servers[0].active = 1;
  assert.deepEqual(b.route(asked), Decision.backend("b"));
});

test("a plugin sees its own backends", () => {
  const seen = () => [
    backends.names(),
    backends.state("a"),
    backends.servers("a")?.map(({ name, usable, limit }) => [name, usable, limit]),
    [backends.exists("a"), backends.exists("c\ud800"), backends.servers("c")],
  ];
  let found;
  const plugin = definePlugin({
    route() {
      found = seen();
      return Decision.next;
    },
  });
  const first = configure(plugin, {}, { a: ["s1", "s2"], b: [] });
  configure(plugin, {}, ["c"]);
  first.backends.get("a").servers[0].usable = false;
  // In the form in which the sandbox returns 32-bit numbers.
  Object.assign(first.backends.get("a").servers[1], { active: 3, limit: -1 });
  first.backends.get("a").queued = 2;
  first.route(request());
  assert.deepEqual(found, [
    ["a", "b"],
    { usableServers: 1, active: 3, queued: 2 },
    [
      ["s1", false, undefined],
      ["s2", true, 2 ** 32 - 1],
    ],
    [true, false, undefined],
  ]);
});

test("a plugin without configuration refuses any key, and is not cacheable", () => {
  const plugin = always(Decision.defaultBackend);
  assert.equal(configure(plugin).cacheable, false);
  assert.throws(() => configure(plugin, { a: 1 }), { message: "a: unknown key" });
});

test("decisions are as the contract has them", () => {
  for (const [decision, expected] of [
    [Decision.backend("a"), { tag: "backend", val: "a" }],
    [Decision.backend("a\ud800"), { tag: "backend", val: "a\ufffd" }],
    [Decision.defaultBackend, { tag: "default-backend" }],
    [Decision.next, { tag: "next" }],
    [
      Decision.server("a", "s1"),
      { tag: "server", val: { backend: "a", server: "s1", otherwise: "another-server" } },
    ],
    [
      Decision.server("a", "s1", { otherwise: "ask-again" }),
      { tag: "server", val: { backend: "a", server: "s1", otherwise: "ask-again" } },
    ],
    [
      Decision.respond(404),
      { tag: "respond", val: { status: 404, headers: [], body: new Uint8Array() } },
    ],
    [
      Decision.respond(403, { headers: { "x-a": Uint8Array.of(255) }, body: "ä" }),
      {
        tag: "respond",
        val: {
          status: 403,
          headers: [["x-a", Uint8Array.of(255)]],
          body: Uint8Array.of(0xc3, 0xa4),
        },
      },
    ],
    [
      Decision.respond(200, { headers: new Map([["a", "b"]]) }),
      {
        tag: "respond",
        val: { status: 200, headers: [["a", Uint8Array.of(0x62)]], body: new Uint8Array() },
      },
    ],
    [
      Decision.redirect(308, "/x"),
      {
        tag: "respond",
        val: {
          status: 308,
          headers: [["location", Uint8Array.of(0x2f, 0x78)]],
          body: new Uint8Array(),
        },
      },
    ],
  ]) {
    assert.deepEqual({ ...decision }, expected);
    assert.equal(configure(always(decision)).route(request()), decision);
  }
  for (const make of [
    () => Decision.backend(5),
    () => Decision.server("a"),
    () => Decision.server("a", "s1", { otherwise: "fail" }),
    () => Decision.respond("403"),
    () => Decision.respond(199),
    () => Decision.respond(600),
    () => Decision.respond(200.5),
    () => Decision.respond(200, { headers: "a: b" }),
    () => Decision.respond(200, { headers: [["a"]] }),
    () => Decision.respond(200, { headers: { a: 5 } }),
    () => Decision.respond(200, { body: { a: 1 } }),
    () => Decision.redirect(301),
  ]) {
    assert.throws(make, /TypeError|RangeError/);
  }
});

test("what is no decision is told", () => {
  for (const [answer, kind] of [
    [undefined, "undefined"],
    [null, "null"],
    ["www", "a string"],
    [{ tag: "backend", val: "a" }, "an object"],
    [Promise.resolve(Decision.defaultBackend), "a promise"],
  ]) {
    const message = `route threw TypeError: expected a Decision, not ${kind}`;
    assert.throws(() => configure(always(answer)).route(request()), { message });
    takeLog();
  }
});

test("an error that is meant is told as it is", () => {
  const plugin = definePlugin({
    config: { a: text },
    configure({ a }) {
      if (a === "bad") throw new ConfigError("a", "is bad");
      if (a === "worse") throw new ConfigError("", "all of it is bad");
    },
    route() {
      throw new PluginError("no way\nout");
    },
  });
  assert.throws(() => configure(plugin, { a: "bad" }), { message: "a: is bad" });
  assert.throws(() => configure(plugin, { a: "worse" }), { message: "all of it is bad" });
  assert.throws(() => configure(plugin, { a: "" }).route(request()), { message: "no way\nout" });
  assert.deepEqual(takeLog(), []);
});

test("an edit that is refused becomes an error with its reason", () => {
  const plugin = definePlugin({ route: (asked) => asked.setHeader("te", "a") });
  assert.throws(() => configure(plugin).route(request()), {
    message: 'route threw EditError: the field "te" is set by the proxy alone',
  });
  takeLog();
});

test("an author's mistake is told with its stack", () => {
  function blunder() {
    return undefined.length;
  }
  const inRoute = configure(definePlugin({ route: blunder }));
  assert.throws(() => inRoute.route(request()), {
    message: "route threw TypeError: Cannot read properties of undefined (reading 'length')",
  });
  const [line, ...rest] = takeLog();
  assert.deepEqual([line.level, rest], ["error", []]);
  assert.match(
    line.message,
    /^route threw TypeError: Cannot read .*\n +at blunder .*plugin\.test\.js/,
  );

  const inConfigure = definePlugin({ configure: blunder, route: () => Decision.defaultBackend });
  assert.throws(() => configure(inConfigure), /^Error: configure threw TypeError: Cannot read/);
  assert.match(takeLog()[0].message, /\n +at blunder /);
});

test("whatever is thrown is told in one line", () => {
  const spiteful = {
    get stack() {
      throw new Error();
    },
    toString() {
      throw new Error();
    },
  };
  class Own extends Error {
    name = "Own";
  }
  for (const [thrown, message] of [
    ["text", "route threw text"],
    [undefined, "route threw undefined"],
    [null, "route threw null"],
    [Symbol("a"), "route threw Symbol(a)"],
    [Object.create(null), "route threw something that cannot be shown"],
    [spiteful, "route threw something that cannot be shown"],
    [new Own("a\nb"), "route threw Own: a"],
    ["half \ud800", "route threw half \ufffd"],
  ]) {
    const plugin = definePlugin({
      route() {
        throw thrown;
      },
    });
    assert.throws(() => configure(plugin).route(request()), { message });
    assert.equal(takeLog().length, 1);
  }
});

test("a plugin that makes no sense is refused", () => {
  assert.throws(() => definePlugin({}), { message: "a plugin has a function `route`" });
  const route = () => Decision.defaultBackend;
  for (const [plugin, message] of [
    [definePlugin({ route, async configure() {} }), /nothing to wait for/],
    [definePlugin({ route, cacheable: "yes" }), /cacheable is true or false, not a string/],
    [definePlugin({ route, config: 5 }), /a reader is a function/],
  ]) {
    assert.throws(() => configure(plugin), { message });
  }
  assert.throws(
    () => definePlugin({ route }).route({}),
    (error) => error === "not configured",
  );
});

test("any value can be logged", () => {
  takeLog();
  log.trace("a");
  log.debug(5);
  log.warn(undefined);
  log.error(new Error("b"));
  log.info("half \ud800");
  assert.deepEqual(takeLog(), [
    { level: "trace", message: "a" },
    { level: "debug", message: "5" },
    { level: "warn", message: "undefined" },
    { level: "error", message: "Error: b" },
    { level: "info", message: "half \ufffd" },
  ]);
});
