// Language, theme and the place one works at live in cookies, so that the server draws the first byte right. A change of theme needs no reload.
const YEAR = 31_536_000;
const MEDIA = { auto: "(prefers-color-scheme: dark)", dark: "all", light: "not all" };

function keep(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${value}; Path=/; Max-Age=${YEAR}; SameSite=Lax${secure}`;
}

document.addEventListener("change", (event) => {
  const { name, value } = event.target;
  if (name === "theme") {
    keep("nervio_theme", value);
    document.querySelector("#dark-sheet").media = MEDIA[value];
    for (const other of document.querySelectorAll(`input[name=theme][value=${value}]`)) other.checked = true;
  } else if (name === "language" || (name === "location" && event.target.closest(".menu, #more-dialog"))) {
    keep(`nervio_${name}`, value);
    location.reload();
  }
});
