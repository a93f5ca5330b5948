// The basket: what is being bought and how it is paid. No document and no network in here, so every rule can be tested as
// plain arithmetic. Amounts are minor units, quantities milli-units.
import { lineTotal } from "./money.js";

/** A basket that tells `onChange` after each change. `saved` is what `save()` gave earlier. */
export class Basket {
  constructor(onChange, saved = []) {
    this.lines = saved;
    this.onChange = onChange;
  }

  /** Add a product; a second scan of it raises its line instead of making another. */
  add(product, quantityMilli = 1000) {
    const line = this.lines.find((each) => each.sku === product.sku);
    if (line) line.quantityMilli += quantityMilli;
    else this.lines.push({ sku: product.sku, name: product.name, unit: product.unit, priceMinor: product.unit_price_minor, quantityMilli });
    this.onChange(product.sku);
  }

  /** Set a line's quantity; nothing or less takes the line out. */
  set(sku, quantityMilli) {
    const line = this.lines.find((each) => each.sku === sku);
    if (!line) return;
    line.quantityMilli = quantityMilli;
    this.lines = this.lines.filter((each) => each.quantityMilli > 0);
    this.onChange(sku);
  }

  clear() {
    this.lines = [];
    this.onChange(null);
  }

  get totalMinor() {
    return this.lines.reduce((sum, line) => sum + lineTotal(line.priceMinor, line.quantityMilli), 0);
  }

  /** Pieces for the heading: whole things count by number, weighed things as one. */
  get pieces() {
    return this.lines.reduce((sum, line) => sum + (line.quantityMilli % 1000 ? 1 : line.quantityMilli / 1000), 0);
  }

  /** The lines as the API takes them. */
  toRequest() {
    return this.lines.map((line) => ({ sku: line.sku, quantity_milli: line.quantityMilli, unit_price_minor: line.priceMinor }));
  }
}

/** How a total is paid. Only cash may exceed what is due; the rest of it is change. */
export class Payment {
  constructor(totalMinor) {
    this.totalMinor = totalMinor;
    this.parts = [];
  }

  get givenMinor() {
    return this.parts.reduce((sum, part) => sum + part.amountMinor, 0);
  }

  get dueMinor() {
    return Math.max(0, this.totalMinor - this.givenMinor);
  }

  get changeMinor() {
    return Math.max(0, this.givenMinor - this.totalMinor);
  }

  /** Add a part, or return the reason why it cannot be: "nothing" or "too_much". */
  add(kind, amountMinor) {
    if (!(amountMinor > 0)) return "nothing";
    if (kind !== "cash" && amountMinor > this.dueMinor) return "too_much";
    this.parts.push({ kind, amountMinor });
    return null;
  }

  /** The parts as the API takes them: what stays in the drawer, not what was handed over. */
  toRequest() {
    let change = this.changeMinor;
    return this.parts
      .map((part) => {
        const back = part.kind === "cash" ? Math.min(change, part.amountMinor) : 0;
        change -= back;
        return { kind: part.kind, amount_minor: part.amountMinor - back };
      })
      .filter((part) => part.amount_minor > 0);
  }
}

/** Amounts a customer is likely to hand over: the next round figures above what is due, in units of the currency. */
export function likelyCash(dueMinor, exponent) {
  const unit = 10 ** exponent;
  const steps = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000].map((step) => step * unit);
  const above = steps.map((step) => Math.ceil(dueMinor / step) * step).filter((amount) => amount > dueMinor);
  const near = [...new Set(above)].filter((amount) => amount < dueMinor * 2.5);
  return near.slice(-3);
}
