"use strict";

// The page can be loaded under any name below localhost. Its requests go to the same port.
const port = location.port ? `:${location.port}` : "";
const MOST_ROWS = 60;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const byId = (id) => document.getElementById(id);

/** Creates an element with a class and children. Text is never parsed as HTML. */
function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function addRow(list, row, isNew) {
  list.querySelector(".empty")?.remove();
  if (isNew) row.classList.add("new");
  list.prepend(row);
  while (list.children.length > MOST_ROWS) list.lastChild.remove();
}

/** Formats milliseconds in a readable unit. */
function duration(ms) {
  if (ms === undefined) return "";
  if (ms >= 60000) return `${Math.round(ms / 60000)} min`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 100) return `${Math.round(ms)} ms`;
  if (ms >= 1) return `${ms.toFixed(1)} ms`;
  if (ms >= 0.01) return `${Math.round(ms * 1000)} µs`;
  if (ms >= 0.001) return `${(ms * 1000).toFixed(1)} µs`;
  return `${Math.round(ms * 1e6)} ns`;
}

const clock = () => new Date().toLocaleTimeString([], { hour12: false });

// --- the diagram ---------------------------------------------------------------------------

const RUN = 900;
let running = null;

/** Highlights the path to a backend, and sends a train down it. */
function throwSwitch(backend) {
  const ways = [...document.querySelectorAll(".way")];
  const stations = document.querySelectorAll(".station");
  const chosen = ways.filter((way) => way.dataset.way === backend);
  if (!chosen.length) return;
  running?.forEach((animation) => animation.cancel());
  for (const way of ways) way.classList.remove("lit");
  for (const station of stations) {
    station.classList.remove("www_backend", "node_backend");
    const place = station.dataset.station;
    if (place === backend || place === "pointsman") station.classList.add(backend);
  }
  running = [];
  for (const way of chosen) {
    way.classList.add("lit");
    if (calm.matches) {
      way.style.strokeDashoffset = 0;
      continue;
    }
    way.style.strokeDashoffset = "";
    running.push(way.animate(
      [{ strokeDashoffset: 1 }, { strokeDashoffset: 0 }],
      { duration: RUN, easing: "ease-in-out", fill: "forwards" },
    ));
    const train = way.ownerSVGElement.querySelector(".train");
    train.style.offsetPath = `path("${way.getAttribute("d")}")`;
    running.push(train.animate(
      [{ offsetDistance: "0%", opacity: 1 }, { opacity: 1, offset: 0.9 }, { offsetDistance: "100%", opacity: 0 }],
      { duration: RUN, easing: "ease-in-out" },
    ));
  }
}

// Decisions arrive in bursts. Each one is listed, but the animation shows only some of them: when
// it ends, the latest waiting decision is shown next.
let waiting = null;
let busyUntil = 0;

function show(backend) {
  const now = performance.now();
  if (now >= busyUntil) {
    busyUntil = now + RUN;
    throwSwitch(backend);
  } else if (waiting === null) {
    waiting = backend;
    setTimeout(() => {
      const next = waiting;
      waiting = null;
      busyUntil = performance.now() + RUN;
      throwSwitch(next);
    }, busyUntil - now);
  } else {
    waiting = backend;
  }
}

// --- what the notifier pushes ----------------------------------------------------------------

function decided(record) {
  const known = record.backend === "www_backend" || record.backend === "node_backend";
  const backend = make("span", `name ${known ? record.backend : ""}`, record.backend ?? record.end);
  const by = record.plugin ? `${record.plugin} v${record.version ?? "?"}` : "default";
  const took = record.decision === undefined ? "" : duration(record.decision);
  return { backend, by: [record.cached ? `${by}, cached` : by, took].filter(Boolean).join(" · ") };
}

function onAccess(record) {
  const asked = `${record.method ?? ""} ${record.host ?? ""}${record.target ?? ""}`.trim();
  const { backend, by } = decided(record);
  const ended = record.end === "ok" ? String(record.status ?? "") : `${record.status ?? ""} ${record.end}`.trim();
  addRow(byId("decisions"), make("li", "",
    make("div", "row", make("span", "", asked), make("span", "quiet", ended)),
    make("div", "row",
      make("span", "", make("span", "quiet", "→ "), backend),
      make("span", "quiet", by)),
  ), true);
  const latest = decided(record);
  byId("latest").replaceChildren(
    make("span", "", asked),
    make("span", "", make("span", "quiet", "→ "), latest.backend),
    make("span", "quiet", latest.by),
    make("span", "quiet", [ended, duration(record.total)].filter(Boolean).join(" in ")),
  );
  show(record.backend);
  if (record.plugin) onPlugin(record.plugin, record.version);
}

// --- the plugin in service, as the records name it -------------------------------------------

const PLUGINS = ["host-suffix", "header-match"];
let active = null;
let isSwapping = false;

const other = (plugin) => PLUGINS.find((it) => it !== plugin);

function onPlugin(plugin, version) {
  // The record of a tunnel names the version that decided when the tunnel began.
  if (active && version <= active.version) return;
  active = { plugin, version };
  for (const name of document.querySelectorAll(".plugin-name")) name.textContent = plugin;
  byId("other").textContent = other(plugin);
  byId("swap").disabled = isSwapping;
  for (const text of document.querySelectorAll("[data-plugin]")) {
    text.hidden = text.dataset.plugin !== plugin;
  }
}

const SWAP_DEADLINE = 10_000;

byId("swap").addEventListener("click", async () => {
  const [button, note] = [byId("swap"), byId("swapped")];
  const [before, connection, start] = [active, socket, performance.now()];
  const wanted = other(before.plugin);
  button.disabled = isSwapping = true;
  note.textContent = "Swapping ...";
  let [sent, failed] = [0, 0];
  try {
    const response = await fetch(`/swap/${wanted}`, { method: "POST" });
    if (!response.ok) throw new Error(await response.text());
    // Requests go on meanwhile; the proxy's records say which version decided about each.
    while (active.plugin !== wanted) {
      if (performance.now() - start > SWAP_DEADLINE) throw new Error(`no record names ${wanted}`);
      sent += 1;
      await fetch(`http://evilio.localhost${port}/whoami`, { cache: "no-store" })
        .then((answer) => { if (!answer.ok) failed += 1; }, () => { failed += 1; });
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const isOpen = connection === socket && socket?.readyState === WebSocket.OPEN;
    note.textContent = `${before.plugin} v${before.version} was replaced by `
      + `${active.plugin} v${active.version} in ${duration(performance.now() - start)}. `
      + `${failed ? `${failed} of ${sent} requests failed` : "No request failed"} meanwhile, `
      + `and the WebSocket ${isOpen ? "stayed open" : "was closed"}.`;
  } catch (error) {
    note.textContent = `The swap failed: ${error.message}`;
  } finally {
    button.disabled = isSwapping = false;
  }
});

let number = 0;

function onMessage(message) {
  const from = message.from === number ? "you" : `page ${message.from}`;
  addRow(byId("messages"), make("li", "",
    make("div", "row", make("span", "name", from), make("time", "", clock())),
    make("div", "", message.text)), true);
}

function notice(text) {
  addRow(byId("messages"), make("li", "quiet", text), false);
}

function onTick(tick) {
  const pulse = byId("pulse");
  pulse.textContent = `tick ${tick.count} · ${tick.pages} ${tick.pages === 1 ? "page" : "pages"}`;
  pulse.classList.remove("beat");
  void pulse.offsetWidth; // restarts the animation
  pulse.classList.add("beat");
}

const receive = {
  hello(message) {
    number = message.number;
    notice(`Hello from ${message.served_by}: you are page ${number}.`);
  },
  access: onAccess,
  message: onMessage,
  tick: onTick,
  missed(message) {
    notice(`${message.count} messages were missed.`);
  },
};

// --- the WebSocket ---------------------------------------------------------------------------

let socket = null;
let pause = 500;

function connect() {
  const state = byId("state");
  const address = `ws://io.localhost${port}/`;
  socket = new WebSocket(address);
  socket.onopen = () => {
    pause = 500;
    state.textContent = `live over ${address}`;
    state.classList.add("live");
    byId("decisions").replaceChildren(make("li", "empty", "None yet."));
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    receive[message.type]?.(message);
  };
  socket.onclose = () => {
    state.textContent = "WebSocket closed, trying again";
    state.classList.remove("live");
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 8000);
  };
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text");
  if (!text.value.trim() || socket?.readyState !== WebSocket.OPEN) return;
  socket.send(text.value);
  text.value = "";
});

// --- requests with other Hosts ---------------------------------------------------------------

byId("hosts").addEventListener("click", async (event) => {
  const host = event.target.dataset.host;
  if (!host) return;
  const note = byId("note");
  try {
    const response = await fetch(`http://${host}${port}/whoami`, { cache: "no-store" });
    const { served_by: backend, via } = await response.json();
    const seen = via ? ` (Via: ${via})` : "";
    note.replaceChildren(`${host} was served by `, make("span", `name ${backend}`, backend), `${seen}.`);
    // The access record updates the diagram. Without a WebSocket, the response updates it.
    if (socket?.readyState !== WebSocket.OPEN) show(backend);
  } catch {
    note.textContent = `No response from ${host}: is the proxy still running?`;
  }
});

connect();
