// The pay dialog: choose a kind, type or tap what was given, see the change. Several kinds may share one ticket.
import { Refused } from "./api.js";
import { Payment, likelyCash } from "./basket.js";
import { openDialog } from "./dialogs.js";
import { make } from "./dom.js";
import { exponent, money, quantity, readFigure, typed } from "./money.js";
import { sell } from "./offline.js";
import { printReceipt } from "./receipt.js";
import { t } from "./text.js";

const dialog = document.querySelector("#pay-dialog");
const form = document.querySelector("#pay-form");
const amount = document.querySelector("#pay-amount");
const problem = document.querySelector("#pay-problem");
const done = document.querySelector("#done-dialog");
const kinds = [...document.querySelectorAll("[data-kind-of-pay]")];
let payment = new Payment(0);
let kind = "cash";
let basket = null;
let lastSale = null;

const given = () => readFigure(amount.value, exponent);

function propose(minor) {
  amount.value = typed(minor, exponent);
  amount.dataset.proposed = "";
}

function draw() {
  const due = payment.dueMinor;
  document.querySelector("#pay-total").textContent = money(payment.totalMinor);
  for (const button of kinds) button.setAttribute("aria-pressed", String(button.dataset.kindOfPay === kind));
  document.querySelector("#pay-parts").replaceChildren(
    ...payment.parts.map((part) => make("li", { class: "row-apart" }, make("span", {}, t(`pay_${part.kind}`)), make("span", { class: "figure" }, money(part.amountMinor)))));
  const quick = kind === "cash" ? [due, ...likelyCash(due, exponent)] : [];
  document.querySelector("#pay-quick").replaceChildren(...quick.map((minor, index) => {
    const button = make("button", { class: "button", type: "button" }, index ? money(minor) : t("pay_exact"));
    button.addEventListener("click", () => {
      propose(minor);
      drawChange();
    });
    return button;
  }));
  drawChange();
}

function drawChange() {
  const now = given() ?? 0;
  const rest = payment.dueMinor - now;
  const box = document.querySelector("#pay-change");
  box.dataset.state = rest <= 0 ? "ready" : "short";
  box.querySelector("[data-label]").textContent = t(rest > 0 ? "pay_missing" : "change");
  box.querySelector("[data-figure]").textContent = money(Math.abs(rest));
  document.querySelector("#pay-more").hidden = !(rest > 0 && now > 0);
  document.querySelector("#pay-confirm").disabled = rest > 0;
  problem.hidden = true;
}

function complain(message) {
  problem.querySelector("[data-text]").textContent = message;
  problem.hidden = false;
}

function addPart() {
  const why = payment.add(kind, given());
  if (why) complain(t(`pay_${why}`));
  return !why;
}

// What a cashier meets every day names the products and what is left of them.
function wording({ message, problem }) {
  if (problem.code !== "insufficient_stock" || !problem.shortages) return message;
  return t("short", { items: problem.shortages.map((s) => t("short_of", { sku: s.sku, quantity: quantity(s.available_milli) })).join(", ") });
}

async function confirmSale() {
  const before = [...payment.parts];
  if (payment.dueMinor > 0 && !addPart()) return;
  const button = document.querySelector("#pay-confirm");
  button.disabled = true;
  const body = { location: document.documentElement.dataset.location, lines: basket.toRequest(), payments: payment.toRequest(), partial: false };
  try {
    const { kept, answer } = await sell(body, payment.totalMinor);
    finish(kept, answer);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    payment.parts = before;
    draw();
    complain(wording(error));
  } finally {
    button.disabled = false;
  }
}

function finish(kept, answer) {
  lastSale = { lines: basket.lines, totalMinor: payment.totalMinor, parts: payment.parts, changeMinor: payment.changeMinor, number: answer?.number ?? null, at: new Date() };
  basket.clear();
  dialog.close();
  document.querySelector("#done-title").textContent = t(kept ? "sold_kept" : "sold");
  document.querySelector("#done-note").textContent = kept ? t("sold_kept_note") : lastSale.number ? t("receipt_number", { number: lastSale.number }) : "";
  document.querySelector("#done-change").textContent = money(lastSale.changeMinor);
  document.querySelector("#done-change-box").hidden = lastSale.changeMinor === 0;
  openDialog("done-dialog");
  document.querySelector("#done-next").focus();
}

/** Open the dialog for what is in `wanted`, a Basket. */
export function pay(wanted) {
  basket = wanted;
  payment = new Payment(basket.totalMinor);
  kind = "cash";
  propose(payment.totalMinor);
  draw();
  openDialog("pay-dialog");
  amount.focus();
  amount.select();
}

for (const button of kinds) {
  button.addEventListener("click", () => {
    kind = button.dataset.kindOfPay;
    propose(payment.dueMinor);
    draw();
    amount.focus();
    amount.select();
  });
}
amount.addEventListener("input", drawChange);
amount.addEventListener("keydown", () => delete amount.dataset.proposed);
document.querySelector("#pay-more").addEventListener("click", () => {
  if (!addPart()) return;
  propose(payment.dueMinor);
  draw();
  amount.focus();
  amount.select();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  confirmSale();
});
document.querySelector("#done-print").addEventListener("click", () => printReceipt(lastSale));
done.addEventListener("close", () => document.querySelector("#sell-search").focus());
