// Keys for those who never touch the mouse. Single letters act only outside fields, only after a pause (a scanner types
// letters too) and only when the person has not switched them off (WCAG 2.1.4).
import { openDialog } from "./dialogs.js";
import { isScanning } from "./scanner.js";

const PAUSE_MS = 140;
const HUMAN_MS = 50;
const SEQUENCE_MS = 1500;
let sequence = "";
let sequenceAt = 0;
let waiting = null;

export const areLettersOn = () => localStorage.getItem("nervio-letters") !== "off";

const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable]");

// A letter waits until it is sure that no scanner is typing: the next key comes late, or does not come.
function settle(at) {
  if (!waiting) return;
  const { key, from, timer } = waiting;
  clearTimeout(timer);
  waiting = null;
  if (at - from >= HUMAN_MS && !isScanning()) act(key);
}

const find = (keys) => document.querySelector(`[data-keys="${CSS.escape(keys)}"]`);
const isBeginning = (keys) => document.querySelector(`[data-keys^="${CSS.escape(`${keys} `)}"]`) !== null;

function act(key) {
  const now = performance.now();
  sequence = sequence && now - sequenceAt < SEQUENCE_MS ? `${sequence} ${key}` : key;
  sequenceAt = now;
  // Letters that lead nowhere together are forgotten, so that they cannot spoil the sequence after them.
  if (!find(sequence) && !isBeginning(sequence)) sequence = key;
  const control = find(sequence);
  if (!control) return;
  sequence = "";
  if (control.matches("input, select, textarea")) control.focus();
  else control.click();
}

document.addEventListener("keydown", (event) => {
  settle(event.timeStamp);
  if (event.repeat || event.isComposing) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openDialog("palette");
  } else if (event.altKey && event.shiftKey && event.code === "KeyP") {
    event.preventDefault();
    openDialog("stop-dialog");
  } else if (/^F([2-9])$/.test(event.key)) {
    const control = document.querySelector(`[data-keys="${event.key}"]`);
    if (!control || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (control.matches("input, select, textarea")) control.focus();
    else control.click();
  } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey && areLettersOn()) {
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const { key } = event;
    if (key === "/") event.preventDefault();
    waiting = { key, from: event.timeStamp, timer: setTimeout(() => settle(Infinity), PAUSE_MS) };
  }
});

const letters = document.querySelector("#letters-on");
if (letters) {
  letters.checked = areLettersOn();
  letters.addEventListener("change", () => localStorage.setItem("nervio-letters", letters.checked ? "on" : "off"));
}
