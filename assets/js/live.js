// The live socket: one connection for the page, opened again with growing pauses, which asks for
// what came after the last message. Messages are handed over once per frame.

import { loginEnded } from "./login_ended.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 20000;
const MAX_WAITING = 5000;
// What a page that nobody looks at keeps: more is read anew when it is looked at.
const MAX_HIDDEN = 200;

// `onMessages` gets an array of messages, `onResync` is called when some were lost. Other parts of the page hear them as
// `live` events of the document. `again` of what is returned connects anew, for topics that have changed.
export function live(topics, onMessages, onResync) {
  let seq = Number(document.body.dataset.seq || 0);
  let pause = FIRST_PAUSE;
  let waiting = [];
  let lost = false;
  let scheduled = false;
  let socket = null;

  function deliver() {
    scheduled = false;
    const messages = waiting;
    waiting = [];
    if (lost) {
      lost = false;
      onResync();
    }
    if (messages.length === 0) return;
    onMessages(messages);
    document.dispatchEvent(new CustomEvent("live", { detail: messages }));
  }

  function schedule() {
    // A hidden page has no frames; it catches up when it is looked at.
    if (scheduled || document.hidden) return;
    scheduled = true;
    requestAnimationFrame(deliver);
  }

  function takeAll(text) {
    // What was lost is read anew: there is nothing to be kept until then.
    if (lost && document.hidden) {
      seq = lastSeq(text) || seq;
      return;
    }
    let messages;
    try {
      messages = JSON.parse(text);
    } catch {
      return;
    }
    for (const message of [messages].flat()) take(message);
    schedule();
  }

  function take(message) {
    if (typeof message.seq === "number") seq = message.seq;
    if (message.kind === "resync") {
      lost = true;
      waiting = [];
    } else {
      message.endpoint ??= message.topic?.startsWith("endpoint:") ? message.topic.slice(9) : "";
      waiting.push(message);
      if (waiting.length > (document.hidden ? MAX_HIDDEN : MAX_WAITING)) {
        lost = true;
        waiting = [];
      }
    }
  }

  function connect() {
    const url = liveUrl(topics);
    // Many devices may speak at once.
    if (topics.join() === "fleet") url.searchParams.set("gathered", "true");
    if (seq > 0) url.searchParams.set("after", String(seq));
    socket = new WebSocket(url);
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
      pause = FIRST_PAUSE;
      show("live");
    });
    socket.addEventListener("message", (event) => takeAll(event.data));
    const gone = () => socket.close();
    // The system knows sooner than the socket.
    window.addEventListener("offline", gone);
    socket.addEventListener("close", () => {
      window.removeEventListener("offline", gone);
      show("offline");
      if (!opened) checkLogin();
      // Not all at the same moment after the server was away.
      setTimeout(connect, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    });
  }

  document.addEventListener("visibilitychange", schedule);
  show("connecting");
  connect();
  return { again: () => socket.close() };
}

// Where the server tells of these topics.
export function liveUrl(topics) {
  const url = new URL("/api/v1/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("topics", topics.join(","));
  return url;
}

// The number of the last message in a text, without reading all of it.
function lastSeq(text) {
  const at = text.lastIndexOf('{"seq":');
  return at < 0 ? 0 : Number.parseInt(text.slice(at + 7), 10) || 0;
}

// A socket does not say why it was refused: when the login has ended, the page says so.
async function checkLogin() {
  try {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (answer.type === "opaqueredirect") loginEnded();
  } catch {
    // The server is away.
  }
}

const LOOKS = {
  connecting: ["status-secondary", "connecting", "Connecting to the server"],
  live: ["status-green", "live", "What you see changes by itself"],
  offline: ["status-red", "no connection", "The server cannot be reached; trying again"],
};

function show(state) {
  const badge = document.getElementById("connection");
  if (!badge || badge.dataset.connection === state) return;
  const [colour, text, title] = LOOKS[state];
  badge.dataset.connection = state;
  badge.hidden = false;
  badge.className = `status ${colour} me-2`;
  badge.lastElementChild.textContent = text;
  badge.title = title;
  badge.firstElementChild.classList.toggle("status-dot-animated", state === "live");
}
