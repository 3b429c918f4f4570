// Requests by Node's own HTTP/2 client over TLS. Exits 1, with the reason, if a response is wrong.
//
//   node http2_client.js PROXY_PORT CA

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, constants } from "node:http2";

const PARALLEL = 300;
const LARGE = 20 * 1024 * 1024;

const [port, ca] = process.argv.slice(2);
const session = connect(`https://localhost:${port}`, { ca: readFileSync(ca) });
session.on("error", (error) => assert.fail(error));

/** Returns the status, the body and the trailers of a response. */
async function answer(stream) {
  let status, trailers;
  stream.on("response", (fields) => (status = fields[":status"]));
  stream.on("trailers", (fields) => (trailers = fields));
  let body = "";
  stream.setEncoding("utf8");
  for await (const piece of stream) body += piece;
  return { status, body, trailers };
}

function get(path) {
  return answer(session.request({ ":path": path }));
}

/** Sends a body in parts, as fast as the proxy reads them, and then trailers. */
async function upload(length) {
  const fields = { ":path": "/", ":method": "POST" };
  const stream = session.request(fields, { endStream: false, waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "sent" }));
  const answered = answer(stream);
  const piece = Buffer.alloc(256 * 1024, "x");
  for (let sent = 0; sent < length; sent += piece.length) {
    if (!stream.write(piece)) await once(stream, "drain");
  }
  stream.end();
  const { status, body, trailers } = await answered;
  assert.equal(status, 200);
  assert.equal(body, `${length} sent`);
  assert.equal(trailers["x-check"], "good");
}

async function parallel() {
  const all = Array.from({ length: PARALLEL }, () => get("/"));
  for (const { status, body, trailers } of await Promise.all(all)) {
    assert.equal(status, 200);
    assert.equal(body, "0 none");
    assert.equal(trailers["x-check"], "good");
  }
}

/** Checks that a client can cancel a request that the server has already received. */
async function reset() {
  const stream = session.request({ ":path": "/never" });
  const closed = once(stream, "close");
  assert.equal((await get("/seen")).status, 200);
  stream.close(constants.NGHTTP2_CANCEL);
  await closed;
  assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL);
}

/** Checks that a response that the server breaks off ends only its own stream. */
async function broken() {
  await assert.rejects(get("/broken"), { code: "ERR_HTTP2_STREAM_ERROR" });
  assert.equal((await get("/")).status, 200);
}

await once(session, "connect");
assert.equal(session.alpnProtocol, "h2");
await parallel();
await Promise.all([upload(LARGE), upload(LARGE), parallel()]);
await reset();
await broken();
assert.ok(!session.closed && !session.destroyed);
await new Promise((resolve) => session.close(resolve));
