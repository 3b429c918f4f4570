// Tests of hostile field lines, and of the exact wording of configuration errors. The effect of
// each option is tested by ../../host-suffix/cases.toml, which runs against the component.

import assert from "node:assert/strict";
import test from "node:test";

import { Decision, toLatin1, toOctets } from "pointsman-sdk";
import { configure, request } from "pointsman-sdk/testing";

import { lower, trimmed, values, withoutPort } from "../src/field.js";
import { plugin } from "../src/plugin.js";

const BACKENDS = ["node", "www"];

test("the end of a value decides", () => {
  const router = configure(
    plugin,
    { rules: [{ suffix: "IO.test.tld", backend: "node" }] },
    BACKENDS,
  );
  const cases: [string | Uint8Array, Decision][] = [
    ["io.test.tld", Decision.backend("node")],
    [" \tevilIO.TEST.tld ", Decision.backend("node")],
    [Uint8Array.of(255, 254, ...toOctets(".io.test.tld")), Decision.backend("node")],
    [Uint8Array.of(...toOctets("io.test.tl"), 0xe4), Decision.next],
    ["io.test.tld:8080", Decision.next],
    ["io.test.tld,other", Decision.next],
    ["", Decision.next],
  ];
  for (const [host, decision] of cases) {
    const asked = request("/", { headers: { host } });
    assert.deepEqual(router.route(asked), decision, String(host));
  }
});

test("rules that follow each other are one question, asked no later than it must", () => {
  const rules = [
    { suffix: ".org", backend: "www" },
    { header: "X-Tenant", suffix: "-beta", backend: "node" },
    { header: "x-tenant", suffix: "-gamma", backend: "www" },
    { suffix: "io.test.tld", backend: "node" },
  ];
  const router = configure(plugin, { rules }, BACKENDS);
  assert(router.cacheable);
  const asked = request("/", { headers: { host: "a.org", "x-tenant": "a-beta" } });
  assert.deepEqual(router.route(asked), Decision.backend("www"));
  assert.deepEqual(asked.reads, ["first-suffix over header:host"]);
  const other = request("/", { headers: { host: "a.io.test.tld", "x-tenant": "a" } });
  assert.deepEqual(router.route(other), Decision.backend("node"));
  assert.deepEqual(other.reads, [
    "first-suffix over header:host",
    "version",
    "first-suffix over values:x-tenant",
  ]);
});

test("a rule with an option reads the field", () => {
  const cases: [object, string, Decision][] = [
    [{ ignore_port: true }, "IO.test.tld:80", Decision.backend("node")],
    [{ ignore_port: true }, "io.test.tld.", Decision.next],
    [{ label_boundary: true }, "a.io.TEST.tld", Decision.backend("node")],
    [{ label_boundary: true }, "evilio.test.tld", Decision.next],
  ];
  for (const [options, host, decision] of cases) {
    const rules = [{ suffix: "io.test.tld", backend: "node", ...options }];
    const asked = request("/", { headers: { host } });
    assert.deepEqual(configure(plugin, { rules }, BACKENDS).route(asked), decision, host);
    assert.deepEqual(asked.reads, ["version", "header host"]);
  }
});

test("a connection without HTTP has a host", () => {
  for (const options of [{}, { label_boundary: true }]) {
    const rules = [{ suffix: "io.test.tld", backend: "node", ...options }];
    const router = configure(plugin, { rules }, BACKENDS);
    const cases: [string, Decision][] = [
      ["a.io.test.tld", Decision.backend("node")],
      ["b.test", Decision.next],
    ];
    for (const [serverName, decision] of cases) {
      const connection = request("/", { version: null, tls: { serverName } });
      assert.deepEqual(router.route(connection), decision);
    }
  }
});

test("letters are folded, other octets are not", () => {
  for (const options of [{}, { label_boundary: true }]) {
    const rules = [{ suffix: "Ä.tld", backend: "node", ...options }];
    const router = configure(plugin, { rules }, BACKENDS);
    const cases: [string | Uint8Array, Decision][] = [
      ["x.Ä.TLD", Decision.backend("node")],
      ["x.ä.tld", Decision.next],
      [Uint8Array.of(0xe3, 0x84, ...toOctets(".tld")), Decision.next],
    ];
    for (const [host, decision] of cases) {
      assert.deepEqual(router.route(request("/", { headers: { host } })), decision, String(host));
    }
  }
  assert.equal(lower("AZ[\xc0\xde\xff%C3%u0041"), "az[\xc0\xde\xff%c3%u0041");
});

test("a line is taken apart at its commas", () => {
  const cases: [string, string[]][] = [
    ["", [""]],
    ['"",,', ['""']],
    [",, ,", ["", "", "", ""]],
    ["a, b\t,,c", ["a", "b", "", "c"]],
    ['"a,b" , c', ['"a,b"', "c"]],
    ['"a\\",b", c"d,"', ['"a\\",b"', 'c"d,"']],
    ['a,"b,c', ["a", '"b,c']],
    ['"a,\\', ['"a,\\']],
    ['a\\",b', ['a\\",b']],
  ];
  for (const [line, expected] of cases) {
    assert.deepEqual(values(line), expected, line);
  }
});

test("blanks are those of ASCII", () => {
  const cases: [string, string][] = [
    [" \t\n\f\ra b \t", "a b"],
    ["\v a\xa0", "\v a\xa0"],
    [" \xa0 a \v ", "\xa0 a \v"],
    ["  ", ""],
    [" \xa0 ", "\xa0"],
  ];
  for (const [value, expected] of cases) {
    assert.equal(trimmed(value), expected, JSON.stringify(value));
  }
});

test("a port is left out", () => {
  const cases: [string, string][] = [
    ["a:80", "a"],
    ["a:", "a"],
    ["a", "a"],
    [":80", ""],
    ["[::1]:80", "[::1]"],
    ["[::1]", "[::1]"],
    ["[::1]x:80", "[::1]x:80"],
    ["[::1", "[::1"],
    ["2001:db8::1", "2001:db8::1"],
  ];
  for (const [host, expected] of cases) {
    assert.equal(withoutPort(host), expected, host);
  }
});

test("no octets are too strange", () => {
  const rules = [
    {
      header: "x",
      suffix: ["a", "\xe4"],
      backend: "node",
      ignore_port: true,
      label_boundary: true,
    },
    { suffix: ["a", "\ud83d\ude00"], backend: "node", ignore_port: true, label_boundary: true },
  ];
  const router = configure(plugin, { rules }, BACKENDS);
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const octets = () =>
    Uint8Array.from({ length: random(12) }, () =>
      random(3) ? random(256) : '",\\:[].a \t'.charCodeAt(random(10)),
    );
  for (let count = 0; count < 5000; count++) {
    const [host, x] = [octets(), octets()];
    const { tag } = router.route(
      request("/", {
        headers: [
          ["host", host],
          ["x", x],
          ["X", host],
        ],
      }),
    );
    assert(["backend", "next"].includes(tag));
    assert(values(toLatin1(x)).every((value) => toLatin1(x).includes(value)));
  }
});

test("a bad configuration is refused at its key", () => {
  const empty =
    "an empty suffix matches every value; for requests that no other rule matches, set " +
    "the frontend's `default_backend`";
  const rule = { suffix: "a", backend: "node" };
  const cases: [unknown, string][] = [
    [[rule, { ...rule, backend: "c" }], 'rules[1].backend: there is no backend "c"'],
    [[{ ...rule, suffix: 5 }], "rules[0].suffix: expected a text or a list of texts, found 5"],
    [[{ ...rule, suffix: ["a", 5] }], "rules[0].suffix[1]: expected a text, found 5"],
    [[{ ...rule, suffix: [] }], "rules[0].suffix: an empty list matches no request"],
    [[{ ...rule, suffix: "" }], `rules[0].suffix: ${empty}`],
    [[{ ...rule, suffix: ["a", ""] }], `rules[0].suffix[1]: ${empty}`],
    [[{ ...rule, header: "x y" }], 'rules[0].header: "x y" is not the name of a header field'],
    [[{ ...rule, header: "" }], 'rules[0].header: "" is not the name of a header field'],
    [
      [{ ...rule, ignore_port: "yes" }],
      'rules[0].ignore_port: expected true or false, found "yes"',
    ],
    [[{ ...rule, label_boundary: 1 }], "rules[0].label_boundary: expected true or false, found 1"],
    [[{ ...rule, sufix: "a" }], "rules[0].sufix: unknown key"],
    [[{ backend: "node" }], 'rules[0]: missing key "suffix"'],
    [[{ suffix: "a" }], 'rules[0]: missing key "backend"'],
    [["a"], 'rules[0]: expected a table, found "a"'],
    ["a", 'rules: expected a list, found "a"'],
    [undefined, 'missing key "rules"'],
  ];
  for (const [rules, message] of cases) {
    assert.throws(() => configure(plugin, { rules }, BACKENDS), { message });
  }
  assert.throws(() => configure(plugin, { rules: [], rule: [] }, BACKENDS), {
    message: "rule: unknown key",
  });
});
