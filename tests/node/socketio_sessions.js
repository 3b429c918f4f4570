// socket.io servers behind a proxy, and their clients, all with their defaults: polling first, then a
// WebSocket.
//
//   node socketio_sessions.js server NAME
//   node socketio_sessions.js clients PROXY_PORT COUNT
//
// A server prints one line of JSON, its port, once it listens on 127.0.0.1. The clients keep cookies,
// and print a line of JSON for each event of a client: `upgraded`, with the server's name, and
// `disconnect`. On SIGUSR2 they print `answer`, with the name of the server that responds.

import { createServer } from "node:http";
import { Server } from "socket.io";
import { io } from "socket.io-client";

function serve(name) {
  const http = createServer();
  new Server(http).on("connection", (socket) => {
    socket.on("who", (answer) => answer(name));
  });
  http.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ port: http.address().port }));
  });
}

function connect(port, client) {
  const socket = io(`http://127.0.0.1:${port}`, {
    withCredentials: true,
    forceNew: true,
    reconnectionDelay: 50,
  });
  const say = (event, more) => console.log(JSON.stringify({ client, event, ...more }));
  const ask = (event) => socket.emit("who", (server) => say(event, { server }));
  socket.on("connect", () => {
    const { engine } = socket.io;
    if (engine.transport.name === "websocket") {
      ask("upgraded");
    } else {
      engine.once("upgrade", () => ask("upgraded"));
    }
  });
  socket.on("disconnect", (reason) => say("disconnect", { reason }));
  process.on("SIGUSR2", () => ask("answer"));
}

const [role, what, count] = process.argv.slice(2);
if (role === "server") {
  serve(what);
} else {
  for (let client = 0; client < Number(count); client += 1) connect(what, client);
}
