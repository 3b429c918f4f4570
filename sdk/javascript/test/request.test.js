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
    ["\ud800", undefined],
  ]) {
    assert.deepEqual(asked.queryParameter(name), octets(value), name);
    const text = typeof value === "string" ? value : undefined;
    assert.equal(asked.queryParameterText(name), text, name);
  }
  assert.equal(request("/a").queryParameter("a"), undefined);
  assert.throws(() => asked.queryParameter(), TypeError);
});

test("a host is without port and case", () => {
  for (const [authority, host] of [
    ["a", "a"],
    ["A.Test:80", "a.test"],
    ["a.", "a"],
    ["a.:", "a"],
    ["", ""],
    ["[::1]", "[::1]"],
    ["[::1]:80", "[::1]"],
  ]) {
    const asked = request("/", { headers: { host: authority } });
    assert.deepEqual([asked.authority, asked.host], [octets(authority), host]);
  }
  const none = request("/");
  assert.deepEqual([none.authority, none.host], [new Uint8Array(), ""]);
});

test("a field is read in any case and as octets", () => {
  const asked = request("/", {
    headers: [
      ["X-A", " 1\t"],
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
    ["X-A", octets("1")],
    ["y", Uint8Array.of(255)],
    ["x-a", octets("ä")],
  ]);
  assert.deepEqual(asked.headerLines("\ud800"), []);
  assert.throws(() => asked.header(), { message: "a field's name is a string, not undefined" });
});

test("a cookie is found among others", () => {
  const asked = request("/", {
    headers: [
      ["cookie", "ab=1; a=2;a=3"],
      ["Cookie", Uint8Array.of(...octets("b="), 255, ...octets("; =x;c ; d=; g=h i\t; l=m=n"))],
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
    ["g", "h i"],
    ["l", "m=n"],
    ["m", undefined],
    ["cookie", undefined],
  ]) {
    assert.deepEqual(asked.cookie(name), octets(value), name);
    assert.equal(asked.cookieText(name), typeof value === "string" ? value : undefined, name);
  }
  assert.equal(request("/").cookie("a"), undefined);
});

test("facts of the connection", () => {
  const facts = (asked) => ({
    method: asked.method,
    scheme: asked.scheme,
    version: asked.version,
    client: [asked.clientAddress, asked.clientPort],
    tls: [asked.serverName, asked.alpn],
    certificate: [
      asked.clientCertificateSubject,
      asked.clientCertificateIssuer,
      asked.clientCertificateNames,
      asked.clientCertificateSerial,
      asked.clientCertificateSha256,
      asked.clientCertificateNotAfter,
    ],
    attempt: asked.attempt,
  });
  assert.deepEqual(facts(request("/")), {
    method: "GET",
    scheme: "http",
    version: "1.1",
    client: ["127.0.0.1", 49152],
    tls: [undefined, undefined],
    certificate: [undefined, undefined, [], undefined, undefined, undefined],
    attempt: 0,
  });
  const clientCertificate = {
    subject: "CN=a",
    issuer: "CN=b",
    names: ["spiffe://a"],
    serial: "0a",
    sha256: "ff",
    // In the form in which the sandbox returns a u64.
    notAfter: 1n,
  };
  const secure = request("/", {
    method: "PUT",
    version: "2",
    tls: { serverName: "a.test", alpn: "h2", clientCertificate },
    clientAddress: "::1",
    clientPort: 0,
    attempt: 2,
  });
  assert.deepEqual(facts(secure), {
    method: "PUT",
    scheme: "https",
    version: "2",
    client: ["::1", 0],
    tls: ["a.test", "h2"],
    certificate: ["CN=a", "CN=b", ["spiffe://a"], "0a", "ff", 1],
    attempt: 2,
  });
});

test("a connection without HTTP has a host", () => {
  const tls = { serverName: "b.test" };
  const asked = request("/", { headers: { host: "a" }, version: null, tls });
  assert.deepEqual(
    [asked.version, asked.host, asked.authority.length, asked.method, asked.path, asked.headers()],
    [undefined, "b.test", 0, "", "", []],
  );
});

test("a body is there if the frontend waits", () => {
  for (const [options, expected] of [
    [{}, [undefined, false]],
    [{ body: "ä" }, [octets("ä"), true]],
    [{ body: Uint8Array.of(255), bodyIsComplete: false }, [Uint8Array.of(255), false]],
  ]) {
    const asked = request("/", options);
    assert.deepEqual([asked.bodyPrefix, asked.bodyIsComplete], expected);
  }
});

test("nothing is read but what is asked for", () => {
  for (const [read, expected] of [
    [() => {}, []],
    [(asked) => [asked.path, asked.path], ["path"]],
    [(asked) => [asked.query], ["path-with-query"]],
    [(asked) => [asked.queryParameter("a")], ["query-parameter a"]],
    [(asked) => [asked.host, asked.authority], ["host", "authority"]],
    [(asked) => asked.cookie("a"), ["cookie a"]],
    [(asked) => [asked.header("X-A"), asked.method], ["header x-a", "method"]],
    [(asked) => asked.clientAddress, ["client-address"]],
    [(asked) => asked.clientCertificateNotAfter, ["client-certificate-not-after"]],
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
  asked.setAuthority("b.test:80");
  asked.setPathWithQuery("/new?a=b");
  asked.replacePathPrefix(4, "");
  asked.setResponseHeader("X-D", "1");
  asked.appendResponseHeader("set-cookie", "a=b");
  asked.removeResponseHeader("server");
  assert.deepEqual(recorded.edits, [
    "set x-a: 1",
    "append x-b: a\\xe4",
    "remove x-c",
    "set host: b.test:80",
    "path-with-query /new?a=b",
    'replace-path-prefix 4 ""',
  ]);
  assert.deepEqual(recorded.responseEdits, [
    "set x-d: 1",
    "append set-cookie: a=b",
    "remove server",
  ]);
  assert.deepEqual([asked.headerText("x-a"), asked.path], ["0", "/old"]);
});

test("an edit that the proxy refuses throws its reason", () => {
  const recorded = head("/");
  const asked = new Request(recorded);
  for (const [edit, message] of [
    [() => asked.setHeader("a b", "c"), '"a b" is not a field name'],
    [() => asked.appendHeader("", "c"), '"" is not a field name'],
    [() => asked.setHeader("\ud800", "c"), '"\ufffd" is not a field name'],
    [() => asked.setHeader("a", "c\r\nd: e"), 'the field "a" cannot have this value'],
    [() => asked.setResponseHeader("a", "\n"), 'the field "a" cannot have this value'],
    [() => asked.removeHeader("Upgrade"), 'the field "upgrade" is set by the proxy alone'],
    [() => asked.removeResponseHeader("te"), 'the field "te" is set by the proxy alone'],
    [() => asked.appendHeader("Host", "a"), 'the field "host" is set by `set-authority`'],
    [() => asked.setAuthority("a b"), '"a b" is not a host with an optional port'],
    [() => asked.setPathWithQuery("a"), '"a" is not a target in origin form'],
    [() => asked.setPathWithQuery("/a b"), '"/a b" is not a target in origin form'],
    [() => asked.setPathWithQuery("/a#b"), '"/a#b" is not a target in origin form'],
    [() => asked.replacePathPrefix(1, "/?"), '"/?" is not a part of a path'],
  ]) {
    assert.throws(edit, (error) => error instanceof EditError && error.message === message);
  }
  assert.deepEqual([recorded.edits, recorded.responseEdits], [[], []]);
});

test("a connection without HTTP has nothing to edit", () => {
  const recorded = head("/", { version: null, tls: { serverName: "a.test" } });
  const asked = new Request(recorded);
  const message = "a connection without HTTP has nothing to edit";
  for (const edit of [
    () => asked.setHeader("a", "b"),
    () => asked.appendHeader("a", "b"),
    () => asked.removeHeader("a"),
    () => asked.setAuthority("a"),
    () => asked.setPathWithQuery("/"),
    () => asked.replacePathPrefix(0, "/"),
    () => asked.setResponseHeader("a", "b"),
    () => asked.appendResponseHeader("a", "b"),
    () => asked.removeResponseHeader("a"),
  ]) {
    assert.throws(edit, (error) => error instanceof EditError && error.message === message);
  }
  assert.deepEqual([recorded.edits, recorded.responseEdits], [[], []]);
});

test("of each option the last counts", () => {
  const recorded = head("/");
  const asked = new Request(recorded);
  asked.setAffinity("a");
  asked.setAffinity(Uint8Array.of(255));
  asked.setQueueTimeout(0);
  asked.setConnectTimeout(1);
  asked.setServerTimeout(30_000);
  asked.setTunnelTimeout(3_600_000);
  asked.setTries(1);
  asked.setTries(16);
  asked.tag("a", "1");
  asked.tag("a", "ä");
  assert.deepEqual(recorded.options, {
    affinity: Uint8Array.of(255),
    queueTimeout: 0,
    connectTimeout: 1,
    serverTimeout: 30_000,
    tunnelTimeout: 3_600_000,
    tries: 16,
  });
  assert.deepEqual(recorded.tags, { a: "ä" });
});

test("what the proxy could not take throws", () => {
  const recorded = head("/");
  const asked = new Request(recorded);
  for (const call of [
    () => asked.setHeader("a", 5),
    () => asked.setHeader(5, "a"),
    () => asked.setHeaderBy("a", 0),
    () => asked.appendHeader("a", null),
    () => asked.removeHeader(undefined),
    () => asked.setAuthority(5),
    () => asked.setPathWithQuery(new URL("http://a/b")),
    () => asked.replacePathPrefix(-1, "/"),
    () => asked.replacePathPrefix(1.5, "/"),
    () => asked.setAffinity(),
    () => asked.setAffinityBy(0),
    () => asked.setQueueTimeout(-1),
    () => asked.setConnectTimeout(0),
    () => asked.setServerTimeout(2 ** 31),
    () => asked.setTunnelTimeout("1"),
    () => asked.setTries(0),
    () => asked.setTries(17),
    () => asked.tag("a", 5),
    () => asked.tagBy("a", {}),
    () => asked.ask(0),
    () => asked.ask({ answer: () => 1 }),
  ]) {
    assert.throws(call, (error) => error instanceof TypeError || error instanceof RangeError);
  }
  assert.deepEqual([recorded.edits, recorded.options, recorded.tags], [[], {}, {}]);
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
    asked.queryParameter(name);
    asked.queryParameterText(name);
    asked.cookieText(name);
    asked.cookie(name);
    assert.equal(typeof asked.host, "string");
    const text = asked.headerText("x-a");
    if (text !== undefined) assert.deepEqual(octets(text), asked.header("x-a"));
  }
});

// Returns the same numbers in each run.
function generator() {
  let seed = 1;
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
}
