// A WebSocket echo server for Autobahn's cases. Once it listens on 127.0.0.1, it prints its port as
// one line of JSON. It does not offer compression: the cases for compression take minutes, and test
// nothing in a proxy that only forwards bytes.

import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: false,
  // Cases 9.3.1 and 9.4.1 send 4 MiB in 65,536 fragments of 64 bytes.
  maxFragments: 128 * 1024,
  // Autobahn sends messages up to 16 MiB.
  maxPayload: 32 * 1024 * 1024,
});

server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  // Autobahn sends invalid frames. ws closes the connection with the right code by itself.
  socket.on("error", () => {});
});

server.on("listening", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
