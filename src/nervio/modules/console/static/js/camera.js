// The phone's camera as a scanner, with the browser's own BarcodeDetector and nothing from anybody else. Where the browser
// has none, or it reads no barcodes of goods, the button stays hidden. What is read goes the way of every scan.
import { hasCheckDigit } from "./scanner.js";
import { t } from "./text.js";
import { toast } from "./toast.js";

const WANTED = ["ean_13", "ean_8", "upc_a", "upc_e", "itf", "code_128", "code_39"];
const LOOK_MS = 120;
// A code counts again once it has been out of sight for so long: holding a can still must not sell it twice.
const GONE_MS = 1200;
const WORDS = { NotAllowedError: "camera_denied", NotFoundError: "camera_none" };

const button = document.querySelector("#camera-toggle");
const box = document.querySelector("#camera");
const video = document.querySelector("#camera-view");
const goneSince = new Map();
let detector = null;
let stream = null;
let read = "";

async function formats() {
  if (!("BarcodeDetector" in window) || !navigator.mediaDevices?.getUserMedia) return [];
  const known = await window.BarcodeDetector.getSupportedFormats().catch(() => []);
  return WANTED.filter((format) => known.includes(format));
}

// Of goods only a right check digit is believed; every code must be read twice in a row, since a blurred one reads as another.
function isSure({ format, rawValue }) {
  const again = rawValue === read;
  read = rawValue;
  return again && (!/^(ean|upc_a)/.test(format) || hasCheckDigit(rawValue));
}

// Told by looks in which it was missing and not by the clock alone: a slow phone may look once in two seconds.
function notice(seen) {
  const now = performance.now();
  for (const [code, since] of goneSince) if (code !== seen && since === null) goneSince.set(code, now);
  if (!seen) return;
  const since = goneSince.get(seen);
  goneSince.set(seen, null);
  if (since === undefined || (since !== null && now - since >= GONE_MS)) tell(seen);
}

function tell(code) {
  navigator.vibrate?.(40);
  document.dispatchEvent(new CustomEvent("scan", { detail: { code, valid: hasCheckDigit(code), repeated: false } }));
}

async function look(mine) {
  while (stream === mine) {
    // Behind an open dialog nothing is sold, so nothing is read either; only what is left of the last sale gives way.
    if (video.readyState >= 2 && !document.querySelector("dialog[open]:not(#done-dialog)")) {
      const found = await detector.detect(video).catch(() => []);
      if (stream !== mine) return;
      if (found.length === 0) read = "";
      notice(found.length && isSure(found[0]) ? found[0].rawValue : "");
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function show(isOn) {
  box.hidden = !isOn;
  button.setAttribute("aria-pressed", String(isOn));
}

function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  read = "";
  goneSince.clear();
  video.srcObject = null;
  show(false);
}

async function start() {
  button.disabled = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    video.srcObject = stream;
    show(true);
    await video.play();
    look(stream);
  } catch (error) {
    stop();
    toast(t(WORDS[error.name] ?? "camera_failed"), "error");
  } finally {
    button.disabled = false;
  }
}

const known = button ? await formats() : [];
if (known.length) {
  detector = new window.BarcodeDetector({ formats: known });
  button.hidden = false;
  button.addEventListener("click", () => (stream ? stop() : start()));
  // A camera that nobody looks through is given back: its light must not stay on in a pocket.
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  addEventListener("pagehide", stop);
}
