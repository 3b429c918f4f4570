// Acts as a visitor of `pointsman demo` in headless Chromium, and prints one line of JSON with what
// the page showed. Exits 1, with the reason, if a step fails.
//
//   node demo.js PORT PICTURE
//
// PICTURE is the PNG file to which the script writes the page's screenshot, as the README shows it.

import { launch } from "./chromium.js";

const DEADLINE = { timeout: 30_000 };
const DESKTOP = { width: 1100, height: 1080 };
const PHONE = { width: 360, height: 740 };

const [port, picture] = [Number(process.argv[2]), process.argv[3]];
const browser = await launch();
let failure;
try {
  // Opened before the swaps and closed after them.
  const early = await browser.newPage();
  await early.goto(`http://www.localhost:${port}/`, DEADLINE);
  await early.waitForSelector("#state.live", DEADLINE);
  const page = await browser.newPage({ viewport: DESKTOP, deviceScaleFactor: 1, colorScheme: "light" });
  const errors = [];
  const webSockets = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("websocket", (socket) => webSockets.push(socket));
  await page.goto(`http://www.localhost:${port}/`, DEADLINE);
  await page.waitForSelector("#state.live", DEADLINE);

  /** Clicks the button for a request with this Host, and returns the backend that served it. */
  const send = async (host) => {
    await page.evaluate(() => document.getElementById("note").replaceChildren());
    await page.click(`button[data-host="${host}"]`);
    await page.waitForSelector("#note .name", DEADLINE);
    return page.textContent("#note .name");
  };
  /** Clicks the button that swaps the plugin, and returns what the page says about the swap. */
  const swap = async () => {
    await page.click("#swap");
    await page.waitForSelector("#swap:not([disabled])", DEADLINE);
    return page.textContent("#swapped");
  };
  const rows = () => page.locator("#messages li").count();

  const before = await send("evilio.localhost");
  const swapped = await swap();
  const after = await send("evilio.localhost");
  const chat = await send("chat.io.localhost");
  await page.fill("#text", "sent after the swap");
  await page.click("#form button");
  await page.waitForFunction(
    () => document.getElementById("messages").textContent.includes("sent after the swap"),
    null,
    DEADLINE,
  );
  const named = await page.textContent("svg.wide .plugin-name");
  const rule = await page.locator("[data-plugin]:visible").getAttribute("data-plugin");
  await page.waitForFunction(() => !document.getAnimations().some((it) => it.playState === "running"), null, DEADLINE);
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  await page.screenshot({ path: picture });
  const back = await swap();
  const again = await send("evilio.localhost");
  await early.close();
  await page.waitForFunction(
    () => document.getElementById("decisions").textContent.includes("tunnel"),
    null,
    DEADLINE,
  );
  const afterTunnel = await page.textContent("svg.wide .plugin-name");

  await page.setViewportSize(PHONE);
  const phone = await page.evaluate(() => ({
    overflow: document.scrollingElement.scrollWidth - innerWidth,
    smallest: Math.min(...[...document.querySelectorAll("button, input")].map((it) => it.offsetHeight)),
  }));
  console.log(JSON.stringify({
    before, swapped, after, chat, named, rule, back, again, afterTunnel, phone, errors,
    messages: await rows(),
    webSockets: webSockets.map((socket) => ({ url: socket.url(), closed: socket.isClosed() })),
  }));
} catch (error) {
  failure = error;
} finally {
  await browser.close();
}
if (failure) {
  console.error(failure.message);
  process.exitCode = 1;
}
