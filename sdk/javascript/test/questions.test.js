// Tests of questions, as plugins define and ask them.

import assert from "node:assert/strict";
import test from "node:test";

import { Decision, definePlugin, questions, toLatin1 } from "../index.js";
import { use } from "../src/double.js";
import { defining } from "../src/questions.js";
import { configure, request, takeLog } from "../testing.js";

// Makes a plugin with one question, which reports its answer.
function asking(define, backends, proxy) {
  let answer;
  const plugin = definePlugin({
    configure: define,
    cacheable: true,
    route(asked, question) {
      answer = asked.ask(question);
      return Decision.next;
    },
  });
  const instance = configure(plugin, {}, backends, proxy);
  const ask = (target, options) => {
    instance.route(request(target, options));
    return answer instanceof Uint8Array ? toLatin1(answer) : answer;
  };
  return Object.assign(ask, { instance });
}

test("each part is read", () => {
  const options = {
    headers: [
      ["host", "A.Test:80"],
      ["x-a", "1, 2"],
      ["X-A", '"3,4"'],
      ["cookie", "s=t"],
    ],
    tls: { serverName: "sni.test" },
    clientAddress: "10.0.0.1",
  };
  for (const [over, expected] of [
    ["method", "GET"],
    ["scheme", "https"],
    ["authority", "A.Test:80"],
    ["host", "a.test"],
    ["path", "/p"],
    ["path-with-query", "/p?q=r+s"],
    ["query:q", "r s"],
    ["query:z", undefined],
    ["header:X-a", "1, 2"],
    ["header:z", undefined],
    ["values:x-a", "1"],
    ["cookie:s", "t"],
    ["client-address", "10.0.0.1"],
    ["server-name", "sni.test"],
  ]) {
    assert.equal(asking(() => questions.value(over))("/p?q=r+s", options), expected, over);
  }
});

test("every line and member counts", () => {
  const headers = [
    ["x-a", "b, c"],
    ["x-a", '"d,e" ,f'],
  ];
  for (const [over, entry, expected] of [
    ["header:x-a", "b, c", true],
    ["header:x-a", '"d,e" ,f', true],
    ["header:x-a", "b", undefined],
    ["values:x-a", "c", true],
    ["values:x-a", '"d,e"', true],
    ["values:x-a", "f", true],
    ["values:x-a", "e", undefined],
  ]) {
    const ask = asking(() => questions.exact(over, { [entry]: true }));
    assert.equal(ask("/", { headers }), expected, `${over} ${entry}`);
  }
});

test("the first line that equals an entry wins", () => {
  const ask = asking(() => questions.exact("values:a", { bb: 1, a: 2 }));
  for (const [lines, expected] of [
    [["c, a", "bb"], 2],
    [["bb", "a"], 1],
    [["c", "d"], undefined],
  ]) {
    assert.equal(ask("/", { headers: lines.map((line) => ["a", line]) }), expected, `${lines}`);
  }
});

test("a member of a body is read", () => {
  for (const [pointer, body, expected] of [
    ["/model", '{"model": "a\\u00e4"}', "a\xc3\xa4"],
    ["/n", '{"n": 1.50e2}', "1.50e2"],
    ["/b", '{"b": true}', "true"],
    ["/b", '{"b": null}', undefined],
    ["/b", '{"b": {}}', undefined],
    ["/a/1/b~1c~0", '{"a": [0, {"b/c~": "x"}]}', "x"],
    ["/a/01", '{"a": [0, 1]}', undefined],
    ["/a/2", '{"a": [0, 1]}', undefined],
    ["", '"x"', "x"],
    ["/a", '{"a": 1, "a": 2}', undefined],
    ["/a", '{"a": 1, "b": 1, "b": 2}', "1"],
    ["/a", '{"b": "{\\"a\\": 2, [", "a": "\\\\"}', "\\"],
    ["/a", '{"a": NaN}', undefined],
    ["/a", '{"a": 1', undefined],
    ["/a", "[".repeat(100_000) + "]".repeat(100_000), undefined],
    ["/a", Uint8Array.of(255), undefined],
  ]) {
    const ask = asking(() => questions.value(`body-json:${pointer}`));
    assert.equal(ask("/", { body }), expected, `${pointer} ${String(body).slice(0, 99)}`);
  }
  const ask = asking(() => questions.value("body-json:/a"));
  const body = '{"a": 1}';
  assert.equal(ask("/", { body, headers: { "content-encoding": "gzip" } }), undefined);
  assert.equal(ask("/", { body, bodyIsComplete: false }), undefined);
  assert.equal(ask("/"), undefined);
});

// Entries, each with itself as the value; then parts, each with the entry that matches.
const MATCHERS = [
  [questions.exact, "path", ["/a", "/b"], { "/b": "/b", "/B": undefined, "/bc": undefined }],
  [questions.prefix, "path", ["/a", "/a/b"], { "/a/bc": "/a/b", "/ab": "/a", "/": undefined }],
  [
    questions.pathPrefix,
    "path",
    ["/a/", "/a/b"],
    { "/a": "/a/", "/a/": "/a/", "/ab": undefined, "/a/b/c": "/a/b" },
  ],
  [questions.pathPrefix, "path", ["/"], { "/": "/", "/a": "/", "*": undefined }],
  [questions.suffix, "path", [".b", ".a.b"], { "/c.a.b": ".a.b", "/c.b": ".b", "/b": undefined }],
  [questions.firstSuffix, "path", [".b", ".a.b"], { "/c.a.b": ".b" }],
  [
    questions.domain,
    "host",
    ["test", "A.test"],
    { "a.test:1": "A.test", "b.a.TEST": "A.test", "ba.test": "test", atest: undefined },
  ],
  [
    questions.network,
    "client-address",
    ["10.0.0.0/8", "10.1.0.0/16", "::/0", "10.1.2.4"],
    {
      "10.1.2.3": "10.1.0.0/16",
      "10.1.2.4": "10.1.2.4",
      "10.2.0.0": "10.0.0.0/8",
      "::1": "::/0",
      "11.0.0.0": undefined,
    },
  ],
  [questions.network, "client-address", ["::/0"], { "": undefined, "10.0.0.0": undefined }],
  [
    questions.regex,
    "path",
    ["^/[0-9]+$", "/1", "(?i)/É"],
    { "/12": "^/[0-9]+$", "/a/12": "/1", "/a": undefined, "/É": "(?i)/É", "/é": undefined },
  ],
];

test("entries match", () => {
  for (const [define, over, entries, parts] of MATCHERS) {
    const ask = asking(() =>
      define(
        over,
        entries.map((entry) => [entry, entry]),
      ),
    );
    for (const [part, expected] of Object.entries(parts)) {
      const [target, options] =
        over === "path" ? [part, {}] : ["/", { headers: { host: part }, clientAddress: part }];
      assert.equal(ask(target, options), expected, `${entries} ${part}`);
    }
  }
});

test("case is ignored on demand, as far as it is ASCII", () => {
  const ask = asking(() => questions.suffix("header:a", { "Ä.TEST": 1 }, { ignoreCase: true }));
  for (const [a, expected] of [
    ["Ä.test", 1],
    ["ä.test", undefined],
  ]) {
    assert.equal(ask("/", { headers: { a } }), expected, a);
  }
});

test("equal values have one number", () => {
  let numbers;
  const exact = (over, ignoreCase, entries) => {
    numbers = entries.map(([, number]) => number);
    return 0;
  };
  use({ questions: { exact } });
  const { backend, next } = Decision;
  for (const [values, expected] of [
    [
      [1, true, 1, "1"],
      [1, 2, 1, 3],
    ],
    [
      [undefined, NaN, NaN, undefined],
      [1, 2, 2, 1],
    ],
    [
      [backend("x"), next, backend("x"), backend("y"), '{"tag":"next"}'],
      [1, 2, 1, 3, 4],
    ],
    [
      [{}, {}],
      [1, 2],
    ],
  ]) {
    const entries = values.map((value, at) => [`${at}`, value]);
    const matcher = defining(() => questions.exact("path", entries));
    assert.deepEqual(numbers, expected);
    for (const [at, number] of numbers.entries()) {
      const answer = matcher.answer({ ask: () => number });
      assert.deepEqual(answer, values[at]);
    }
    assert.equal(matcher.answer({ ask: () => null }), undefined);
  }
});

test("a share is what the test says", () => {
  const define = () => questions.share("cookie:s", { salt: "canary", perMillion: 50_000 });
  const ask = asking(define, [], { shares: ["canary"] });
  const headers = { cookie: "s=1" };
  for (const [options, expected] of [
    [{ headers }, true],
    [{ headers, shares: [] }, false],
    [{ headers, shares: ["canary"] }, true],
    [{}, false],
    [{ headers: { cookie: "s=" } }, false],
  ]) {
    assert.equal(ask("/", options), expected);
  }
  assert.equal(asking(define)("/", { headers }), false);
  for (const [perMillion, expected] of [
    [1_000_000, true],
    [0, false],
  ]) {
    const random = () => questions.share("random", { salt: "a", perMillion });
    assert.equal(asking(random, [], { shares: ["a"] })("/"), expected);
  }
});

test("a table is what the test says", () => {
  const tables = { tenants: { acme: "node", ä: Uint8Array.of(255) } };
  const ask = asking(() => questions.lookUp("tenants", "header:x-tenant"), [], { tables });
  for (const [tenant, expected] of [
    ["acme", "node"],
    ["ä", "\xff"],
    ["Acme", undefined],
    ["constructor", undefined],
  ]) {
    assert.equal(ask("/", { headers: { "x-tenant": tenant } }), expected, tenant);
  }
});

test("whether a backend is usable follows its servers", () => {
  const ask = asking(() => questions.usable("a"), { a: ["s1", "s2"] });
  assert.equal(ask("/"), true);
  ask.instance.backends.get("a").servers[0].usable = false;
  assert.equal(ask("/"), true);
  ask.instance.setUsable("a", false);
  assert.equal(ask("/"), false);
});

test("answers are used without being read", () => {
  const plugin = definePlugin({
    configure: () => [questions.value("cookie:s"), questions.value("query:q")],
    route(asked, [session, parameter]) {
      asked.setHeaderBy("x-parameter", parameter);
      asked.setAffinity("a");
      asked.setAffinityBy(session);
      asked.setHeaderBy("x-session", session);
      asked.tagBy("session", session);
      return Decision.next;
    },
  });
  const instance = configure(plugin);
  for (const [target, cookie, edits, options, tags] of [
    [
      "/?q=a%09b",
      "s=b",
      ["set x-parameter: a\tb", "set x-session: b"],
      { affinity: Uint8Array.of(0x62) },
      { session: "b" },
    ],
    // An answer that HTTP does not allow in a field counts as no answer.
    ["/?q=a%0Ab", "t=b", ["remove x-parameter", "remove x-session"], {}, {}],
  ]) {
    const asked = request(target, { headers: { cookie } });
    instance.route(asked);
    assert.deepEqual([asked.edits, asked.options, asked.tags], [edits, options, tags]);
    assert.deepEqual(asked.reads, []);
  }
});

test("a value can be asked for as text", () => {
  let text;
  const plugin = definePlugin({
    configure: () => [questions.value("header:a"), questions.usable("a")],
    route(asked, [value, usable]) {
      assert.throws(() => asked.askText(usable), TypeError);
      text = asked.askText(value);
      return Decision.next;
    },
  });
  const instance = configure(plugin, {}, ["a"]);
  for (const [a, expected] of [
    ["ä", "ä"],
    [Uint8Array.of(255), undefined],
  ]) {
    instance.route(request("/", { headers: { a } }));
    assert.equal(text, expected);
  }
  assert.deepEqual(takeLog(), []);
});

test("a definition that makes no sense is refused at its key", () => {
  const one = { a: 1 };
  for (const [define, message] of [
    [() => questions.exact("hots", one, { key: "rules" }), 'rules: "hots" is not a part of a request'],
    [() => questions.value("header:", { key: "a" }), 'a: "header:" is not a part of a request'],
    [() => questions.value("body-json:a"), '"body-json:a" is not a part of a request'],
    [
      () => questions.network("host", one),
      'entry 1, "a", is not a network (CIDR), as in 192.0.2.0/24',
    ],
    [() => questions.regex("host", { "(": 1 }), /^entry 1, "\(", is not a regular expression: /],
    [() => questions.exact("host", Array(2).fill(["a", 1])), 'entry 2 repeats entry 1, "a"'],
    [() => questions.pathPrefix("path", { "/a": 1, "/a/": 2 }), 'entry 2 repeats entry 1, "/a/"'],
    [
      () => questions.prefix("path", { a: 1, A: 2 }, { ignoreCase: true }),
      'entry 2 repeats entry 1, "A"',
    ],
    [
      () => questions.lookUp("a", "host", { key: "table" }),
      'table: there is no table "a" in the configuration',
    ],
    [
      () => questions.usable("b", { key: "backend" }),
      'backend: there is no backend "b" in the configuration',
    ],
    [
      () => questions.share("host", { salt: "a", perMillion: 1_000_001 }),
      "configure threw RangeError: perMillion is a whole number from 0 to 1000000",
    ],
    [
      () => questions.value(5),
      "configure threw TypeError: a part of the request is a string, not a number",
    ],
    [
      () => questions.exact("host", "a"),
      "configure threw TypeError: expected an object or a list of pairs, not a string",
    ],
  ]) {
    assert.throws(() => asking(define, ["a"]), { message });
  }
  takeLog();
});

test("the entry that is at fault has a key", () => {
  const define = (entries, over = "host") => {
    try {
      return questions.network(over, entries, { key: "nets" });
    } catch (error) {
      if (error.entry === undefined) throw error;
      throw error.atKey(`nets[${error.entry}].net`);
    }
  };
  for (const [entries, over, message] of [
    [{ "::/0": 1, a: 1 }, "host", /^nets\[1\]\.net: entry 2, "a", is not a network/],
    [Array(2).fill(["::/0", 1]), "host", 'nets[1].net: entry 2 repeats entry 1, "::/0"'],
    [{ a: 1 }, "hots", 'nets: "hots" is not a part of a request'],
  ]) {
    assert.throws(() => asking(() => define(entries, over)), { message });
  }
});

test("questions are defined in `configure` alone", () => {
  const message = "questions are defined in `configure`";
  assert.throws(() => questions.value("host"), { message });
  const late = definePlugin({ route: () => questions.value("host") });
  assert.throws(() => configure(late).route(request()), {
    message: `route threw TypeError: ${message}`,
  });
  takeLog();
});

test("what would trap fails the test", () => {
  let question;
  asking(() => [questions.usable("a"), (question = questions.value("host"))][1], ["a"]);
  const other = definePlugin({
    configure: () => questions.usable("a"),
    route(asked) {
      try {
        asked.ask(question);
      } catch {
        // Catching the error in the plugin does not hide it.
      }
      return Decision.next;
    },
  });
  const instance = configure(other, {}, ["a"]);
  assert.throws(() => instance.route(request()), { message: "question 1 was not defined" });
  const tagging = definePlugin({ route: (asked) => asked.tag("a b", "c") });
  assert.throws(() => configure(tagging).route(request()), {
    message: '"a b" is not the name of a tag',
  });
  takeLog();
});
