// The paper receipt: made in the page, printed by the browser, on a roll of 80 or 58 mm.
import { make } from "./dom.js";
import { lineTotal, money, quantity } from "./money.js";
import { t } from "./text.js";

// The paper carries the shop's time, whatever this device believes its zone to be.
function moment(at) {
  const { locale, zone } = document.documentElement.dataset;
  return at.toLocaleString(locale, { timeZone: zone, dateStyle: "short", timeStyle: "short" });
}

const pair = (kind, left, right) => make("div", { class: kind }, make("span", {}, left), make("span", {}, right));

/** Print a sale. `number` is null for one that waits in the queue; the paper then says so. */
export function printReceipt({ lines, totalMinor, parts, changeMinor, number, at }) {
  const box = document.querySelector("#receipt");
  const { shop, place } = box.dataset;
  box.dataset.roll = localStorage.getItem("nervio-roll") ?? "80";
  const rows = lines.map((line) =>
    make("tr", {},
      make("td", {}, line.name, make("br"), `${quantity(line.quantityMilli)} × ${money(line.priceMinor)}`),
      make("td", { class: "num" }, money(lineTotal(line.priceMinor, line.quantityMilli)))));
  box.replaceChildren(
    make("h2", {}, shop),
    make("p", { class: "receipt-mid" }, place),
    make("p", { class: "receipt-mid" }, moment(at)),
    make("p", { class: "receipt-mid" }, number ? t("receipt_number", { number }) : t("receipt_waiting")),
    make("table", {}, make("tbody", {}, ...rows)),
    pair("receipt-total", t("total"), money(totalMinor)),
    ...parts.map((part) => pair("receipt-pay", t(`pay_${part.kind}`), money(part.amountMinor))),
    ...(changeMinor ? [pair("receipt-pay", t("change"), money(changeMinor))] : []),
    make("p", { class: "receipt-mid" }, t("receipt_thanks")),
  );
  document.body.dataset.printing = "receipt";
  addEventListener("afterprint", () => delete document.body.dataset.printing, { once: true });
  print();
}
