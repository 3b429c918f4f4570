import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import test from "node:test";

test("the README's code runs", async () => {
  const text = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(blocks.length, 2);
  const code = [
    'import assert from "node:assert/strict";',
    'import { toOctets } from "pointsman-sdk";',
    ...blocks,
  ];
  // The module is next to this file, so that it can import the package by its name.
  const module = new URL("readme.tmp.mjs", import.meta.url);
  await writeFile(module, code.join("\n"));
  try {
    await import(module);
  } finally {
    await rm(module);
  }
});
