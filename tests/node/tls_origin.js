// A TLS server whose response describes the connection, as JSON.
//
//   node tls_origin.js KIND CERTIFICATE KEY [CLIENT_CA]
//
// KIND is `https` (HTTP/1.1 without ALPN's `h2`), `http2` (nothing else), `both`, or `echo`, which
// sends back bytes without HTTP. WebSockets are echoed as bytes. With CLIENT_CA, clients must
// present a certificate of that authority. Prints one line of JSON, its port, once it listens on
// 127.0.0.1.

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
  // The next request then uses a new connection.
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
// Ignores proxies that refuse this server's certificate.
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
