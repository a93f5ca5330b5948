// A barcode scanner is a keyboard that types fast and ends with Enter. This listens on the whole page, tells a scanner from
// a person by the time between keys, and never moves the focus: a focus moved in the middle of a code loses its rest.
//
// Dispatches `scan` on document with { code, valid, repeated }. When the focus was in a field, the field gets back what it
// held before the code ran into it, unless it carries data-scan="take".
// Scanners send a key every 1 to 30 ms; the fastest typists one every 60. A busy machine may delay a single key, so the
// mean decides and one gap may be longer.
const MEAN_MS = 45;
const GAP_MS = 120;
const END_MS = 130;
const SHORTEST = 4;
const REPEAT_MS = 250;

let burst = null;
let last = { code: "", at: 0 };
let timer = 0;

/** Whether keys are arriving at a scanner's pace right now; hotkeys ask this before they act. */
export const isScanning = () => burst !== null && burst.keys.length > 1 && isFast() && performance.now() - burst.at < END_MS;

const isFast = () => burst.at - burst.from <= MEAN_MS * (burst.keys.length - 1);

/** Whether a code is an EAN-8, UPC-A, EAN-13 or GTIN-14 with a right check digit. */
export function hasCheckDigit(code) {
  if (!/^(\d{8}|\d{12,14})$/.test(code)) return false;
  const sum = [...code].reverse().reduce((total, digit, index) => total + digit * (index % 2 ? 3 : 1), 0);
  return sum % 10 === 0;
}

function begin(event) {
  const field = event.target.closest?.("input, textarea");
  const takes = !field || field.type === "password" || field.dataset.scan === "take";
  burst = { keys: [], from: event.timeStamp, at: event.timeStamp, field: takes ? null : field, value: field?.value, refused: field?.type === "password" };
}

function end(event) {
  const { keys, field, value, refused } = burst;
  const fast = isFast();
  burst = null;
  clearTimeout(timer);
  if (keys.length < SHORTEST || refused || !fast) return;
  event?.preventDefault();
  event?.stopImmediatePropagation();
  if (field && field.value !== value) {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  // Scanners may put the AIM identifier of the symbology in front: "]E0" for EAN-13.
  const code = keys.join("").replace(/^\][A-Za-z]\d/, "").trim();
  const now = performance.now();
  const repeated = code === last.code && now - last.at < REPEAT_MS;
  last = { code, at: now };
  document.dispatchEvent(new CustomEvent("scan", { detail: { code, valid: hasCheckDigit(code), repeated } }));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  const inPace = burst !== null && event.timeStamp - burst.at <= GAP_MS;
  if (event.key === "Enter" || event.key === "Tab") {
    if (inPace) end(event);
    burst = null;
    return;
  }
  if (event.key.length !== 1) return;
  if (!inPace) begin(event);
  burst.keys.push(event.key);
  burst.at = event.timeStamp;
  clearTimeout(timer);
  // Some scanners send no Enter. Only a code with a right check digit ends by silence: a person types fast too.
  timer = setTimeout(() => {
    if (burst && hasCheckDigit(burst.keys.join(""))) end();
  }, END_MS);
}

document.addEventListener("keydown", onKey, { capture: true });
