// Filter, sort and page a list without a full load. A link or a GET form marked data-swap="id" fetches its own address and
// replaces only the element of that id; the address bar follows, so that back, reload and share keep working. Without
// scripts the same links and forms load the page.
import { isScanning } from "./scanner.js";
import { toast } from "./toast.js";
import { t } from "./text.js";

const TYPING_MS = 220;
const current = new Map();
let typing = 0;

/** Load `url` and put its element `id` in the place of ours. Of several calls for one element only the last counts. A
 * `quiet` one shows neither that it is under way nor that it failed: it comes again by itself. */
export async function swap(url, id, { push = true, quiet = false } = {}) {
  current.get(id)?.abort();
  const mine = new AbortController();
  current.set(id, mine);
  const old = document.getElementById(id);
  if (!quiet) old?.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(url, { signal: mine.signal, headers: { "X-Nervio-Swap": id }, credentials: "same-origin" });
    if (reply.redirected && new URL(reply.url).pathname !== new URL(url, location).pathname) {
      location.assign(reply.url);
      return;
    }
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.getElementById(id);
    if (!reply.ok || !fresh) throw new Error(`no ${id} in ${url}`);
    // A code that is running into a field of this list must find the same field at its end.
    while (isScanning()) await new Promise((resolve) => setTimeout(resolve, 40));
    // What comes again by itself and says nothing new is left as it is: somebody may have marked a part of it to copy.
    if (quiet && document.getElementById(id).isEqualNode(fresh)) return;
    replace(document.getElementById(id), document.adoptNode(fresh));
    if (push) history.pushState({ swap: id }, "", url);
  } catch (error) {
    if (error.name === "AbortError" || quiet) return;
    old?.removeAttribute("aria-busy");
    toast(t("swap_failed"), "error");
  }
}

// The focus stays where it was: on the control with the same id, or the same address and text. A menu that is open stays so.
function replace(old, fresh) {
  for (const menu of old.querySelectorAll("details[id][open]")) {
    const same = fresh.querySelector(`#${CSS.escape(menu.id)}`);
    if (same && menu.contains(document.activeElement)) same.open = true;
  }
  const held = old.contains(document.activeElement) ? document.activeElement : null;
  const same = held && (held.id ? `#${CSS.escape(held.id)}` : held.dataset.focus && `[data-focus="${CSS.escape(held.dataset.focus)}"]`);
  const [start, stop] = [held?.selectionStart, held?.selectionEnd];
  const typedText = held?.matches("input") ? held.value : null;
  old.replaceWith(fresh);
  const next = same ? fresh.querySelector(same) : null;
  if (!next) return;
  if (typedText !== null) next.value = typedText;
  next.focus({ preventScroll: true });
  if (start != null && next.setSelectionRange) next.setSelectionRange(start, stop);
}

function formUrl(form) {
  const entries = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(entries).toString();
  return form.getAttribute("action") + (query ? `?${query}` : "");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  swap(link.href, link.dataset.swap);
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-swap]");
  if (!form) return;
  event.preventDefault();
  swap(formUrl(form), form.dataset.swap);
});

document.addEventListener("input", (event) => {
  // A control may stand outside the form it belongs to.
  const form = event.target.form;
  if (!form?.matches("form[data-swap]")) return;
  clearTimeout(typing);
  const wait = event.target.matches("input[type=search]") ? TYPING_MS : 0;
  typing = setTimeout(() => swap(formUrl(form), form.dataset.swap), wait);
});

addEventListener("popstate", (event) => {
  const id = event.state?.swap ?? document.querySelector("[data-swap]")?.dataset.swap;
  if (id) swap(location.href, id, { push: false });
});
