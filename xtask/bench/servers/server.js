// A server for compare.py: responds after DELAY milliseconds; SIGUSR2 switches between status 200
// and 500.
import { createServer } from "node:http";

let status = 200;
const [host, port] = [process.env.HOST ?? "127.0.0.1", Number(process.env.PORT)];
const delay = Number(process.env.DELAY ?? 0);
process.on("SIGUSR2", () => (status = status === 200 ? 500 : 200));

const server = createServer((request, response) => {
  const answer = () => {
    response.writeHead(status, { "Content-Type": "text/plain" });
    response.end(`${port}\n`);
  };
  // Health checks are never delayed, so that no proxy waits longer for a check than for a request.
  delay > 0 && request.url !== "/health" ? setTimeout(answer, delay) : answer();
});
server.keepAliveTimeout = 60_000;
server.listen(port, host, () => console.log("listening"));
