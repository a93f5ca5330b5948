// The till. Scan or search, see the line at once, pay. Everything a sale needs is in this browser, so the line may drop at
// any moment. Nothing here moves the focus while a code is being scanned.
import { Basket } from "./basket.js";
import { byBarcode, load, product, refresh, search } from "./catalog.js";
import { openDialog } from "./dialogs.js";
import { icon, make } from "./dom.js";
import { lineTotal, money, quantity, readFigure, typed } from "./money.js";
import { pay } from "./pay.js";
import { t } from "./text.js";
import { toast } from "./toast.js";

const kept = `nervio-basket-${document.documentElement.dataset.tenant}`;
const field = document.querySelector("#sell-search");
const found = document.querySelector("#sell-found");
const start = document.querySelector("#sell-start");
const lines = document.querySelector("#ticket-lines");
const spoken = document.querySelector("#sell-spoken");
const count = document.querySelector("#count-input");
let counted = null;
let asked = 0;

const basket = new Basket(changed, JSON.parse(localStorage.getItem(kept) ?? "[]"));

function changed(sku) {
  localStorage.setItem(kept, JSON.stringify(basket.lines));
  draw(sku);
}

function draw(fresh) {
  lines.replaceChildren(...basket.lines.map((line) => drawLine(line, line.sku === fresh)));
  document.querySelector("#ticket-empty").hidden = basket.lines.length > 0;
  document.querySelector("#ticket-total").textContent = money(basket.totalMinor);
  document.querySelector("#ticket-pieces").textContent = t("pieces", { n: basket.pieces });
  for (const button of document.querySelectorAll("#ticket-pay, #ticket-clear")) button.disabled = basket.lines.length === 0;
  const line = basket.lines.find((each) => each.sku === fresh);
  if (line) spoken.textContent = t("line_spoken", { name: line.name, quantity: quantity(line.quantityMilli), total: money(basket.totalMinor) });
}

function drawLine(line, isFresh) {
  const step = (change, name, label) => make("button", { class: "button button-bare", type: "button", "data-step": change, "data-sku": line.sku, "aria-label": t(label, { name: line.name }) }, icon(name));
  const row = make("li", { class: "ticket-line", "data-fresh": isFresh },
    make("span", { class: "ticket-name" }, line.name, make("span", { class: "cell-sub figure" }, t("each", { price: money(line.priceMinor) }))),
    make("span", { class: "ticket-sum figure num" }, money(lineTotal(line.priceMinor, line.quantityMilli))),
    make("span", { class: "stepper" },
      step(-1000, line.quantityMilli <= 1000 ? "trash" : "minus", line.quantityMilli <= 1000 ? "line_remove" : "line_less"),
      make("button", { class: "button stepper-count", type: "button", "data-count": line.sku, "aria-label": t("line_count", { name: line.name, quantity: quantity(line.quantityMilli) }) }, quantity(line.quantityMilli)),
      step(1000, "plus", "line_more")));
  if (isFresh) queueMicrotask(() => row.scrollIntoView({ block: "nearest" }));
  return row;
}

function drawGood(each, index) {
  return make("li", {}, make("button", { class: "good", type: "button", "data-sku": each.sku, id: `good-${index}` },
    make("span", { class: "good-name" }, each.name),
    make("span", { class: "good-foot" }, make("span", { class: "good-price" }, money(each.unit_price_minor)),
      make("span", { class: "good-left" }, each.available_milli == null ? "" : t("left", { quantity: quantity(each.available_milli) })))));
}

async function find() {
  const mine = ++asked;
  const results = await search(field.value);
  if (mine !== asked) return;
  found.replaceChildren(...results.map(drawGood));
  const searching = field.value.trim() !== "";
  start.hidden = searching;
  document.querySelector("#sell-none").hidden = !searching || results.length > 0;
}

function take(sku) {
  const chosen = product(sku);
  if (!chosen) return;
  basket.add(chosen);
  if (field.value) {
    field.value = "";
    find();
  }
}

function act(event) {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.step) {
    const line = basket.lines.find((each) => each.sku === button.dataset.sku);
    const [sku, change] = [line.sku, button.dataset.step];
    basket.set(sku, Math.max(0, line.quantityMilli + Number(change)));
    lines.querySelector(`[data-step="${change}"][data-sku="${CSS.escape(sku)}"]`)?.focus();
  } else if (button.dataset.count) {
    counted = basket.lines.find((each) => each.sku === button.dataset.count);
    document.querySelector("#count-name").textContent = counted.name;
    count.value = typed(counted.quantityMilli, 3).replace(/[.,]?0+$/, "");
    count.dataset.proposed = "";
    openDialog("count-dialog");
    count.select();
  }
}

lines.addEventListener("click", act);
document.querySelector("#count-form").addEventListener("submit", () => {
  const milli = readFigure(count.value, 3);
  if (milli === null || milli < 0) toast(t("count_bad"), "error");
  else basket.set(counted.sku, milli);
});
count.addEventListener("keydown", () => delete count.dataset.proposed);
for (const list of [found, start]) list.addEventListener("click", (event) => take(event.target.closest(".good")?.dataset.sku));
field.addEventListener("input", find);
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    take(found.querySelector(".good")?.dataset.sku);
  } else if (event.key === "ArrowDown" && found.firstElementChild) {
    event.preventDefault();
    found.querySelector(".good").focus();
  } else if (event.key === "Escape") {
    field.value = "";
    find();
  }
});
document.querySelector("#ticket-pay").addEventListener("click", () => pay(basket));
document.querySelector("#ticket-clear").addEventListener("click", () => {
  if (confirm(t("clear_sure"))) basket.clear();
});
document.addEventListener("scan", async ({ detail }) => {
  // The next customer's first item closes what is left of the last sale; any other dialog keeps scans out.
  document.querySelector("#done-dialog[open]")?.close();
  if (detail.repeated || document.querySelector("dialog[open]")) return;
  const scanned = await byBarcode(detail.code);
  if (scanned) basket.add(scanned);
  else toast(t("scan_unknown", { code: detail.code }), "error");
});
for (const roll of document.querySelectorAll("input[name=roll]")) {
  roll.checked = roll.value === (localStorage.getItem("nervio-roll") ?? "80");
  roll.addEventListener("change", () => localStorage.setItem("nervio-roll", roll.value));
}

draw(null);
await load();
if (!basket.lines.length) field.focus({ preventScroll: true });
await refresh();
if (start.childElementCount === 0) start.replaceChildren(...(await search("a", 12)).map(drawGood));
