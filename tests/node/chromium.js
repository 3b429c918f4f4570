// Headless Chromium with a new profile, for the scripts that act as a user of a browser.

import { access } from "node:fs/promises";
import { constants } from "node:fs";
import { chromium } from "playwright-core";

export const DEADLINE_MS = 60_000;
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

async function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const path of CHROMIUM) {
    const found = await access(path, constants.X_OK).then(() => true, () => false);
    if (found) return path;
  }
  throw new Error(`no Chromium at ${CHROMIUM.join(", ")}; name one in CHROMIUM`);
}

/** Starts Chromium with these further flags, and without its own background traffic. */
export async function launch(...flags) {
  return chromium.launch({
    executablePath: await executable(),
    timeout: DEADLINE_MS,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-proxy-server",
      ...flags,
    ],
  });
}
