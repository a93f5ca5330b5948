// The products of this shop, kept in the browser: a scan finds its line without asking anyone, and the till works when the
// line is down. Refreshed in the background; prices that the server knows better are decided by the server.
import { call } from "./api.js";
import { withStore } from "./storage.js";

const FRESH_MS = 10 * 60_000;
const PAGE = 500;
const MOST_PAGES = 400;
const tenant = document.documentElement.dataset.tenant;
const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
const bySku = new Map();
const byCode = new Map();

function learn(product) {
  product.words = plain(`${product.name} ${product.sku}`);
  bySku.set(product.sku, product);
  byCode.set(product.sku, product);
  for (const code of product.barcodes ?? []) byCode.set(code, product);
}

/** Read the kept products; returns how many there are. */
export async function load() {
  const kept = await withStore("products", "readonly", (store) => store.index("tenant").getAll(tenant));
  kept.forEach(learn);
  return kept.length;
}

/** Fetch all products again unless that was done in the last ten minutes. Quiet when the line is down. */
export async function refresh() {
  const stamp = `nervio-products-${tenant}`;
  if (Date.now() - Number(localStorage.getItem(stamp)) < FRESH_MS && bySku.size) return;
  let cursor = "";
  for (let page = 0; page < MOST_PAGES && cursor !== null; page += 1) {
    const query = new URLSearchParams({ active: true, limit: PAGE, ...(cursor && { cursor }) });
    const answer = await call("GET", `/api/products?${query}`).catch(() => null);
    if (!answer) return;
    answer.items.forEach(learn);
    await withStore("products", "readwrite", (store) => {
      for (const product of answer.items) store.put({ ...product, tenant });
    });
    cursor = answer.next_cursor ?? null;
  }
  localStorage.setItem(stamp, Date.now());
}

/** The product of a code, or null. Asks the server only for a code this browser has not seen. */
export async function byBarcode(code) {
  // A scanner may read UPC-A as EAN-13 with a zero in front, or the other way round.
  const known = byCode.get(code) ?? byCode.get(code.replace(/^0/, "")) ?? byCode.get(`0${code}`);
  if (known) return known;
  const answer = await call("GET", `/api/products?active=true&search=${encodeURIComponent(code)}&limit=2`).catch(() => null);
  answer?.items.forEach(learn);
  return byCode.get(code) ?? null;
}

/** The product of a SKU, or undefined. */
export const product = (sku) => bySku.get(sku);

/** Products whose name or SKU holds every word, names that begin with the first word before others. */
export async function search(text, limit = 24) {
  const words = plain(text.trim()).split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const found = [];
  for (const each of bySku.values()) {
    if (words.every((word) => each.words.includes(word))) found.push(each);
    if (found.length > 400) break;
  }
  if (!found.length) {
    const answer = await call("GET", `/api/products?active=true&search=${encodeURIComponent(text)}&limit=${limit}`).catch(() => null);
    answer?.items.forEach(learn);
    return answer?.items ?? [];
  }
  return found.sort((a, b) => b.words.startsWith(words[0]) - a.words.startsWith(words[0])).slice(0, limit);
}
