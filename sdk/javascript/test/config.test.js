import assert from "node:assert/strict";
import test from "node:test";

import {
  at,
  backendName,
  boolean,
  choice,
  expected,
  integer,
  list,
  number,
  optional,
  parse,
  record,
  table,
  text,
  within,
} from "../config.js";
import { ConfigError, Decision, PluginError, definePlugin } from "../index.js";
import { configure } from "../testing.js";

const read = (value, reader) => parse(JSON.stringify(value), reader);

const rules = {
  rules: list({ suffix: text, port: optional(within(1, 65535)), strict: optional(boolean, false) }),
};

test("a configuration becomes what the readers say", () => {
  assert.deepEqual(
    read(
      {
        rules: [
          { suffix: "a", port: 80 },
          { suffix: "b", strict: true },
        ],
      },
      rules,
    ),
    {
      rules: [
        { suffix: "a", port: 80, strict: false },
        { suffix: "b", port: undefined, strict: true },
      ],
    },
  );
  assert.deepEqual(read({}, {}), {});
  configure(definePlugin({ route: () => Decision.next }), {}, ["www"]);
  for (const [reader, value, result = value] of [
    [number, 1.5],
    [integer, -(2 ** 53 - 1)],
    [within(0, 1, number), 0.5],
    [choice("a", "b"), "b"],
    [backendName, "www"],
    [
      record(integer),
      { a: 1, "b c": 2, __proto__: 3 },
      new Map([
        ["a", 1],
        ["b c", 2],
      ]),
    ],
    [table({ a: { b: text } }), { a: { b: "c" } }],
    [optional({ a: text }), { a: "b" }],
    [(value) => value, [null]],
  ]) {
    assert.deepEqual(read(value, reader), result);
  }
  assert.deepEqual(parse('{"__proto__": 3}', record(integer)), new Map([["__proto__", 3]]));
});

test("errors start with the key", () => {
  for (const [value, message] of [
    [{}, 'missing key "rules"'],
    [{ rules: [{ suffix: "a" }, { suffix: 5 }] }, "rules[1].suffix: expected a text, found 5"],
    [{ rules: [{ suffix: ["a"] }] }, "rules[0].suffix: expected a text, found a list"],
    [{ rules: [{ suffix: {} }] }, "rules[0].suffix: expected a text, found a table"],
    [{ rules: [{ suffix: null }] }, "rules[0].suffix: expected a text, found nothing"],
    [{ rules: [{ suffix: true }] }, "rules[0].suffix: expected a text, found true"],
    [{ rules: [{ suffix: "a", port: 0 }] }, "rules[0].port: 0 is not within 1 to 65535"],
    [{ rules: [{ suffix: "a", port: 1.5 }] }, "rules[0].port: expected a whole number, found 1.5"],
    [
      { rules: [{ suffix: "a", port: "80" }] },
      'rules[0].port: expected a whole number, found "80"',
    ],
    [{ rules: [{ suffix: "a", strict: 1 }] }, "rules[0].strict: expected true or false, found 1"],
    [{ rules: [{}] }, 'rules[0]: missing key "suffix"'],
    [{ rules: ["a"] }, 'rules[0]: expected a table, found "a"'],
    [{ rules: [[]] }, "rules[0]: expected a table, found a list"],
    [{ rules: {} }, "rules: expected a list, found a table"],
    [[], "expected a table, found a list"],
    // Only the first error, in the order in which the keys are written, is reported.
    [{ rules: [{ suffix: "a", sufix: "b", port: 0 }] }, "rules[0].sufix: unknown key"],
    [{ rules: [], rule: [] }, "rule: unknown key"],
    [{ rules: [], constructor: 1 }, "constructor: unknown key"],
    [{ rules: [], toString: 1 }, "toString: unknown key"],
  ]) {
    assert.throws(() => read(value, rules), { name: "ConfigError", message });
  }
  assert.throws(() => parse('{"rules": [], "__proto__": {}}', rules), {
    message: "__proto__: unknown key",
  });
  for (const [reader, value, message] of [
    [{}, { a: {} }, "a: unknown key"],
    [{ a: choice("b", "c") }, { a: "d" }, 'a: expected "b" or "c", found "d"'],
    [{ a: backendName }, { a: 'x"y' }, 'a: there is no backend "x\\"y"'],
    [{ a: backendName }, { a: 5 }, "a: expected a text, found 5"],
    [{ a: record(integer) }, { a: { b: "c" } }, 'a.b: expected a whole number, found "c"'],
    [{ a: integer }, { a: 2 ** 53 }, "a: expected a whole number, found 9007199254740992"],
    [{ a: { b: { c: text } } }, { a: { b: {} } }, 'a.b: missing key "c"'],
    [list(list(text)), [["a"], ["b", 0]], "[1][1]: expected a text, found 0"],
  ]) {
    assert.throws(() => read(value, reader), { message });
  }
});

test("what is not one JSON value is an error", () => {
  for (const json of ["", "{", "{} {}", "[", "\0", '{"rules": []}}']) {
    assert.throws(() => parse(json, {}), { message: "the configuration is not JSON" });
  }
});

test("a plugin has readers of its own", () => {
  const prefix = (value, path) => {
    if (text(value, path).startsWith("/")) return value;
    throw new ConfigError(path, "does not start with a /");
  };
  assert.throws(() => read({ a: { b: "c" } }, { a: { b: prefix } }), {
    path: "a.b",
    message: "a.b: does not start with a /",
  });
  assert.throws(() => read({ a: 5 }, { a: prefix }), { message: "a: expected a text, found 5" });
  assert(expected("a duration", "x", "a") instanceof PluginError);
  assert.equal(at(at(at("", "rules"), 0), "suffix"), "rules[0].suffix");
});

test("an error of a definition names its entry", () => {
  for (const [message, expected] of [
    ['entry 3, "a", is not a network', 2],
    ['entry 12 repeats entry 7, "a"', 11],
    ["entry 0 repeats", undefined],
    ["entry, that is none", undefined],
    ['there is no table "a"', undefined],
  ]) {
    const error = new ConfigError("rules", message);
    assert.equal(error.entry, expected, message);
    assert.equal(error.atKey("rules[1]").message, `rules[1]: ${message}`);
  }
});

test("what is no reader is an author's mistake, told at once", () => {
  for (const make of [
    () => list(),
    () => table({ a: 5 }),
    () => optional(null),
    () => record("a"),
  ]) {
    assert.throws(make, TypeError);
  }
});
