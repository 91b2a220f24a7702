// The page of one device: values change in place, buttons become operations.

import { api } from "./api.js";
import { HistoryChart } from "./chart.js";
import { mark } from "./element.js";
import { goneOrBack } from "./gone.js";
import { live } from "./live.js";
import { DeviceLog } from "./log.js";
import { openOperate, operationChanged } from "./operate.js";
import { openProfile } from "./profile.js";
import { leaveFor, refresh, showAll } from "./refresh.js";
import { makeTime, setTime } from "./time.js";
import { toast } from "./toast.js";
import { showState, state, value } from "./words.js";

// How long a button waits for the device before it is told that the operation goes on.
const WAIT_SECONDS = 10;

const page = document.getElementById("device");
const endpoint = page.dataset.endpoint;
const base = `/endpoints/${encodeURIComponent(endpoint)}`;
const chart = new HistoryChart(endpoint);
const log = new DeviceLog(endpoint);

live([`endpoint:${endpoint}`], take, () => {
  refresh();
  chart.load();
  if (!log.held()) log.load();
});
let lastSeen = 0;
// What happens here without a word of the device.
const OURS = new Set(["operation", "expired", "observation", "profile", "event", "firmware_update"]);
setInterval(showHeadline, 1000);
document.addEventListener("refreshed", (event) => {
  showSeen();
  if (event.target.id !== "objects") return;
  for (const message of event.detail) if (message.kind === "resource") showValue(message);
});

// ---- what arrives ----

function take(messages) {
  if (goneOrBack(messages)) return;
  const lines = messages.filter((message) => message.kind === "log");
  if (lines.length > 0) log.take(lines);
  for (const message of messages) {
    switch (message.kind) {
      case "resource":
        takeValue(message);
        break;
      case "operation":
        operationChanged(message);
        refresh(["operations", "headline"]);
        if (message.status === "CONFIRMED" && message.operation?.includes("observe")) {
          refresh(["objects", "observations"]);
        }
        break;
      case "event":
        refresh(["events"]);
        break;
      case "observation":
        refresh(["objects", "observations"]);
        break;
      case "profile":
        refresh(["profile", "headline", "observations"]);
        break;
      case "log":
        break;
      case "firmware_update":
        refresh(["firmware"]);
        break;
      case "updated":
        refresh(["registration", "headline"]);
        break;
      default:
        refresh();
    }
    if (!OURS.has(message.kind)) seen();
  }
}

function seen() {
  lastSeen = Date.now();
  showSeen();
}

// The store notes only every few seconds that a device was heard of.
function showSeen() {
  const headline = document.getElementById("headline");
  if (lastSeen > Date.parse(headline.dataset.seen)) {
    headline.dataset.seen = new Date(lastSeen).toISOString();
    setTime(headline.querySelector("time"), lastSeen);
  }
  showHeadline();
}

function showHeadline() {
  const headline = document.getElementById("headline");
  const { registered, queueMode, seen: at, awakeS } = headline.dataset;
  const word = state(registered === "true", queueMode === "true", Date.parse(at), Number(awakeS), Date.now());
  showState(headline.querySelector("[data-state]"), word);
}

function takeValue(message) {
  chart.add(message.path, message.time, message.value);
  showValue(message);
}

function showValue(message) {
  const { path, time } = message;
  const parts = path.split("/");
  const row = document.querySelector(`[data-resource="${CSS.escape(parts.slice(0, 4).join("/"))}"]`);
  if (!row) {
    refresh(["objects"]);
    return;
  }
  row.hidden = false;
  let cell = row.querySelector(`[data-value="${CSS.escape(path)}"]`);
  if (!cell && parts.length === 5) {
    const list = row.querySelector("[data-values]");
    if (!list) {
      refresh(["objects"]);
      return;
    }
    cell = document.createElement("span");
    cell.className = "value-item";
    cell.dataset.value = path;
    const id = document.createElement("span");
    id.className = "text-secondary";
    id.textContent = `${parts[4]}:`;
    const text = document.createElement("span");
    text.className = "value";
    cell.append(id, " ", text);
    if (row.dataset.meanings) {
      const meaning = document.createElement("span");
      meaning.className = "text-secondary small meaning";
      cell.append(" ", meaning);
    }
    list.append(cell, " ");
  }
  if (!cell) return;
  cell.querySelector(".value").textContent = value(message.type, message.value);
  // What a number stands for, such as the state of an update.
  const meaning = cell.querySelector(".meaning");
  if (meaning) meaning.textContent = JSON.parse(row.dataset.meanings)[String(message.value)] ?? "";
  const when = row.querySelector(".resource-time");
  const at = when.querySelector("time");
  if (at) setTime(at, time);
  else when.replaceChildren(makeTime(time));
  mark(row);
}

// ---- what the person does ----

document.addEventListener("click", (event) => {
  const more = event.target.closest("[data-more]");
  if (more) showAll(more.closest("[data-instance]"));
  const button = event.target.closest("[data-action]");
  if (!button) return;
  event.preventDefault();
  act(button).catch((error) => toast("bad", "That did not work", error.message));
});

async function act(button) {
  const { action, path } = button.dataset;
  const passive = button.dataset.passive ? { passive: true } : {};
  const row = button.closest("[data-resource]");
  switch (action) {
    case "chart":
      return showChart(row);
    case "write":
    case "execute":
    case "create":
      return openOperate({ kind: action, path });
    case "operate":
      return openOperate({ path: path || "" });
    case "composite":
      return openOperate({ kind: "read_composite" });
    case "forget":
      return forget();
    case "delete":
      if (!window.confirm(`Delete ${path} on the device?`)) return undefined;
      return operate(button, { kind: "delete", path });
    case "profile":
      return openProfile(button.dataset);
    case "observe_composite":
    case "cancel_observe_composite":
      return operate(button, { kind: action, paths: path.split(" "), ...passive });
    default:
      return operate(button, { kind: action, path, ...passive });
  }
}

function showChart(row) {
  const { resource, name, multiple } = row.dataset;
  const first = row.querySelector("[data-value]")?.dataset.value;
  const path = multiple === "true" ? first : resource;
  if (path) chart.show(path, `${name} (${path})`);
}

async function forget() {
  if (!window.confirm(`Forget ${endpoint} and all its data? A device that still runs registers again.`)) return;
  await api("DELETE", base);
  leaveFor("/devices");
}

async function operate(button, body) {
  const done = busy(button);
  try {
    const operation = await api("POST", `${base}/operations?wait=${WAIT_SECONDS}`, body);
    tell(body, operation);
    if (operation.status === "CONFIRMED" && body.kind.includes("observe")) refresh(["objects", "observations"]);
  } catch (error) {
    toast("bad", `${label(body)} was not taken`, error.message);
  } finally {
    done();
    refresh(["operations", "headline"]);
  }
}

function busy(button) {
  button.disabled = true;
  button.classList.add("btn-loading");
  return () => {
    button.disabled = false;
    button.classList.remove("btn-loading");
  };
}

function label(body) {
  const words = body.kind.replaceAll("_", " ");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)} ${body.path || body.paths.join(" ")}`;
}

function tell(body, operation) {
  const nodes = operation.result?.nodes || [];
  const code = operation.result?.code || "";
  switch (operation.status) {
    case "CONFIRMED": {
      const said =
        nodes.length === 1
          ? value(nodes[0].type, nodes[0].value)
          : nodes.length > 1
            ? `${nodes.length} values`
            : "";
      toast("good", `${label(body)}: done`, [code, said].filter(Boolean).join(" · "));
      break;
    }
    case "QUEUED":
      toast("wait", `${label(body)} waits`, operation.waits_for ? `For ${operation.waits_for}.` : "");
      break;
    case "SENDING":
      toast("wait", `${label(body)} is on its way`, "The device has not answered yet; the list of operations will show it.");
      break;
    default:
      toast("bad", `${label(body)}: ${operation.status.toLowerCase()}`, operation.error || code);
  }
}
