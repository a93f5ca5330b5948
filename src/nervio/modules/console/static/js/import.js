// A file that is too large is told so before it is sent.
import { t } from "./text.js";

const field = document.querySelector("#import-file");

field.addEventListener("change", () => {
  const most = Number(field.dataset.mostBytes);
  const tooLarge = [...field.files].some((file) => file.size > most);
  field.setCustomValidity(tooLarge ? t("file_too_large", { most: Math.floor(most / 1048576) }) : "");
  field.reportValidity();
});
