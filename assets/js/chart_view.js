// What a chart shows, as its address says it: series, time, panels, and whether it follows.

export const RANGES = {
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "3h": 10800,
  "6h": 21600,
  "24h": 86400,
  "2d": 172800,
  "7d": 604800,
  "30d": 2592000,
  "90d": 7776000,
  "1y": 31536000,
};
export const DEFAULT_RANGE = "1h";

// Devices' clocks may be a little ahead.
const AHEAD = 60;
const SHORTEST = 1;
const LONGEST = 19 * 31622400;

export class View {
  constructor(query = "") {
    const words = new URLSearchParams(query);
    this.series = words.getAll("series");
    this.tagged = words.getAll("tagged");
    this.panels = words.get("panels") === "series" ? "series" : "units";
    this.follow = words.get("follow") !== "false";
    this.range = words.get("range") in RANGES ? words.get("range") : DEFAULT_RANGE;
    this.fixed = null;
    const [from, to] = [time(words.get("from")), time(words.get("to"))];
    if (from !== null && to !== null && from < to) this.fixed = [from, to];
    // A view that does not follow keeps the time in which it was opened.
    this.opened = Date.now() / 1000;
  }

  copy() {
    const view = new View();
    Object.assign(view, this, { series: [...this.series], tagged: [...this.tagged] });
    return view;
  }

  get follows() {
    return this.follow && this.fixed === null;
  }

  get empty() {
    return this.series.length + this.tagged.length === 0;
  }

  // What is shown, in seconds since 1970.
  window(now = Date.now() / 1000) {
    if (this.fixed) return this.fixed;
    const end = this.follow ? now : this.opened;
    return [end - RANGES[this.range], end];
  }

  // What to ask for: more than is shown where values go on arriving.
  asked() {
    const [from, to] = this.window();
    return [from, this.follows ? to + AHEAD : to];
  }

  show(from, to) {
    const middle = (from + to) / 2;
    const half = Math.min(LONGEST, Math.max(SHORTEST, to - from)) / 2;
    this.fixed = [Math.round((middle - half) * 1000) / 1000, Math.round((middle + half) * 1000) / 1000];
  }

  query() {
    const words = new URLSearchParams();
    for (const name of this.series) words.append("series", name);
    for (const name of this.tagged) words.append("tagged", name);
    if (this.fixed) {
      words.set("from", new Date(this.fixed[0] * 1000).toISOString());
      words.set("to", new Date(this.fixed[1] * 1000).toISOString());
    } else {
      words.set("range", this.range);
      if (!this.follow) words.set("follow", "false");
    }
    if (this.panels !== "units") words.set("panels", this.panels);
    // People read addresses: these need no percent signs.
    return words.toString().replaceAll("%2F", "/").replaceAll("%40", "@").replaceAll("%3A", ":");
  }
}

function time(text) {
  if (!text) return null;
  const millis = /^-?\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isNaN(millis) ? null : millis / 1000;
}

// Lines by the plot that they are drawn in, each with its title.
export function groups(lines, panels) {
  const all = new Map();
  for (const line of lines) {
    const kind = line.stepped ? "true or false" : line.units || line.what;
    const key = panels === "series" ? line.key : kind;
    const title = panels === "series" ? `${line.what}${line.units ? ` in ${line.units}` : ""}` : titleOf(line, kind);
    if (!all.has(key)) all.set(key, { key, title, lines: [] });
    const group = all.get(key);
    if (group.title !== title) group.title = kind;
    group.lines.push(line);
  }
  return [...all.values()];
}

function titleOf(line, kind) {
  return line.units && !line.stepped ? `${line.what} in ${line.units}` : kind;
}
