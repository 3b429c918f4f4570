import assert from "node:assert/strict";
import test from "node:test";

import { shown } from "../src/console.js";

test("values are shown as texts", () => {
  const circle = {};
  circle.circle = circle;
  for (const [value, text] of [
    ["a", "a"],
    [1n, "1"],
    [null, "null"],
    [undefined, "undefined"],
    [Symbol("a"), "Symbol(a)"],
    [{ a: [1, "b"] }, '{"a":[1,"b"]}'],
    [circle, "[object Object]"],
  ]) {
    assert.equal(shown(value), text);
  }
  assert.match(shown(new TypeError("a")), /^TypeError: a\n/);
});
