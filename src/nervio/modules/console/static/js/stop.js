// The stop. It asks for a reason and nothing else, says at once whether it holds, and never claims more than the server did.
import { Refused, call } from "./api.js";
import { t } from "./text.js";

const form = document.querySelector("#stop-form");

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("[type=submit]");
  const status = form.querySelector("[data-status]");
  button.disabled = true;
  status.hidden = false;
  status.textContent = t("stopping");
  try {
    const answer = await call("POST", "/api/admin/emergency/freeze", { reason: form.elements.reason.value }, {}, 30_000);
    if (answer.pending) status.textContent = t("stop_pending");
    else location.assign("/console/stopped");
  } catch (error) {
    status.textContent = error instanceof Refused ? error.message : t("stop_unreachable");
  } finally {
    button.disabled = false;
  }
});
