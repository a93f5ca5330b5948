// <n-keypad for="input-id" decimals="2">: a number pad for fingers. It types into its input, which stays an ordinary field
// for those with a keyboard. inputmode=none on that field keeps the phone's own keyboard away.
import { icon, make } from "./dom.js";
import { t } from "./text.js";

class Keypad extends HTMLElement {
  connectedCallback() {
    if (this.childElementCount) return;
    const mark = (1.5).toLocaleString(document.documentElement.dataset.locale)[1];
    const keys = ["1", "2", "3", "4", "5", "6", "7", "8", "9", mark, "0", "back"];
    this.classList.add("keypad");
    this.append(...keys.map((key) => {
      const face = key === "back" ? icon("left") : key;
      const label = key === "back" ? t("keypad_back") : null;
      return make("button", { class: "button", type: "button", "data-key": key, "aria-label": label }, face);
    }));
    this.addEventListener("click", (event) => {
      const key = event.target.closest("button")?.dataset.key;
      if (key) this.press(key);
    });
  }

  press(key) {
    const input = document.getElementById(this.getAttribute("for"));
    // A figure that was only proposed is replaced by the first key.
    const before = "proposed" in input.dataset ? "" : input.value;
    delete input.dataset.proposed;
    input.value = key === "back" ? before.slice(0, -1) : before + key;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

customElements.define("n-keypad", Keypad);
