// The list of devices: rows change in place; a device that is new to the first page makes it
// fetch itself anew.

import "./columns.js";
import "./selection.js";
import { followBulks } from "./bulk_progress.js";
import { mark } from "./element.js";
import { live } from "./live.js";
import { refresh } from "./refresh.js";
import { everySecond, setTime, writeTimes } from "./time.js";
import { showState, state, value } from "./words.js";

const GONE = new Set(["deregistered", "expired"]);
// What the device itself has not sent: it was not heard of.
const SILENT = new Set(["operation", "expired", "profile", "forgotten", "firmware_update", "observation"]);

// What of a row changes by a value.
const SHOWN = new Set(["/3303/0/5700", "/3304/0/5700"]);

const list = document.getElementById("device-list").parentElement;
// Rows that one sees, and what came for the others since they were last seen: writing into a table that nobody looks at
// costs as much as into one that somebody does.
const visible = new Set();
const held = new Map();
const watcher = new IntersectionObserver(look, { rootMargin: "200px" });
let rows = index();

live(["fleet"], take, () => refresh());
list.addEventListener("refreshed", (event) => {
  if (event.target.id !== "device-list") return;
  rows = index();
  apply(event.detail);
});
everySecond(age);

const filter = document.getElementById("filter");
document.getElementById("state").addEventListener("change", () => filter.requestSubmit());

function index() {
  watcher.disconnect();
  visible.clear();
  held.clear();
  const found = new Map();
  for (const row of document.querySelectorAll("#device-list tr[data-endpoint]")) {
    found.set(row.dataset.endpoint, row);
    watcher.observe(row);
  }
  return found;
}

function look(entries) {
  const now = Date.now();
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) {
      visible.delete(target);
      continue;
    }
    visible.add(target);
    const change = held.get(target);
    held.delete(target);
    if (change) write(target, change, now);
    else show(target, now);
    writeTimes(target);
  }
}

// All messages of a frame; each row is written once, whatever came for it.
function take(messages) {
  followBulks(messages);
  const isFirst = document.getElementById("device-list").dataset.first === "true";
  for (const message of messages) {
    const row = rows.get(message.endpoint);
    if (message.kind === "registered" || GONE.has(message.kind)) refresh(["device-count"]);
    // The address and lifetime may be others, or it is a new device.
    if (message.kind === "registered" && (row || isFirst)) refresh(["device-list"]);
    if (message.kind === "forgotten" && row) refresh(["device-count", "device-list"]);
    if (row && message.kind === "profile") refresh(["device-list"]);
  }
  apply(messages);
}

function apply(messages) {
  const changed = new Map();
  for (const message of messages) {
    const row = rows.get(message.endpoint);
    if (!row) continue;
    const change = changed.get(row) || held.get(row) || { values: new Map() };
    if (GONE.has(message.kind) || message.kind === "forgotten") change.registered = "false";
    if (message.kind === "registered") change.registered = "true";
    if (!SILENT.has(message.kind)) change.heardAt = Date.now();
    if (message.kind === "resource" && SHOWN.has(message.path)) change.values.set(message.path, message);
    changed.set(row, change);
  }
  for (const [row, change] of changed) {
    if (visible.has(row)) write(row, change, Date.now(), true);
    else held.set(row, change);
  }
}

function write(row, change, now, isNew = false) {
  if (change.registered) row.dataset.registered = change.registered;
  if (change.heardAt) {
    row.dataset.seen = new Date(change.heardAt).toISOString();
    setTime(row.querySelector("[data-seen] > time"), change.heardAt);
  }
  for (const [path, message] of change.values) {
    const cell = row.querySelector(`[data-path="${CSS.escape(path)}"]`);
    if (cell) cell.textContent = [value(message.type, message.value), cell.dataset.units].filter(Boolean).join(" ");
  }
  show(row, now);
  if (isNew) mark(row);
}

function show(row, now) {
  const { registered, queueMode, seen, awakeS } = row.dataset;
  const word = state(registered === "true", queueMode === "true", Date.parse(seen), Number(awakeS), now);
  showState(row.querySelector("[data-state]"), word);
}

// What grows older by itself, of the rows that one sees.
function age(now) {
  for (const row of visible) {
    writeTimes(row);
    if (row.dataset.queueMode === "true") show(row, now);
  }
}
