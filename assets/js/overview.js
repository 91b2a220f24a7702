// The overview: counts, a chart of live messages, and what happens as it happens.

import "./bulk_progress.js";
import { live } from "./live.js";
import "./load.js";
import { refresh } from "./refresh.js";
import { makeTime } from "./time.js";
import { value } from "./words.js";
import { drawRate } from "./chart.js";

const SECONDS = 120;
const WORDS = {
  registered: ["registered", "bg-green-lt"],
  updated: ["updated its registration", "bg-secondary-lt"],
  deregistered: ["deregistered", "bg-yellow-lt"],
  expired: ["expired", "bg-red-lt"],
  forgotten: ["was forgotten", "bg-red-lt"],
  event: ["sent an event", "bg-azure-lt"],
  operation: ["operation", "bg-blue-lt"],
  resource: ["sent", "bg-secondary-lt"],
};

const COMES_AND_GOES = new Set(["registered", "updated", "deregistered", "expired", "forgotten"]);
// Who is late is known without any message.
const LOOK_EVERY = 30000;

const rates = new Array(SECONDS).fill(0);
let count = 0;
const rate = drawRate(document.getElementById("rate-chart"), rates);
const activity = document.getElementById("activity");
const limit = Number(activity.dataset.limit);
const names = JSON.parse(activity.dataset.names);
const showValues = document.getElementById("show-values");

live(["fleet"], take, () => refresh());
setInterval(() => refresh(["counts", "late", "sleep-counts"]), LOOK_EVERY);
setInterval(() => {
  rates.shift();
  rates.push(count);
  document.getElementById("rate").textContent = String(count);
  count = 0;
  if (!document.hidden) rate.redraw();
}, 1000);

function take(messages) {
  count += messages.length;
  for (const { kind } of messages) {
    if (COMES_AND_GOES.has(kind)) refresh(["counts", "late", "sleep-counts"]);
    if (kind === "operation") refresh(["counts", "recent-operations"]);
    if (kind === "event") refresh(["recent-events"]);
    if (kind === "bulk" || kind === "rollout") refresh(["counts", "under-way"]);
  }
  const shown = messages.filter(({ kind }) => kind in WORDS && (showValues.checked || kind !== "resource"));
  if (shown.length === 0) return;
  document.getElementById("activity-empty")?.remove();
  for (const message of shown.slice(-limit)) activity.prepend(line(message));
  while (activity.children.length > limit) activity.lastElementChild.remove();
}

function line(message) {
  const row = document.createElement("tr");
  const when = row.insertCell();
  when.className = "text-secondary activity-time";
  when.append(makeTime(Date.now()));
  const device = row.insertCell();
  const link = document.createElement("a");
  link.href = `/devices/${encodeURIComponent(message.endpoint)}`;
  link.textContent = message.endpoint;
  link.className = "activity-device";
  device.append(link);
  const what = row.insertCell();
  const [word, colour] = WORDS[message.kind];
  const badge = document.createElement("span");
  badge.className = `badge ${colour} me-2`;
  badge.textContent = word;
  what.append(badge);
  const path = message.path ?? message.paths?.join?.(" ");
  if (path) {
    const name = message.kind === "resource" ? nameOf(path) : "";
    const where = document.createElement(name ? "span" : "code");
    where.textContent = name || path;
    if (name) where.title = path;
    what.append(where, " ");
  }
  const text = document.createElement("span");
  text.className = "activity-value fw-medium";
  if (message.kind === "resource") text.textContent = value(message.type, message.value);
  if (message.kind === "operation") {
    text.textContent = [message.operation, message.status?.toLowerCase()].filter(Boolean).join(" ");
  }
  what.append(text);
  return row;
}

// What a resource is called that templates ask for; of others, only the path is known here.
function nameOf(path) {
  const [, object, instance, resource] = path.split("/");
  const name = Object.hasOwn(names, `${object}/${resource}`) ? names[`${object}/${resource}`] : "";
  return name && instance !== "0" ? `${name} ${instance}` : name;
}
