// A TLS server whose response describes the connection, as JSON.
//
//   node tls_origin.js KIND CERTIFICATE KEY [CLIENT_CA]
//
// KIND is `https` (HTTP/1.1, without `h2` in ALPN), `http2` (only HTTP/2), `both`, or `echo`, which
// sends back bytes without HTTP. Bytes of a WebSocket are also sent back. With CLIENT_CA, clients
// must present a certificate from that authority. Once the server listens on 127.0.0.1, it prints
// its port as one line of JSON.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { createServer as createHttps } from "node:https";
import { createServer as createTls } from "node:tls";

const [kind, certificate, key, clientCa] = process.argv.slice(2);
const options = {
  cert: readFileSync(certificate),
  key: readFileSync(key),
  ...(clientCa && { ca: readFileSync(clientCa), requestCert: true, rejectUnauthorized: true }),
};

let connections = 0;

function facts(socket) {
  return {
    connection: connections,
    alpn: socket.alpnProtocol || null,
    name: socket.servername || null,
    reused: socket.isSessionReused(),
    client: socket.getPeerCertificate()?.subject?.CN ?? null,
  };
}

function answer(request, response) {
  const text = JSON.stringify({ http: request.httpVersion, ...facts(request.socket) });
  // The server closes the connection after this response, so the next request uses a new one.
  const isLast = request.url === "/last";
  const fields = { "Content-Type": "application/json", "Content-Length": text.length };
  if (isLast && request.httpVersion === "1.1") fields.Connection = "close";
  response.writeHead(200, fields);
  response.end(text);
  if (isLast) request.stream?.session?.close();
}

const servers = {
  https: () => createHttps(options, answer),
  http2: () => createSecureServer(options, answer),
  both: () => createSecureServer({ ...options, allowHTTP1: true }, answer),
  echo: () => createTls({ ...options, allowHalfOpen: true }, (socket) => socket.pipe(socket)),
};
const server = servers[kind]();
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"];
  const digest = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      `Sec-WebSocket-Accept: ${digest.digest("base64")}\r\n\r\n`,
  );
  socket.pipe(socket);
});
server.on("secureConnection", () => (connections += 1));
// A handshake can fail because the proxy refuses this server's certificate, which is not an error
// here.
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
