// Series as the API gives them, made ready to be drawn, and kept up to date by live values.

import { api } from "./api.js";
import { number, units } from "./words.js";

// A line breaks where a device was silent for so many of its usual intervals.
const SILENT = 3;
// Nine of ten intervals are at most this long: what is usual for a device that speaks when something changes.
const USUAL = 0.9;
// As many points as are looked at for that.
const LOOKED_AT = 1000;
// As many digits behind the point as a number can be written with.
const MOST_DIGITS = 20;

class Line {
  constructor(answer, index) {
    this.endpoint = answer.endpoint;
    this.path = answer.path;
    this.object = answer.object || "";
    this.name = answer.name || "";
    this.units = units(answer.units || "");
    this.type = answer.type || "";
    this.error = answer.error || "";
    this.stepped = this.type === "BOOLEAN";
    this.step = answer.step_ms === null ? 0 : answer.step_ms / 1000;
    this.times = answer.points.map(([at]) => at / 1000);
    this.values = answer.points.map(([, value]) => value);
    this.highs = answer.points.map((point) => point[3] ?? null);
    this.lows = answer.points.map((point) => point[2] ?? null);
    this.sum = answer.summary;
    // Behind the point, of the values themselves: those of stretches are means.
    const exact = this.step === 0 ? this.values : [...this.highs, ...this.lows];
    this.digits = exact.reduce((most, value) => Math.max(most, digits(value)), digits(this.sum?.last ?? 0));
    this.index = index;
    this.hidden = false;
  }

  // What the API calls it.
  get key() {
    return `${this.path}@${this.endpoint}`;
  }

  // What is measured, without the device.
  get what() {
    const instance = this.path.split("/").slice(2);
    const name = [this.object, this.name].filter(Boolean).join(": ") || `Resource ${this.path}`;
    // The first instance, and the only one of most, needs no number.
    return instance[0] === "0" && instance.length === 2 ? name : `${name} (${this.path})`;
  }

  // A value that has just arrived; false when it is of the past.
  add(time, value) {
    const at = Date.parse(time) / 1000;
    const as = Number(value);
    if (Number.isNaN(at) || !Number.isFinite(as) || at <= (this.times.at(-1) ?? -Infinity)) return false;
    this.times.push(at);
    this.values.push(as);
    this.digits = Math.max(this.digits, digits(as));
    this.highs.push(null);
    this.lows.push(null);
    const before = this.sum || { count: 0, mean: 0, min: as, max: as };
    const count = before.count + 1;
    this.sum = {
      count,
      mean: before.mean + (as - before.mean) / count,
      min: Math.min(before.min, as),
      max: Math.max(before.max, as),
      last: as,
    };
    return true;
  }

  // Forgets what is before a moment, but for the last value before it, from which the line comes.
  forget(before) {
    let old = 0;
    while (old + 2 < this.times.length && this.times[old + 1] < before) old += 1;
    for (const part of [this.times, this.values, this.highs, this.lows]) part.splice(0, old);
  }

  // From which silence on the line breaks, in seconds. A switch stays as it is until it says otherwise.
  silence() {
    if (this.stepped || this.times.length < 3) return Infinity;
    const times = this.times.slice(-LOOKED_AT);
    const waits = times.slice(1).map((at, before) => at - times[before]);
    waits.sort((one, two) => one - two);
    const usual = waits[Math.floor((waits.length - 1) * USUAL)];
    return SILENT * Math.max(usual, this.step, 0.001);
  }

  // Times, values, largest and smallest, with a hole in each silence.
  table() {
    const longest = this.silence();
    const table = [[], [], [], []];
    this.times.forEach((at, place) => {
      if (place > 0 && at - this.times[place - 1] > longest) {
        table[0].push(this.times[place - 1] + 0.001);
        for (const part of [1, 2, 3]) table[part].push(null);
      }
      table[0].push(at);
      table[1].push(this.values[place]);
      table[2].push(this.highs[place]);
      table[3].push(this.lows[place]);
    });
    return table;
  }
}

// A number as charts show it: six digits, but for very small ones.
export const shorten = (value) => (Math.abs(value) < 1e-4 ? value : Number(value.toPrecision(6)));

// How many digits it is shown with behind the point.
function digits(value) {
  const text = number(shorten(value));
  return text.includes("e") ? MOST_DIGITS : (text.split(".")[1] ?? "").length;
}

// The lines of a choice in a time (seconds), with whether some were left out.
export async function loadLines({ series, tagged }, from, to, points) {
  const query = new URLSearchParams({
    from: new Date(from * 1000).toISOString(),
    // What has just arrived, from a device whose clock is a little ahead.
    to: new Date(to * 1000).toISOString(),
    points: String(Math.min(2000, Math.max(50, Math.round(points)))),
  });
  for (const name of series) query.append("series", name);
  for (const name of tagged) query.append("tagged", name);
  const answer = await api("GET", `/series?${query}`);
  return { lines: answer.series.map((one, index) => new Line(one, index)), cut: answer.cut, limit: answer.limit };
}
