// How values, times and durations are written for people; src/web/pages/words.rs does the same.

const DAY = 86400;

export function duration(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / 3600)} h`;
  if (seconds < 730 * DAY) return `${Math.floor(seconds / DAY)} d`;
  return `${Math.floor(seconds / (365 * DAY))} years`;
}

export function ago(time, now) {
  const seconds = Math.floor(Math.abs(now - time) / 1000);
  if (seconds < 5) return "now";
  return time > now ? `in ${duration(seconds)}` : `${duration(seconds)} ago`;
}

// Bytes in the largest unit that leaves at least one of it, for example `1.5 MiB`.
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let [number, unit] = [bytes, 0];
  while (number >= 1024 && unit < units.length - 1) [number, unit] = [number / 1024, unit + 1];
  const text = unit === 0 || number >= 100 ? String(Math.round(number)) : String(Number(number.toFixed(1)));
  return `${text} ${units[unit]}`;
}

const UNITS = {
  "/100": "%",
  "%RH": "% RH",
  Cel: "°C",
  Ohm: "Ω",
  degF: "°F",
  lat: "°",
  lon: "°",
  deg: "°",
  m2: "m²",
  m3: "m³",
  "m/s2": "m/s²",
};

// Units as people write them; devices and models write those of SenML.
export const units = (raw) => (Object.hasOwn(UNITS, raw) ? UNITS[raw] : raw);

// A value of the API, by its type, as the tables show it.
export function value(type, json) {
  if (json === null || json === undefined) return "not a number";
  switch (type) {
    case "FLOAT":
      return number(json);
    case "OPAQUE":
      return bytes(json);
    case "TIME":
      return moment(String(json));
    default:
      return String(json);
  }
}

// A device's time is not turned into the reader's.
function moment(text) {
  const parts = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})/.exec(text);
  return parts ? `${parts[1]} ${parts[2]} UTC` : text;
}

// Seven significant digits: what a 32-bit float holds, without its noise.
export function number(json) {
  const float = Number(json);
  return Number.isFinite(float) ? String(Number(float.toPrecision(7))) : "not a number";
}

function bytes(base64) {
  let text;
  try {
    text = atob(base64);
  } catch {
    return String(base64);
  }
  if (text === "") return "(empty)";
  const shown = Array.from(text.slice(0, 32), (letter) =>
    letter.charCodeAt(0).toString(16).padStart(2, "0"),
  ).join("");
  return `${shown}${text.length > 32 ? "…" : ""} (${text.length} bytes)`;
}

// The state of a device in queue mode follows from when it was last heard of.
export function state(registered, queueMode, seen, awakeSeconds, now) {
  if (!registered) return "offline";
  if (!queueMode) return "registered";
  return now - seen < awakeSeconds * 1000 ? "awake" : "asleep";
}

const COLOURS = {
  registered: "status-green",
  awake: "status-green",
  asleep: "status-azure",
  offline: "status-secondary",
};

// Changes a badge of partials/ui.html.
export function showState(badge, word) {
  if (!badge || badge.dataset.state === word) return;
  badge.dataset.state = word;
  badge.className = `status ${COLOURS[word]}`;
  badge.lastElementChild.textContent = word;
}
