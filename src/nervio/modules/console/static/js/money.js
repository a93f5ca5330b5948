// Figures as the shop writes them. Money is integer minor units and quantities are integer milli-units everywhere; they
// become text here and nowhere else.
const shop = document.documentElement.dataset;
const plain = new Intl.NumberFormat(shop.locale, { maximumFractionDigits: 3 });
const decimalMark = plain.formatToParts(1.5).find((part) => part.type === "decimal").value;

/** Digits after the decimal mark of the shop's currency, as the server counts them. */
export const exponent = Number(shop.exponent);
const figure = new Intl.NumberFormat(shop.locale, { minimumFractionDigits: exponent, maximumFractionDigits: exponent });

/** An amount in minor units as text, with the currency's symbol. */
export const money = (minor) =>
  (minor < 0 ? "-" : "") + shop.money.replace("{}", () => figure.format(Math.abs(minor) / 10 ** exponent));

/** A quantity in milli-units as text. */
export const quantity = (milli) => plain.format(milli / 1000);

/** What a line costs in minor units, rounded half up as the server does. */
export const lineTotal = (unitPriceMinor, quantityMilli) =>
  Math.floor((2 * unitPriceMinor * quantityMilli + 1000) / 2000);

/**
 * Read a figure typed by a person into an integer with `digits` decimals, or null when it is none. The last mark is the
 * decimal one when fewer than three digits follow it or it is the shop's own; all others group.
 */
export function readFigure(text, digits) {
  const clean = text.replace(/[^\d.,-]/g, "");
  const at = Math.max(clean.lastIndexOf(","), clean.lastIndexOf("."));
  const after = at < 0 ? "" : clean.slice(at + 1);
  const isDecimal = at >= 0 && (clean[at] === decimalMark || after.length !== 3);
  const whole = (isDecimal ? clean.slice(0, at) : clean).replace(/[.,]/g, "");
  if (!/^-?\d*$/.test(whole) || (whole.replace("-", "") === "" && after === "")) return null;
  const fraction = (isDecimal ? after : "").padEnd(digits, "0").slice(0, digits);
  const value = Number(`${whole.replace("-", "") || "0"}${fraction}`);
  return Number.isSafeInteger(value) ? (whole.startsWith("-") ? -value : value) : null;
}

/** An amount in minor units as it is typed: no symbol, no grouping. */
export const typed = (value, digits) => (value / 10 ** digits).toFixed(digits).replace(".", decimalMark);
