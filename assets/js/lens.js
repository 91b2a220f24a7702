// What a device and the server say to each other, in words. Nothing is asked for before the card is opened; while it
// is open, a socket of its own tells when there is more.

import { api } from "./api.js";
import { element } from "./element.js";
import { liveUrl } from "./live.js";
import { makeTime } from "./time.js";

const SHOWN = 300;
const WAIT_MS = 300;
const AGAIN_MS = 3000;
const COLOURS = { registration: "bg-green-lt", data: "bg-azure-lt", operation: "bg-blue-lt", firmware: "bg-purple-lt", ack: "bg-secondary-lt", other: "bg-yellow-lt" };

const endpoint = document.getElementById("device").dataset.endpoint;
const base = `/endpoints/${encodeURIComponent(endpoint)}/messages`;
const card = document.getElementById("lens");
const list = document.getElementById("lens-lines");
const kind = document.getElementById("lens-kind");
const search = document.getElementById("lens-search");
const pause = document.getElementById("lens-pause");
const state = document.getElementById("lens-state");

let newest = 0;
let asked = 0;
let loading = false;
let more = false;
let missed = false;
let socket = null;
let timer = null;

card.addEventListener("toggle", () => {
  if (card.open) {
    loadAll();
    listen();
  } else {
    socket?.close();
    socket = null;
  }
});
kind.addEventListener("change", loadAll);
search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(loadAll, WAIT_MS);
});
pause.addEventListener("click", () => {
  const on = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(on));
  showPause();
  if (!on && missed) loadMore();
});

// ---- what is there ----

function parameters() {
  const chosen = new URLSearchParams({ limit: "100" });
  if (kind.value) chosen.set("kind", kind.value);
  if (search.value) chosen.set("search", search.value);
  return chosen;
}

async function loadAll() {
  const question = ++asked;
  const page = await ask(parameters());
  if (!page || question !== asked) return;
  newest = page.items[0]?.id ?? 0;
  missed = false;
  showPause();
  list.replaceChildren(...page.items.map(makeLine));
  if (page.items.length === 0) list.append(nothing());
}

// What came since: one question at a time.
async function loadMore() {
  if (loading) {
    more = true;
    return;
  }
  loading = true;
  missed = false;
  showPause();
  const question = asked;
  const chosen = parameters();
  chosen.set("after", String(newest));
  const page = await ask(chosen);
  if (page && question === asked && page.items.length > 0) {
    newest = page.items[0].id;
    list.querySelector("[data-empty]")?.remove();
    // More came than a page has: with a hole the list would tell another story.
    if (page.next) list.replaceChildren();
    list.prepend(...page.items.map(makeLine));
    while (list.childElementCount > SHOWN) list.lastElementChild.remove();
  }
  loading = false;
  if (more) {
    more = false;
    loadMore();
  }
}

async function ask(chosen) {
  try {
    const page = await api("GET", `${base}?${chosen}`);
    state.textContent = "";
    return page;
  } catch (error) {
    state.textContent = error.message;
    return null;
  }
}

// ---- what comes ----

function listen() {
  const own = new WebSocket(liveUrl([`messages:${endpoint}`]));
  socket = own;
  own.addEventListener("message", () => {
    if (held()) {
      missed = true;
      showPause();
    } else {
      loadMore();
    }
  });
  own.addEventListener("close", () => {
    if (socket !== own) return;
    setTimeout(() => {
      if (socket === own && card.open) listen();
    }, AGAIN_MS * (0.5 + Math.random()));
  });
}

function held() {
  return pause.getAttribute("aria-pressed") === "true";
}

function showPause() {
  pause.textContent = held() ? `Go on${missed ? " (more came)" : ""}` : "Pause";
}

// ---- how it looks: only ever as text, what devices say is no markup ----

function makeLine(message) {
  const line = document.createElement("li");
  const row = document.createElement("details");
  row.className = "lens-row";
  row.dataset.message = message.id;
  const head = document.createElement("summary");
  const when = makeTime(message.time);
  when.className = "text-secondary lens-time";
  const arrow = element("span", message.direction === "up" ? "text-azure" : "text-green", message.direction === "up" ? "↑" : "↓");
  arrow.title = message.direction === "up" ? "from the device" : "to the device";
  arrow.setAttribute("aria-label", arrow.title);
  arrow.setAttribute("role", "img");
  const badge = element("span", `badge ${COLOURS[message.kind]}`, message.type ? `${message.type} ${message.code}` : "?");
  const words = element("span", message.copy ? "text-secondary lens-words" : "lens-words", message.words);
  head.append(when, " ", arrow, " ", badge, " ", words);
  row.append(head);
  row.addEventListener("toggle", () => open(row, message), { once: true });
  line.append(row);
  return line;
}

async function open(row, message) {
  const body = element("div", "lens-body");
  row.append(body);
  let whole = message;
  try {
    whole = await api("GET", `${base}/${message.id}`);
  } catch (error) {
    body.append(element("div", "text-secondary", error.message));
  }
  const facts = element("dl", "row mb-1 facts");
  const fact = (name, value) => facts.append(element("dt", "col-4 col-sm-3", name), element("dd", "col-8 col-sm-9 text-break", value));
  if (whole.type) fact("Message", `${whole.type} ${whole.code} ${whole.code_name}, id ${whole.message_id}${whole.token ? `, token ${whole.token}` : ""}`);
  const bytes = `${whole.message_bytes} bytes${whole.wire_bytes ? `, ${whole.wire_bytes} on the wire${whole.secure ? " with DTLS" : ""}` : ", in the datagram of the one before"}`;
  fact("Size", bytes);
  fact("Address", whole.address);
  for (const [name, id] of [["Answers", whole.answers], ["Answered by", whole.answered_by], ["Copy of", whole.copy_of]]) {
    if (id) facts.append(element("dt", "col-4 col-sm-3", name), linkTo(id));
  }
  for (const option of whole.options) fact(option.name, option.value || "(empty)");
  if (whole.payload_bytes > 0) fact("Payload", `${whole.payload_bytes} bytes${whole.format ? ` of ${whole.format}` : ""}`);
  if (whole.text) fact("Text", whole.text);
  if (whole.note) fact("Note", whole.note);
  body.append(facts);
  if (whole.values.length > 0) body.append(valueTable(whole.values));
  if (whole.bytes) body.append(element("pre", "lens-bytes", digits(whole.bytes)));
}

function linkTo(id) {
  const place = element("dd", "col-8 col-sm-9");
  const button = element("button", "btn btn-link btn-sm p-0", "show");
  button.type = "button";
  button.addEventListener("click", () => {
    const row = list.querySelector(`[data-message="${CSS.escape(String(id))}"]`);
    if (!row) {
      button.replaceWith(element("span", "text-secondary", "not in this list"));
      return;
    }
    row.open = true;
    row.querySelector("summary").focus();
    row.scrollIntoView({ block: "nearest" });
  });
  place.append(button);
  return place;
}

function valueTable(values) {
  const table = element("table", "table table-sm mb-1");
  const body = document.createElement("tbody");
  for (const value of values) {
    const row = document.createElement("tr");
    const path = document.createElement("td");
    path.append(element("code", "", value.path));
    const shown = value.secret ? "••• (secret)" : `${value.value}${value.unit ? ` ${value.unit}` : ""}`;
    row.append(path, element("td", "", value.name ?? ""), element("td", "text-break", shown));
    body.append(row);
  }
  table.append(body);
  return table;
}

// 16 bytes a line, with where they are.
function digits(hex) {
  const lines = [];
  for (let at = 0; at < hex.length; at += 32) {
    const bytes = hex.slice(at, at + 32).match(/../g) ?? [];
    lines.push(`${(at / 2).toString(16).padStart(4, "0")}  ${bytes.join(" ")}`);
  }
  return lines.join("\n");
}

function nothing() {
  const line = element("li", "text-secondary", "No such messages since the start of the server.");
  line.dataset.empty = "";
  return line;
}
