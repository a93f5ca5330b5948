// Short messages. The region exists in the page from the start (aria-live), or a screen reader would miss the first one.
import { icon, make } from "./dom.js";
import { t } from "./text.js";

/** Show a message. An error stays until it is closed; anything else leaves after six seconds. */
export function toast(message, kind = "info") {
  const region = document.querySelector(kind === "error" ? "#toasts-urgent" : "#toasts");
  const close = make("button", { class: "toast-close", type: "button", "aria-label": t("close") }, icon("close"));
  const box = make("div", { class: "toast", "data-kind": kind }, make("span", {}, message), close);
  close.addEventListener("click", () => box.remove());
  region.append(box);
  while (region.children.length > 3) region.firstElementChild.remove();
  if (kind !== "error") setTimeout(() => box.remove(), 6000);
}
