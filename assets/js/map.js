// The page Map: where devices say that they are (object 6), on a map and in a list, moving as they tell.

import { api } from "./api.js";
import { loadLines } from "./chart_lines.js";
import { element } from "./element.js";
import { live } from "./live.js";
import { MapCanvas, ZOOM_STEP, place } from "./map_canvas.js";
import { coordinates, rings } from "./map_world.js";
import { makeTime } from "./time.js";
import { toast } from "./toast.js";

const LATITUDE = "/6/0/0";
const LONGITUDE = "/6/0/1";
const RADIUS = "/6/0/3";
// What changes without a word, such as who fell asleep, is fetched this often.
const RELOAD_MS = 120000;
// Lines of the list at most; the search finds the others.
const LINES = 150;
// Pages of locations at most.
const PAGES = 200;
const TRAIL_S = 86400;
const TRAIL_POINTS = 1000;
// Latitude and longitude that come so near one another are of one place, in seconds.
const TOGETHER_S = 2;

const page = document.getElementById("map-page");
const at = (id) => document.getElementById(id);
const devices = new Map();
let chosen = new URLSearchParams(location.search).get("device") || "";
let fitted = false;
let listed = 0;

const map = new MapCanvas(at("map"), choose);
at("map-in").addEventListener("click", () => map.zoom(ZOOM_STEP));
at("map-out").addEventListener("click", () => map.zoom(1 / ZOOM_STEP));
at("map-fit").addEventListener("click", () => map.fit());
at("map-search").addEventListener("input", list);
at("map-list").addEventListener("click", (event) => {
  const button = event.target.closest("[data-device]");
  if (button) choose(button.dataset.device);
});

drawCoasts();
live(["fleet"], take, load);
load();
setInterval(() => {
  if (!document.hidden) load();
}, RELOAD_MS);

async function drawCoasts() {
  try {
    const answer = await fetch(page.dataset.land);
    map.land = rings(await answer.json());
    map.soon();
  } catch {
    // The grid and the devices are there without them.
  }
}

async function load() {
  const there = new Set();
  let cursor = "";
  try {
    for (let number = 0; number < PAGES; number += 1) {
      const query = new URLSearchParams({ limit: page.dataset.rows });
      if (cursor) query.set("cursor", cursor);
      const { items, next } = await api("GET", `/locations?${query}`);
      for (const item of items) {
        there.add(item.endpoint);
        put(item.endpoint, {
          state: item.state,
          latitude: item.latitude,
          longitude: item.longitude,
          radius: item.radius_m,
          time: Date.parse(item.time),
          problem: item.problem,
        });
      }
      if (items.length > 0) show();
      cursor = next;
      if (!next) break;
    }
    for (const name of devices.keys()) if (!there.has(name)) devices.delete(name);
  } catch (error) {
    toast("bad", "The places cannot be read", error.message);
  }
  show();
  if (chosen && there.has(chosen) && !map.chosen) choose(chosen);
}

// What is known of a device now; its place where it makes sense.
function put(name, facts) {
  const device = Object.assign(devices.get(name) || { name, state: "registered" }, facts);
  device.problem ??= problem(device);
  device.at = device.problem ? null : place(device.latitude, device.longitude);
  devices.set(name, device);
  return device;
}

function problem({ latitude, longitude }) {
  for (const [what, degrees, most] of [
    ["latitude", latitude, 90],
    ["longitude", longitude, 180],
  ]) {
    if (degrees === null || degrees === undefined) return `it has told no ${what}`;
    if (!Number.isFinite(degrees)) return `its ${what} is not a number`;
    if (Math.abs(degrees) > most) return `its ${what} ${degrees} is not from -${most} to ${most}`;
  }
  return null;
}

function show() {
  map.devices = [...devices.values()].filter((device) => device.at);
  if (!fitted && map.devices.length > 0) {
    fitted = true;
    map.fit();
  }
  map.soon();
  // A list of very many is not made anew with every message.
  clearTimeout(listed);
  listed = setTimeout(list, 100);
}

// ---- what arrives ----

const FIELDS = { [LATITUDE]: "latitude", [LONGITUDE]: "longitude", [RADIUS]: "radius" };
const STATES = { registered: "registered", deregistered: "offline", expired: "offline" };

function take(messages) {
  const changed = new Set();
  for (const { kind, endpoint, path, value, time } of messages) {
    const device = devices.get(endpoint);
    if (kind === "resource" && path in FIELDS) {
      const known = device || put(endpoint, { latitude: null, longitude: null, radius: null });
      known[FIELDS[path]] = value === null ? NaN : Number(value);
      known.time = Date.parse(time);
      changed.add(endpoint);
    } else if (device && kind in STATES) {
      device.state = STATES[kind];
      changed.add(endpoint);
    } else if (device && kind === "updated" && device.state !== "registered") {
      device.state = device.state === "offline" ? "registered" : "awake";
      changed.add(endpoint);
    }
  }
  for (const name of changed) {
    const device = put(name, { problem: null });
    if (device === map.chosen && device.at) follow(device);
  }
  if (changed.size > 0) show();
}

// The chosen one has moved.
function follow(device) {
  const last = map.trail.at(-1);
  if (!last || last[0] !== device.at[0] || last[1] !== device.at[1]) map.trail.push(device.at);
  tell(device);
}

// ---- what the person does ----

async function choose(name) {
  const device = devices.get(name);
  if (!device) return;
  chosen = name;
  map.chosen = device;
  map.trail = [];
  if (device.at) map.show(device);
  const address = new URL(location.href);
  address.searchParams.set("device", name);
  history.replaceState(null, "", address);
  list();
  tell(device);
  if (!device.at) return;
  const now = Date.now() / 1000;
  try {
    const series = [`${LATITUDE}@${name}`, `${LONGITUDE}@${name}`];
    const { lines } = await loadLines({ series, tagged: [] }, now - TRAIL_S, now + 60, TRAIL_POINTS);
    if (map.chosen !== device) return;
    map.trail = [...walk(...lines), ...map.trail];
    tell(device);
    map.soon();
  } catch (error) {
    toast("bad", "Its way cannot be read", error.message);
  }
}

// Places out of latitudes and longitudes, which come one by one.
function walk(latitudes, longitudes) {
  const steps = [];
  for (const [part, line] of [latitudes, longitudes].entries()) {
    line.times.forEach((time, number) => steps.push([time, part, line.values[number]]));
  }
  steps.sort((one, two) => one[0] - two[0]);
  const now = [null, null];
  const places = [];
  steps.forEach(([time, part, value], number) => {
    now[part] = value;
    const next = steps[number + 1];
    const more = next && next[1] !== part && next[0] - time < TOGETHER_S;
    if (more || problem({ latitude: now[0], longitude: now[1] })) return;
    places.push(place(...now));
  });
  return places;
}

function tell(device) {
  const link = element("a", "fw-medium text-break", device.name);
  link.href = `/devices/${encodeURIComponent(device.name)}`;
  const parts = [link, element("span", "", device.state)];
  if (device.problem) parts.push(element("span", "text-yellow", `Not on the map: ${device.problem}.`));
  else parts.push(element("span", "", coordinates(device.latitude, device.longitude)));
  if (device.at && device.radius > 0) parts.push(element("span", "", `within ${Math.round(device.radius)} m`));
  const time = element("span");
  time.append(makeTime(device.time));
  parts.push(time);
  if (map.trail.length > 1) parts.push(element("span", "", `${map.trail.length} places in a day`));
  at("map-chosen").replaceChildren(...parts);
}

function list() {
  const words = at("map-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [...devices.values()].filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  all.sort((one, two) => (one.name < two.name ? -1 : 1));
  const wrong = all.filter((device) => device.problem).length;
  const count = `${all.length} ${all.length === 1 ? "device" : "devices"}`;
  const more = all.length > LINES ? `; the first ${LINES} are listed, search for others` : "";
  at("map-count").textContent =
    devices.size === 0
      ? "No device has told where it is. Observe object 6 with a template."
      : `${count}${wrong > 0 ? `, ${wrong} without a place that makes sense` : ""}${more}`;
  const focus = document.activeElement?.dataset?.device;
  at("map-list").replaceChildren(...all.slice(0, LINES).map(line));
  if (focus) at("map-list").querySelector(`[data-device="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

function line(device) {
  const button = element("button", "list-group-item list-group-item-action py-2 map-line");
  button.type = "button";
  button.dataset.device = device.name;
  button.classList.toggle("active", device.name === chosen);
  button.setAttribute("aria-pressed", String(device.name === chosen));
  const head = element("span", "d-flex align-items-center gap-2");
  const dot = element("i", `map-dot map-${device.state}`);
  head.append(dot, element("span", "fw-medium text-break", device.name), element("span", "visually-hidden", device.state));
  const time = makeTime(device.time);
  time.className = "ms-auto small text-secondary text-nowrap";
  head.append(time);
  const where = device.problem
    ? element("span", "small text-yellow d-block", `Not on the map: ${device.problem}.`)
    : element("span", "small text-secondary d-block", coordinates(device.latitude, device.longitude));
  button.append(head, where);
  return button;
}
