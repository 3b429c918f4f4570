import assert from "node:assert/strict";
import test from "node:test";

import { Decision } from "pointsman-sdk";
import { configure, request } from "pointsman-sdk/testing";

import { plugin } from "../src/plugin.js";

test("the cookie decides", () => {
  const router = configure(plugin, { backend: "canary_backend" }, ["canary_backend"]);
  const cases: [string | Uint8Array, Decision][] = [
    ["canary=1", Decision.backend("canary_backend")],
    ["a=b; canary=1; c=d", Decision.backend("canary_backend")],
    ["canary=0", Decision.next],
    [Uint8Array.of(255, 254), Decision.next],
  ];
  for (const [cookie, decision] of cases) {
    assert.deepEqual(router.route(request("/", { headers: { cookie } })), decision);
  }
  assert.deepEqual(router.route(request("/")), Decision.next);
});

test("a bad configuration is refused at its key", () => {
  const cases: [object, string][] = [
    [{ backend: "canary" }, 'backend: there is no backend "canary"'],
    [{ backend: 5 }, "backend: expected a text, found 5"],
    [{ backend: "canary_backend", bakend: "" }, "bakend: unknown key"],
    [{}, 'missing key "backend"'],
  ];
  for (const [config, message] of cases) {
    assert.throws(() => configure(plugin, config, ["canary_backend"]), { message });
  }
});
