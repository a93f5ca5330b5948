// Sales are written here first and sent second, each under a key of its own, so that a line that drops, a page that reloads
// or an answer that gets lost neither loses a sale nor makes it twice. The count in the top bar is always true.
import { Refused, call } from "./api.js";
import { icon, make } from "./dom.js";
import { money } from "./money.js";
import { withStore } from "./storage.js";
import { t } from "./text.js";
import { toast } from "./toast.js";

const RETRY_MS = 15_000;
const tenant = document.documentElement.dataset.tenant;
const channel = new BroadcastChannel("nervio-queue");

/** Every sale in this browser, oldest first, also those of another shop or a person who logged out. */
export const waiting = async () =>
  (await withStore("queue", "readonly", (store) => store.getAll())).sort((a, b) => a.at - b.at);

const keep = (sale) => withStore("queue", "readwrite", (store) => store.put(sale));
const drop = (key) => withStore("queue", "readwrite", (store) => store.delete(key));
const post = (sale) => call("POST", "/api/sales", sale.body, { "Idempotency-Key": sale.key });

/**
 * Make a sale: `{ kept: false, answer }` when the server booked it, `{ kept: true }` when it waits in the queue. Throws
 * `Refused` when the server said no, for good or because the shop is stopped or the session over: then nothing is kept and
 * the basket is still the cashier's. A stopped shop does not sell, and does not gather sales for later either.
 */
export async function sell(body, totalMinor) {
  const at = Date.now();
  // A sale that is bound to arrive late says when it was made. It must be settled now: under one key the body never changes.
  const late = !navigator.onLine || (await waiting()).length > 0;
  const dated = late ? { ...body, effective_at: new Date(at).toISOString() } : body;
  const sale = { key: crypto.randomUUID(), tenant, body: dated, totalMinor, at, problem: null };
  await keep(sale);
  await changed();
  try {
    const answer = await navigator.locks.request("nervio-queue", () => post(sale));
    await drop(sale.key);
    return { kept: false, answer };
  } catch (error) {
    if (error instanceof Refused && (!error.passing || error.holdsBack)) {
      await drop(sale.key);
      throw error;
    }
    return { kept: true };
  } finally {
    await changed();
  }
}

/** Send what waits for this shop, one tab at a time, and stop at the first sale that cannot pass yet. */
export async function replay() {
  if (!tenant || !navigator.onLine) return;
  await navigator.locks.request("nervio-queue", { ifAvailable: true }, async (lock) => {
    if (!lock) return;
    let sent = 0;
    for (const sale of (await waiting()).filter((each) => each.tenant === tenant && !each.problem)) {
      try {
        await post(sale);
        await drop(sale.key);
        sent += 1;
      } catch (error) {
        if (!(error instanceof Refused) || error.passing) break;
        await keep({ ...sale, problem: error.message });
      }
    }
    if (sent) toast(t("queue_sent", { n: sent }));
  });
  await changed();
}

async function changed() {
  await draw();
  channel.postMessage("changed");
}

async function draw() {
  const sales = await waiting();
  for (const badge of document.querySelectorAll("[data-queue]")) {
    badge.hidden = sales.length === 0 && navigator.onLine;
    badge.classList.toggle("badge-stop", sales.some((sale) => sale.problem));
    const text = navigator.onLine ? t("queue_count", { n: sales.length }) : t("queue_offline", { n: sales.length });
    badge.querySelector("[data-queue-text]").textContent = text;
    badge.querySelector("[data-queue-count]").textContent = sales.length;
    badge.setAttribute("aria-label", text);
  }
  const list = document.querySelector("#queue-list");
  list?.replaceChildren(...sales.map(row));
  const empty = document.querySelector("#queue-empty");
  if (empty) empty.hidden = sales.length > 0;
}

function row(sale) {
  const time = new Date(sale.at).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", timeZone: document.documentElement.dataset.zone });
  const foreign = sale.tenant !== tenant;
  const status = sale.problem ?? t(foreign ? "queue_other_shop" : "queue_waiting");
  const line = make("li", { class: "row-apart" },
    make("span", {}, make("span", { class: "figure" }, `${time} · ${money(sale.totalMinor)}`), make("span", { class: "cell-sub" }, status)));
  if (sale.problem && !foreign) {
    const again = make("button", { class: "button", type: "button" }, t("queue_again"));
    again.addEventListener("click", async () => {
      await keep({ ...sale, problem: null });
      await replay();
    });
    const give = make("button", { class: "button button-bare button-danger button-icon", type: "button", "aria-label": t("queue_drop") }, icon("trash"));
    give.addEventListener("click", async () => {
      if (!confirm(t("queue_drop_sure", { amount: money(sale.totalMinor) }))) return;
      await drop(sale.key);
      await changed();
    });
    line.append(make("span", { class: "row" }, again, give));
  }
  return line;
}

/** Keep the count true and send what can be sent, now and whenever the line comes back. */
export function start() {
  channel.addEventListener("message", draw);
  addEventListener("online", replay);
  addEventListener("offline", draw);
  document.addEventListener("live:halt", (event) => event.detail.frozen || replay());
  setInterval(replay, RETRY_MS);
  replay();
  draw();
}

/** Register the service worker, which needs HTTPS or localhost, and forget kept pages where nobody is signed in. */
export async function startWorker() {
  if (!tenant && "caches" in globalThis) await caches.delete("nervio-pages");
  const { worker } = document.documentElement.dataset;
  if (!("serviceWorker" in navigator) || !worker) return;
  // Without a worker (private windows, plain HTTP) the queue still keeps sales; only opening the till offline is lost.
  await navigator.serviceWorker.register(worker, { scope: "/console" }).catch((error) => console.info(error.message));
}
