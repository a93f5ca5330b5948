// Native dialogs opened by `data-dialog="id"` and closed by `data-close`. The browser keeps the focus inside and gives it
// back to the opener; a click on the veil closes, except where typed work would be lost (`data-keep`).
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    event.preventDefault();
    openDialog(opener.dataset.dialog);
    return;
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
  if (event.target instanceof HTMLDialogElement && !("keep" in event.target.dataset)) event.target.close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

for (const dialog of document.querySelectorAll("dialog[data-open]")) dialog.showModal();

/** Open a dialog by id; one that is open already stays as it is. */
export function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) {
    for (const other of document.querySelectorAll("dialog[open]")) other.close();
    dialog.showModal();
  }
  return dialog;
}
