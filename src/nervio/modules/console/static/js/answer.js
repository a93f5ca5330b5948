// The answer to a task while it is made, over a live line (WebSocket, proto/live.asyncapi.yaml). Where a line was cut the next
// one goes on behind what is shown; after a reload it comes again from the beginning. Nobody has it read out piece by piece:
// it stands outside the live region, which says the whole when it is there. Without this script, or without a line, the page
// shows how the task stands every two seconds, and the answer when it is whole.
import { wordsOf } from "./api.js";
import { swap } from "./swap.js";
import { t } from "./text.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const GONE = [4401, 4403]; // the session or the right is over
const card = document.querySelector("#task-live");
const stop = card.querySelector("#task-stop");
const text = card.querySelector("[data-text]");
const note = card.querySelector("[data-note]");
const written = text.appendChild(document.createTextNode(""));
let token = 0;
let characters = 0; // of Unicode, as the server counts them
let pause = FIRST_PAUSE_MS;
let socket = null;
let waiting = 0;
let isOver = false;

function show(words) {
  note.textContent = words;
  note.hidden = !words;
}

function add(part) {
  if (part.token !== token) {
    // The attempt before came to nothing; this one begins anew.
    written.data = "";
    token = part.token;
  }
  written.appendData(part.text);
  characters = part.start + [...part.text].length;
  card.hidden = false;
  card.dataset.coming = "";
}

async function end(state) {
  isOver = true;
  socket?.close();
  delete card.dataset.coming;
  const hadFocus = card.contains(document.activeElement);
  await Promise.all(["task-status", "task-details"].map((id) => swap(location.href, id, { push: false })));
  if (state === "done" || !written.data) card.remove();
  else {
    stop?.remove();
    card.querySelector("h2").textContent = t("answer_partial");
    show("");
  }
  if (hadFocus) (document.querySelector("#task-retry") ?? document.querySelector("#main")).focus();
}

async function explain({ code, detail }) {
  show((await wordsOf(code)) ?? detail);
  stop?.removeAttribute("aria-disabled");
}

function hear(message) {
  if (message.type === "part") {
    show("");
    add(message);
  } else if (message.type === "following") {
    pause = FIRST_PAUSE_MS;
    show("");
  } else if (message.type === "ended") end(message.task.state);
  else if (message.type === "problem") {
    explain(message.problem);
    // What is followed ended early, such as by a stop: it is asked for again, slowly.
    if (message.id !== "stop") socket.close();
  }
}

function open() {
  clearTimeout(waiting);
  if (isOver || (socket && socket.readyState < WebSocket.CLOSING)) return;
  // The page saw the end by itself while there was no line.
  if (!document.querySelector("#task-status[data-again]")) {
    card.remove();
    return;
  }
  const mine = new WebSocket(new URL("/api/tasks/live", location.href.replace(/^http/, "ws")));
  socket = mine;
  mine.addEventListener("open", () => {
    mine.send(JSON.stringify({ type: "follow", task_id: card.dataset.task, token, characters }));
  });
  mine.addEventListener("message", ({ data }) => hear(JSON.parse(data)));
  mine.addEventListener("close", ({ code }) => {
    if (isOver) return;
    if (GONE.includes(code)) {
      location.reload();
      return;
    }
    if (!note.textContent) show(t("answer_again"));
    waiting = setTimeout(open, pause * (0.5 + Math.random()));
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  });
}

stop?.addEventListener("click", () => {
  if (stop.ariaDisabled) return;
  if (socket?.readyState !== WebSocket.OPEN) {
    show(t("answer_again"));
    return;
  }
  // Not `disabled`, which would take the focus away from it.
  stop.ariaDisabled = "true";
  show(t("answer_stopping"));
  socket.send(JSON.stringify({ type: "cancel", id: "stop", task_id: card.dataset.task }));
});

// A phone that slept, or a line that is back, need not wait for the next try.
addEventListener("online", open);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) open();
});
open();
