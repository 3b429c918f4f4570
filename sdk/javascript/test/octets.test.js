import assert from "node:assert/strict";
import test from "node:test";

import { toLatin1, toOctets, toText, trimBlanks } from "../index.js";
import { fromLatin1 } from "../src/octets.js";

// The sandbox's engine has these two functions, as Node has from version 25.
const base64 = {
  toBase64() {
    return Buffer.from(this).toString("base64");
  },
  fromBase64(text) {
    return new Uint8Array(Buffer.from(text, "base64"));
  },
};

// Runs a check with and without the engine's own base64.
function bothWays(check) {
  const own = [Uint8Array.prototype.toBase64, Uint8Array.fromBase64];
  try {
    for (const { toBase64, fromBase64 } of [base64, {}]) {
      Uint8Array.prototype.toBase64 = toBase64;
      Uint8Array.fromBase64 = fromBase64;
      check();
    }
  } finally {
    [Uint8Array.prototype.toBase64, Uint8Array.fromBase64] = own;
  }
}

test("any octets are shown as characters, and come back", () => {
  bothWays(() => {
    for (const length of [0, 1, 255, 256, 4096, 10000, 100000]) {
      const octets = Uint8Array.from({ length }, (_, at) => at);
      const latin1 = toLatin1(octets);
      assert.equal(latin1, Buffer.from(octets).toString("latin1"));
      assert.deepEqual(fromLatin1(latin1), octets);
    }
    const part = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
    assert.equal(toLatin1(part), "\x02\x03");
  });
});

test("a text is read from UTF-8 alone", () => {
  for (const text of ["", "a", "\0", "ä", "€", "😀", "\ufeffa", "\uffff", "\u{10ffff}"]) {
    assert.equal(toText(toOctets(text)), text);
    assert.deepEqual(toOctets(text), new Uint8Array(Buffer.from(text)));
  }
  for (const octets of [
    [0x80],
    [0xff],
    [0xc3],
    [0x61, 0xe2, 0x82],
    [0xc0, 0x80],
    [0xe0, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x80, 0x80, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf8, 0x88, 0x80, 0x80, 0x80],
    [0xe4, 0x61],
  ]) {
    assert.equal(toText(Uint8Array.from(octets)), undefined, String(octets));
  }
  assert.equal(toText(undefined), undefined);
});

test("texts are read as by a decoder that is known to be right", () => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const expected = (octets) => {
    try {
      return decoder.decode(octets);
    } catch {
      return undefined;
    }
  };
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      for (const more of [[], [0x80], [0xbf, 0x80], [0x41]]) {
        const octets = Uint8Array.of(first, second, ...more);
        assert.equal(toText(octets), expected(octets), String(octets));
      }
    }
  }
});

test("half a surrogate pair becomes what Unicode has for it", () => {
  assert.deepEqual(toOctets("a\ud800b"), Uint8Array.of(0x61, 0xef, 0xbf, 0xbd, 0x62));
});

test("what is no text and no octets is refused", () => {
  for (const [value, kind] of [
    [undefined, "undefined"],
    [null, "null"],
    [5, "a number"],
    [[65], "an array"],
    [new Uint16Array(1), "an object"],
    [Promise.resolve(), "a promise"],
    [() => 0, "a function"],
  ]) {
    assert.throws(() => toOctets(value), {
      name: "TypeError",
      message: `expected a string or a Uint8Array, not ${kind}`,
    });
  }
});

test("blanks are those of ASCII", () => {
  for (const [text, expected] of [
    ["", ""],
    ["a", "a"],
    [" \t\n\f\r", ""],
    ["\t a b\r\n", "a b"],
    ["\va\xa0", "\va\xa0"],
    [" \v \xa0 a \xa0 \v ", "\v \xa0 a \xa0 \v"],
    [" \xa0 ", "\xa0"],
  ]) {
    assert.equal(trimBlanks(text), expected, JSON.stringify(text));
  }
});
