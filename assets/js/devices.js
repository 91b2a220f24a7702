// The list of devices: rows change in place; a device that is new to the first page makes it
// fetch itself anew.

import { live } from "./live.js";
import { refresh } from "./refresh.js";
import { setTime } from "./time.js";
import { showState, state, value } from "./words.js";

const GONE = new Set(["deregistered", "expired"]);

live(["fleet"], take, () => refresh());
setInterval(sleep, 1000);

const filter = document.getElementById("filter");
document.getElementById("registered").addEventListener("change", () => filter.requestSubmit());

function take(messages) {
  const rows = new Map();
  for (const row of document.querySelectorAll("tr[data-endpoint]")) {
    rows.set(row.dataset.endpoint, row);
  }
  const list = document.getElementById("device-list");
  for (const message of messages) {
    const row = rows.get(message.endpoint);
    const changesSet = message.kind === "registered" || GONE.has(message.kind);
    if (changesSet) refresh(["device-count"]);
    // The address and lifetime may be others, or it is a new device.
    if (message.kind === "registered" && (row || list.dataset.first === "true")) {
      refresh(["device-list"]);
    }
    if (message.kind === "profile" && row) refresh(["device-list"]);
    else if (row) change(row, message);
  }
}

function change(row, message) {
  const now = Date.now();
  if (GONE.has(message.kind)) row.dataset.registered = "false";
  if (message.kind === "registered") row.dataset.registered = "true";
  // Operations are also changed by us; values, registrations and updates come from the device.
  if (message.kind !== "operation" && message.kind !== "expired") {
    row.dataset.seen = new Date(now).toISOString();
    setTime(row.querySelector("time"), now);
  }
  if (message.kind === "resource") {
    const cell = row.querySelector(`[data-path="${CSS.escape(message.path)}"]`);
    if (cell) cell.textContent = value(message.type, message.value);
  }
  show(row, now);
  row.classList.remove("changed");
  void row.offsetWidth;
  row.classList.add("changed");
}

function show(row, now) {
  const { registered, queueMode, seen, awakeS } = row.dataset;
  const word = state(registered === "true", queueMode === "true", Date.parse(seen), Number(awakeS), now);
  showState(row.querySelector("[data-state]"), word);
}

function sleep() {
  const now = Date.now();
  for (const row of document.querySelectorAll('tr[data-queue-mode="true"]')) show(row, now);
}
