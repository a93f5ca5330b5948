// Counts down to every [data-until]. When the last second of one is over, the page is asked again what holds now.
const LOOK_MS = 1000;
const LATE_MS = 1500; // the server books it a moment later
let asked = false;

function left(seconds) {
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const pair = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${pair(m)}:${pair(s)}` : `${m}:${pair(s)}`;
}

function look() {
  for (const place of document.querySelectorAll("[data-until]")) {
    place.dataset.at ??= place.textContent;
    const until = new Date(place.dateTime).getTime() - Date.now();
    place.textContent = until > 0 ? `${left(Math.ceil(until / 1000))} (${place.dataset.at})` : place.dataset.at;
    const typing = document.querySelector("dialog[open]") || document.activeElement?.matches("textarea, input, select");
    if (until < -LATE_MS && until > -60_000 && !asked && !typing) {
      asked = true;
      location.reload();
    }
  }
}

if (document.querySelector("[data-until]")) {
  look();
  setInterval(look, LOOK_MS);
}
