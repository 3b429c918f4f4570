// The how-to's notifier: socket.io, with its defaults, pushes a numbered message to every browser.
// Once the server listens on 127.0.0.1, it prints its port as one line of JSON.

import { createServer } from "node:http";
import { Server } from "socket.io";

const PUSH_EVERY_MS = 50;

const http = createServer((request, response) => {
  response.writeHead(404, { "Content-Type": "text/plain" });
  response.end(`the notifier has no ${request.url}\n`);
});

// The page has another origin: it comes from www.test.tld, and this server is io.test.tld.
const io = new Server(http, { cors: { origin: ["http://www.test.tld", "https://www.test.tld"] } });

io.on("connection", (socket) => {
  const { host, "x-forwarded-for": forwardedFor } = socket.handshake.headers;
  socket.emit("hello", { server: "node", host, forwardedFor });
  let number = 0;
  const timer = setInterval(() => socket.emit("push", ++number), PUSH_EVERY_MS);
  socket.on("ask", (text, answer) => answer(text.toUpperCase()));
  socket.on("disconnect", () => clearInterval(timer));
});

http.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ port: http.address().port }));
});
