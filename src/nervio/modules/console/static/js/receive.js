// A goods receipt by scan: each scan raises its line, typed fields stay as typed. The form itself is an ordinary one that
// the server reads; this only adds rows to it.
import { byBarcode, load } from "./catalog.js";
import { icon, make } from "./dom.js";
import { readFigure, typed } from "./money.js";
import { t } from "./text.js";
import { toast } from "./toast.js";

const body = document.querySelector("#receive-lines");
const field = document.querySelector("#receive-search");
const trim = (milli) => typed(milli, 3).replace(/[.,]?0+$/, "");

function cell(name, sku, label, value, required) {
  return make("td", { class: "num" }, make("input", { class: "input input-num", name, value, required, inputmode: "decimal", autocomplete: "off", "aria-label": `${label}: ${sku}` }));
}

function addLine(product) {
  const old = body.querySelector(`[data-sku="${CSS.escape(product.sku)}"] [name=quantity]`);
  if (old) {
    old.value = trim((readFigure(old.value, 3) ?? 0) + 1000);
    return;
  }
  const remove = make("button", { class: "button button-bare button-icon", type: "button", "data-remove": true, "aria-label": t("line_remove", { name: product.name }) }, icon("trash"));
  body.prepend(make("tr", { "data-sku": product.sku },
    make("th", { scope: "row" }, product.name, make("span", { class: "cell-sub code" }, product.sku), make("input", { type: "hidden", name: "sku", value: product.sku })),
    cell("quantity", product.sku, t("quantity"), "1", true),
    make("td", {}, make("input", { class: "input", name: "lot", autocomplete: "off", "data-scan": "take", "aria-label": `${t("lot")}: ${product.sku}` })),
    make("td", {}, make("input", { class: "input", name: "expires", type: "date", "aria-label": `${t("expires")}: ${product.sku}` })),
    make("td", { class: "cell-act" }, remove)));
  draw();
}

function draw() {
  const n = body.childElementCount;
  document.querySelector("#receive-empty").hidden = n > 0;
  document.querySelector("#receive-table").hidden = n === 0;
  document.querySelector("#receive-save").disabled = n === 0;
  document.querySelector("#receive-count").textContent = t("lines", { n });
}

async function take(code) {
  const product = await byBarcode(code);
  if (product) addLine(product);
  else toast(t("scan_unknown", { code }), "error");
}

document.addEventListener("scan", ({ detail }) => detail.repeated || take(detail.code));
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  take(field.value.trim());
  field.value = "";
});
body.addEventListener("click", (event) => {
  if (!event.target.closest("[data-remove]")) return;
  event.target.closest("tr").remove();
  draw();
});
draw();
await load();
