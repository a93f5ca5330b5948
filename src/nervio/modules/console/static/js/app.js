// What every page runs. Pages with more to do load their own module beside it.
import "./dialogs.js";
import "./scanner.js";
import "./hotkeys.js";
import "./keypad.js";
import "./prefs.js";
import "./stop.js";
import "./countdown.js";
import "./swap.js";
import "./palette.js";
import * as live from "./live.js";
import * as offline from "./offline.js";
import { t } from "./text.js";
import { toast } from "./toast.js";

live.start();
offline.start();
await offline.startWorker();
// Tests wait for this; a person sees the page long before.
document.documentElement.dataset.ready = "true";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
    toast(t("copied"));
  });
}

document.addEventListener("submit", (event) => {
  const { confirm: question } = event.submitter?.dataset ?? {};
  if (question && !confirm(question)) event.preventDefault();
});
