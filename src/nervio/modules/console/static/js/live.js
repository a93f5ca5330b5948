// One stream of events per browser. A browser allows six connections to a server over HTTP/1.1, so a stream per tab would
// hang the seventh. The tab that holds a Web Lock keeps the stream and tells the others over a BroadcastChannel; when it
// closes, the lock passes on and so does the duty.
//
// Events from the server: `figures` {key: text} fills every [data-live="key"]; `refresh` {regions: [id]} loads those parts
// of the page again (those marked `data-again` are loaded again all the time); `halt` {frozen} says that the shop stopped or goes on.
import { swap } from "./swap.js";
import { toast } from "./toast.js";
import { t } from "./text.js";

const NAMES = ["figures", "refresh", "halt"];
const REFRESH_MS = 2000;
const channel = new BroadcastChannel("nervio-live");
const due = new Set();
let state = "connecting";
let kept = null;

function show(next) {
  state = next;
  for (const pulse of document.querySelectorAll("[data-pulse]")) {
    pulse.dataset.state = next;
    pulse.querySelector("[data-pulse-text]").textContent = t(`live_${next}`);
  }
}

function receive(message) {
  if (message.state) show(message.state);
  if (message.name === "figures") {
    for (const [key, text] of Object.entries(message.data)) {
      for (const place of document.querySelectorAll(`[data-live="${CSS.escape(key)}"]`)) place.textContent = text;
    }
  } else if (message.name === "refresh") {
    for (const id of message.data.regions) if (document.getElementById(id)) due.add(id);
  } else if (message.name === "halt") {
    onHalt(message.data.frozen, message.data.seen);
  }
  if (message.name) document.dispatchEvent(new CustomEvent(`live:${message.name}`, { detail: message.data }));
}

// A page that was drawn before the stop must not look as if it could still sell.
function onHalt(frozen, seen) {
  const drawn = document.documentElement.dataset.halted === "true";
  if (frozen === drawn && seen === document.documentElement.dataset.halts) return;
  document.documentElement.dataset.halts = seen;
  if (frozen !== drawn) toast(t(frozen ? "stopped_now" : "resumed_now"), frozen ? "error" : "info");
  document.documentElement.dataset.halted = String(frozen);
  const light = document.querySelector("#stop-light");
  if (frozen && light) light.dataset.state = "stop";
  // While everything is stopped this page's own address answers nothing; the banner is the same on every page.
  swap(frozen ? "/console/stopped" : location.href, "banner", { push: false });
  if (!frozen && light) due.add(light.id);
}

function tell(message) {
  if (message.name === "figures") kept = message;
  channel.postMessage(message);
  receive(message);
}

function lead() {
  const stream = new EventSource(document.documentElement.dataset.stream);
  stream.addEventListener("open", () => tell({ state: "live" }));
  stream.addEventListener("error", () => {
    tell({ state: "retrying" });
    // The browser gives up for good on an answer that is no stream, such as a login page; try again slowly.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { stream.close(); lead(); }, 15_000);
  });
  for (const name of NAMES) {
    stream.addEventListener(name, (event) => tell({ name, data: JSON.parse(event.data) }));
  }
}

/** Join the stream: lead when nobody does, follow otherwise. Does nothing on pages without a session. */
export function start() {
  if (!document.documentElement.dataset.stream) return;
  let leading = false;
  channel.addEventListener("message", ({ data }) => {
    if (data.hello) {
      if (leading) channel.postMessage({ state, ...kept });
    } else receive(data);
  });
  navigator.locks.request("nervio-live", () => {
    leading = true;
    lead();
    return new Promise(() => {});
  });
  channel.postMessage({ hello: true });
  setInterval(async () => {
    if (document.hidden || document.querySelector("dialog[open]")) return;
    const ids = [...due];
    due.clear();
    for (const { id } of document.querySelectorAll("[data-again]")) await swap(location.href, id, { push: false, quiet: true });
    for (const id of ids) await swap(location.href, id, { push: false });
  }, REFRESH_MS);
}
