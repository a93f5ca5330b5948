// The command palette (Ctrl+K). Its commands are list items drawn by the server from the rooms this person may enter;
// products come from the API while one types. A combobox after the ARIA pattern: the focus stays in the input.
import { call } from "./api.js";
import { icon, make } from "./dom.js";
import { t } from "./text.js";
import { money } from "./money.js";

const dialog = document.querySelector("#palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("[role=listbox]");
const none = dialog?.querySelector("[data-none]");
const commands = list ? [...list.children] : [];
const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
let asked = 0;

function select(item) {
  for (const other of list.children) other.setAttribute("aria-selected", String(other === item));
  if (item) {
    input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

const visible = () => [...list.children].filter((item) => !item.hidden);

async function findProducts(words) {
  const mine = ++asked;
  for (const old of list.querySelectorAll("[data-product]")) old.remove();
  if (words.length < 2 || !dialog.dataset.products) return;
  const found = await call("GET", `/api/products?search=${encodeURIComponent(words)}&limit=6`).catch(() => ({ items: [] }));
  if (mine !== asked) return;
  for (const [index, product] of found.items.entries()) {
    const item = make("li", { class: "palette-item", role: "option", id: `found-${index}`, "data-product": true, "aria-selected": "false",
      "data-href": `/console/stock/${encodeURIComponent(product.sku)}` }, icon("product"), make("span", {}, product.name),
      make("kbd", {}, money(product.unit_price_minor)));
    list.append(item);
  }
  none.hidden = visible().length > 0;
  if (!list.querySelector("[aria-selected=true]")) select(visible()[0]);
}

function filter() {
  const words = plain(input.value.trim());
  for (const item of commands) item.hidden = !words.split(/\s+/).every((word) => plain(item.textContent).includes(word));
  select(visible()[0]);
  none.hidden = visible().length > 0;
  findProducts(input.value.trim());
}

function run(item) {
  if (!item) return;
  dialog.close();
  if (item.dataset.href) location.assign(item.dataset.href);
  else document.querySelector(item.dataset.click)?.click();
}

if (dialog) {
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    const items = visible();
    const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      select(items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(items[at]);
    }
  });
  list.addEventListener("click", (event) => run(event.target.closest("[role=option]")));
  dialog.addEventListener("close", () => {
    input.value = "";
    filter();
  });
  // A code scanned anywhere outside the till leads to the product; a room that wants scans for itself prevents this.
  document.addEventListener("scan", (event) => {
    if (event.detail.repeated || document.body.dataset.scan === "own" || !dialog.dataset.products) return;
    if (!dialog.open) dialog.showModal();
    input.value = event.detail.code;
    filter();
  });
  input.setAttribute("placeholder", t("palette_hint"));
}
