// Loads the page of the scenario in headless Chromium, waits for pushes over a WebSocket, and
// prints one line of JSON with what it saw. Exits 1, with the reason, if no push comes.
//
//   node browser.js PROXY_PORT [CERTIFICATE]
//
// The names of test.tld resolve to the proxy, and ports 80 and 443 map to its port, so that the
// browser sends the usual Host. With CERTIFICATE it uses https, and trusts the key of that
// certificate.

import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { DEADLINE_MS, launch } from "./chromium.js";

const PUSHES = 5;

/** Returns the flag that makes Chromium trust only the key of this certificate. */
async function trusting(certificate) {
  const { publicKey } = new X509Certificate(await readFile(certificate));
  const info = publicKey.export({ type: "spki", format: "der" });
  const digest = createHash("sha256").update(info).digest("base64");
  return `--ignore-certificate-errors-spki-list=${digest}`;
}

const port = Number(process.argv[2]);
const certificate = process.argv[3];
const scheme = certificate ? "https" : "http";
const browser = await launch(
  `--host-resolver-rules=MAP *.test.tld 127.0.0.1:${port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
  ...(certificate ? [await trusting(certificate)] : []),
);

let failure;
try {
  const page = await browser.newPage();
  const log = [];
  const webSockets = [];
  page.on("console", (message) => log.push(message.text()));
  page.on("pageerror", (error) => log.push(String(error)));
  page.on("requestfailed", (request) => {
    log.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("websocket", (socket) => {
    const seen = { url: socket.url(), framesReceived: 0 };
    webSockets.push(seen);
    socket.on("framereceived", () => (seen.framesReceived += 1));
  });

  const answer = await page.goto(`${scheme}://www.test.tld/`, { timeout: DEADLINE_MS });
  try {
    // The page counts the pushes that come once socket.io has moved to the WebSocket.
    await page.waitForFunction(
      (pushes) => window.seen?.overWebSocket.length >= pushes && window.seen.answer !== null,
      PUSHES,
      { timeout: DEADLINE_MS },
    );
  } catch (error) {
    const seen = await page.evaluate(() => window.seen);
    const state = JSON.stringify({ seen, webSockets, log });
    throw new Error(`${error.message}; what the browser has seen: ${state}`);
  }
  console.log(
    JSON.stringify({
      status: answer.status(),
      server: await answer.headerValue("server"),
      title: await page.title(),
      protocol: await page.evaluate(
        () => performance.getEntriesByType("navigation")[0].nextHopProtocol,
      ),
      shown: await page.locator("#pushes li").count(),
      seen: await page.evaluate(() => window.seen),
      webSockets,
    }),
  );
} catch (error) {
  failure = error;
} finally {
  await browser.close();
}
if (failure) {
  console.error(failure.message);
  process.exitCode = 1;
}
