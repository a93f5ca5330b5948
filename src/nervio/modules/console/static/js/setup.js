// First start: load the demo shop and show how far it is. The server does the work; a reload finds it where it stands.
import { Refused, call } from "./api.js";
import { t } from "./text.js";

const PAUSE_MS = 400;
const MOST_SILENT = 50;
const box = document.querySelector("#demo-progress");
const bar = box.querySelector("progress");
const words = box.querySelector("[data-words]");
const button = document.querySelector("#demo-start");
const count = new Intl.NumberFormat(document.documentElement.dataset.locale);

function show({ state, done, total }) {
  box.hidden = false;
  button.hidden = true;
  if (total) bar.max = total;
  bar.value = done;
  words.textContent = t(`demo_${state}`, { done: count.format(done), total: count.format(total) });
}

async function follow() {
  let silent = 0;
  for (;;) {
    const now = await call("GET", "/console/setup/demo").catch(() => null);
    if (now?.state) show(now);
    else if (++silent > MOST_SILENT) {
      words.textContent = t("demo_stalled");
      return;
    }
    if (now?.state === "ready") return location.reload();
    if (now?.state === "failed") {
      button.hidden = false;
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

button.addEventListener("click", async () => {
  button.disabled = true;
  try {
    show({ state: "running", done: 0, total: 0, ...(await call("POST", "/console/setup/demo", {})) });
    await follow();
  } catch (error) {
    words.textContent = error instanceof Refused ? error.message : t("unreachable");
  } finally {
    button.disabled = false;
  }
});

if (box.dataset.running === "true") follow();
