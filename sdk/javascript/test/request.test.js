import assert from "node:assert/strict";
import test from "node:test";

import { EditError, Request, toOctets } from "../index.js";
import { request as head } from "../testing.js";

const request = (...options) => new Request(head(...options));

const octets = (value) => (typeof value === "string" ? toOctets(value) : value);

test("the target splits at its first question mark", () => {
  for (const [target, path, query] of [
    ["/", "/", undefined],
    ["/a?b=c", "/a", "b=c"],
    ["/a?", "/a", ""],
    ["/?a?b", "/", "a?b"],
    ["*", "*", undefined],
  ]) {
    const asked = request(target);
    assert.deepEqual([asked.pathWithQuery, asked.path, asked.query], [target, path, query]);
  }
});

test("a parameter is decoded", () => {
  const asked = request(
    "/?a=1&b+c=d%20e&a=2&%66=%zz%4&g&=h&i=%e4%C3%9f&j==&%%41=k+%2B&l%3D=%26&%6D%2b=%C3%A4",
  );
  for (const [name, value] of [
    ["a", "1"],
    ["b c", "d e"],
    ["f", "%zz%4"],
    ["g", ""],
    ["", "h"],
    ["i", Uint8Array.of(0xe4, 0xc3, 0x9f)],
    ["j", "="],
    ["%A", "k +"],
    ["%%41", undefined],
    ["l=", "&"],
    ["m+", "ä"],
    ["k", undefined],
    ["A", undefined],
    ["b+c", undefined],
    ["%66", undefined],
  ]) {
    assert.deepEqual(asked.queryParam(name), octets(value), name);
    assert.equal(asked.queryParamText(name), typeof value === "string" ? value : undefined, name);
  }
  assert.equal(request("/a").queryParam("a"), undefined);
  assert.deepEqual(request("/?%zz=%").queryParam("%zz"), octets("%"));
  assert.deepEqual(request("/?%C3%a4=1").queryParam("ä"), octets("1"));
  assert.deepEqual(request("/?%5c=2&\\d=1").queryParam("\\d"), octets("1"));
  assert.equal(request("/?a=1").queryParam("\ud800"), undefined);
  assert.deepEqual(request("/?a=%u0041%%75%25u%U0041%u").queryParamText("a"), "%u0041%u%u%U0041%u");
});

test("a parameter is found as by taking the query apart", () => {
  // The plain way, which takes too long in the sandbox.
  const plain = (query, name) => {
    const decoded = (text) => {
      let octets = "";
      for (let at = 0; at < text.length; at++) {
        const digits = text.slice(at + 1, at + 3);
        if (text[at] === "%" && /^[0-9A-Fa-f]{2}$/.test(digits)) {
          octets += String.fromCharCode(parseInt(digits, 16));
          at += 2;
        } else {
          octets += text[at] === "+" ? " " : text[at];
        }
      }
      return octets;
    };
    for (const pair of query.split("&")) {
      const [, key, value = ""] = /^([^=]*)=?(.*)$/.exec(pair);
      if (decoded(key) === name) return decoded(value);
    }
    return undefined;
  };
  const random = generator();
  const text = (alphabet, length) =>
    Array.from({ length: random(length) }, () => alphabet[random(alphabet.length)]).join("");
  for (let count = 0; count < 20000; count++) {
    const query = text("ab%u+&==&2466dD0", 16);
    const name = text("ab%+&= d", 3);
    const value = plain(query, name);
    const expected = value === undefined ? undefined : ofLatin1(value);
    assert.deepEqual(request(`/?${query}`).queryParam(name), expected, `${query} ${name}`);
  }
});

test("a host is known with its port and without", () => {
  for (const [host, hostname] of [
    ["a", "a"],
    ["a:80", "a"],
    ["a:", "a"],
    [":80", ""],
    ["", ""],
    ["[::1]", "[::1]"],
    ["[::1]:80", "[::1]"],
    ["[::1]x", "[::1]x"],
    ["[::1", "[::1"],
    ["]:80", "]"],
    ["2001:db8::1", "2001:db8::1"],
  ]) {
    const asked = request("/", { headers: { host } });
    assert.deepEqual([asked.host, asked.hostname], [octets(host), octets(hostname)]);
    assert.deepEqual([asked.hostText, asked.hostnameText], [host, hostname]);
  }
  const strange = request("/", { headers: { host: Uint8Array.of(255, 58, 49) } });
  assert.deepEqual(strange.hostname, Uint8Array.of(255));
  assert.deepEqual([strange.hostText, strange.hostnameText], [undefined, undefined]);
  const none = request("/");
  assert.deepEqual(
    [none.host, none.hostname, none.hostText, none.hostnameText],
    Array(4).fill(undefined),
  );
});

test("a field is read in any case and as octets", () => {
  const asked = request("/", {
    headers: [
      ["X-A", "1"],
      ["y", Uint8Array.of(255)],
      ["x-a", "ä"],
    ],
  });
  assert.deepEqual(asked.header("x-A"), octets("1"));
  assert.equal(asked.headerText("X-a"), "1");
  assert.deepEqual(asked.headerLines("X-A"), [octets("1"), octets("ä")]);
  assert.deepEqual(asked.header("y"), Uint8Array.of(255));
  assert.equal(asked.headerText("y"), undefined);
  assert.deepEqual(
    [asked.header("z"), asked.headerText("z"), asked.headerLines("z")],
    [undefined, undefined, []],
  );
  assert.deepEqual(asked.headers(), [
    ["x-a", octets("1")],
    ["x-a", octets("ä")],
    ["y", Uint8Array.of(255)],
  ]);
  assert.deepEqual(asked.headerLines("\ud800"), []);
  assert.throws(() => asked.header(), { message: "a field's name is a string, not undefined" });
});

test("a cookie is found among others", () => {
  const asked = request("/", {
    headers: [
      ["cookie", "ab=1; a=2;a=3"],
      [
        "Cookie",
        Uint8Array.of(...octets("b="), 255, ...octets("; =x;c ; d=; e = f; g=h i\t; j= k")),
      ],
      ["cookie", "l=m=n;\t o=p\xa0 ; q\xa0=r; $.*=s"],
    ],
  });
  for (const [name, value] of [
    ["a", "2"],
    ["ab", "1"],
    ["A", undefined],
    ["b", Uint8Array.of(255)],
    ["", "x"],
    ["c", undefined],
    ["d", ""],
    ["e", undefined],
    ["e ", " f"],
    [" e ", undefined],
    ["g", "h i"],
    ["j", " k"],
    ["l", "m=n"],
    ["l=m", "n"],
    ["m", undefined],
    ["o", "p\xa0"],
    ["q\xa0", "r"],
    ["$.*", "s"],
    ["x;c ; d", undefined],
    ["cookie", undefined],
  ]) {
    assert.deepEqual(asked.cookie(name), octets(value), name);
    assert.equal(asked.cookieText(name), typeof value === "string" ? value : undefined, name);
  }
  assert.equal(request("/").cookie("a"), undefined);
});

test("a cookie is found as by taking the line apart", () => {
  const plain = (line, name) => {
    for (const part of line.split(";")) {
      const pair = part.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "");
      if (pair.startsWith(`${name}=`)) return pair.slice(name.length + 1);
    }
    return undefined;
  };
  const random = generator();
  const text = (alphabet, length) =>
    Array.from({ length: random(length) }, () => alphabet[random(alphabet.length)]).join("");
  for (let count = 0; count < 20000; count++) {
    const line = text("ab=; ;\t\v\xa0", 14);
    const name = text("ab= ;\v", 3);
    const asked = request("/", { headers: { cookie: ofLatin1(line) } });
    const value = plain(line, name);
    const expected = value === undefined ? undefined : ofLatin1(value);
    assert.deepEqual(asked.cookie(name), expected, `${line} ${name}`);
  }
});

test("a name of which there are many is forgotten, not mistaken", () => {
  for (let count = 0; count < 500; count++) {
    const asked = request(`/?p${count}=${count}`, { headers: { cookie: `c${count}=${count}` } });
    assert.equal(asked.queryParamText(`p${count}`), String(count));
    assert.equal(asked.cookieText(`c${count}`), String(count));
  }
});

test("facts of the connection", () => {
  const clear = request("/");
  assert.deepEqual(
    [clear.method, clear.scheme, clear.client, clear.tls, clear.attempt],
    ["GET", "http", { address: "127.0.0.1", port: 49152 }, undefined, 0],
  );
  const secure = request("/", {
    method: "PUT",
    tls: { alpn: "h2" },
    client: { port: 1 },
    attempt: 2,
  });
  assert.deepEqual(
    [secure.method, secure.scheme, secure.client, secure.tls, secure.attempt],
    ["PUT", "https", { address: "127.0.0.1", port: 1 }, { serverName: undefined, alpn: "h2" }, 2],
  );
});

test("nothing is read but what is asked for", () => {
  for (const [read, expected] of [
    [() => {}, []],
    [(asked) => [asked.path, asked.query, asked.queryParam("a")], ["path-with-query"]],
    [(asked) => [asked.host, asked.hostnameText, asked.hostname], ["header host"]],
    [(asked) => asked.cookie("a"), ["header cookie"]],
    [(asked) => [asked.header("X-A"), asked.method], ["header x-a", "method"]],
  ]) {
    const recorded = head("/?a=b");
    read(new Request(recorded));
    assert.deepEqual(recorded.reads, expected);
  }
});

test("edits are made in order, and reads do not see them", () => {
  const recorded = head("/old", { headers: { "x-a": "0" } });
  const asked = new Request(recorded);
  asked.setHeader("X-A", "1");
  asked.appendHeader("x-b", Uint8Array.of(0x61, 0xe4));
  asked.removeHeader("x-c");
  asked.setHeader("host", "a");
  asked.setPathWithQuery("/new?a=b");
  assert.deepEqual(recorded.edits, [
    "set x-a: 1",
    "append x-b: a\\xe4",
    "remove x-c",
    "set host: a",
    "path-with-query /new?a=b",
  ]);
  assert.deepEqual([asked.headerText("x-a"), asked.path], ["0", "/old"]);
});

test("an edit that the proxy refuses throws", () => {
  const recorded = head("/");
  const asked = new Request(recorded);
  for (const [edit, reason] of [
    [() => asked.setHeader("a b", "c"), "invalid-syntax"],
    [() => asked.setHeader("a", "c\r\nd: e"), "invalid-syntax"],
    [() => asked.appendHeader("", "c"), "invalid-syntax"],
    [() => asked.setHeader("\ud800", "c"), "invalid-syntax"],
    [() => asked.setPathWithQuery("a"), "invalid-syntax"],
    [() => asked.setPathWithQuery("/a b"), "invalid-syntax"],
    [() => asked.setPathWithQuery("/a#b"), "invalid-syntax"],
    [() => asked.setPathWithQuery("/\ud800"), "invalid-syntax"],
    [() => asked.removeHeader("Content-Length"), "forbidden"],
    [() => asked.setHeader("sec-websocket-key", "a"), "forbidden"],
    [() => asked.appendHeader("Host", "a"), "forbidden"],
    [() => asked.removeHeader("host"), "forbidden"],
  ]) {
    assert.throws(edit, (error) => error instanceof EditError && error.reason === reason);
  }
  assert.throws(() => asked.setHeader("a b", "c"), {
    name: "EditError",
    message: "cannot set a b: not a field or target that HTTP allows",
  });
  for (const edit of [
    () => asked.setHeader("a", 5),
    () => asked.setHeader(5, "a"),
    () => asked.appendHeader("a", null),
    () => asked.removeHeader(undefined),
    () => asked.setPathWithQuery(new URL("http://a/b")),
  ]) {
    assert.throws(edit, TypeError);
  }
  assert.deepEqual(recorded.edits, []);
});

test("whatever a client sends: reads answer", () => {
  const random = generator();
  const any = (length) => Uint8Array.from({ length: random(length) }, () => random(256));
  for (let count = 0; count < 5000; count++) {
    const points = Array.from({ length: random(20) }, () => random(0xd800));
    const target = `/${String.fromCodePoint(...points)}`;
    const name = Buffer.from(any(4)).toString("latin1");
    const headers = ["host", "cookie", "x-a", "cookie"].map((field) => [field, any(40)]);
    const asked = request(target, { headers });
    assert(target.startsWith(asked.path));
    asked.queryParam(name);
    asked.queryParamText(name);
    asked.cookieText(name);
    asked.cookie(name);
    assert.deepEqual(asked.host, headers[0][1]);
    assert.equal(toHex(asked.host).startsWith(toHex(asked.hostname)), true);
    const text = asked.headerText("x-a");
    if (text !== undefined) assert.deepEqual(octets(text), asked.header("x-a"));
  }
});

const ofLatin1 = (text) => new Uint8Array(Buffer.from(text, "latin1"));

const toHex = (value) => Buffer.from(value).toString("hex");

// The same numbers in each run.
function generator() {
  let seed = 1;
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
}
