import assert from "node:assert/strict";
import test from "node:test";

import "../src/random.js";

test("numbers are spread evenly, and are never one", () => {
  const counts = Array(10).fill(0);
  for (let count = 0; count < 100000; count++) {
    const number = Math.random();
    assert(number >= 0 && number < 1);
    counts[Math.trunc(number * 10)]++;
  }
  for (const count of counts) assert(count > 9000 && count < 11000, String(counts));
});
