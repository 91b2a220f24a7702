// Charts by uPlot, in the colours of the theme.

import { api } from "./api.js";
import { number } from "./words.js";

const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000 };
const DEFAULT_RANGE = "1h";

function css(name, fallback) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || fallback;
}

const line = () => css("--tblr-primary", "#066fd1");
const fill = () => css("--chart-fill", "rgba(6, 111, 209, 0.1)");
const grid = () => css("--chart-grid", "#8884");
const text = () => css("--chart-text", "#667382");
const font = () => `11px ${getComputedStyle(document.body).fontFamily}`;

const axis = (more = {}) => ({
  stroke: text,
  font: font(),
  labelFont: font(),
  grid: { stroke: grid, width: 1 },
  ticks: { stroke: grid, width: 1, size: 4 },
  ...more,
});

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const moment = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

// The clock, and below it the day where it is another than that of the tick before.
function times(_, ticks, __, ___, step) {
  let before = "";
  return ticks.map((tick) => {
    const at = tick * 1000;
    const today = day.format(at);
    const other = today !== before;
    before = today;
    if (step >= 86400) return today;
    const text = (step < 60 ? seconds : clock).format(at);
    return other ? `${text}\n${today}` : text;
  });
}

// Keeps a chart as wide as its box, and in the colours of the theme.
function fit(box, plot) {
  new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = box;
    if (width > 0 && (width !== plot.width || height !== plot.height)) plot.setSize({ width, height });
  }).observe(box);
  window.addEventListener("theme", () => plot.redraw(false, true));
}

// Messages a second over the last seconds; `rates` is changed by the caller.
export function drawRate(box, rates) {
  const ages = rates.map((_, at) => at - rates.length + 1);
  const plot = new window.uPlot(
    {
      width: box.clientWidth || 300,
      height: box.clientHeight || 140,
      cursor: { show: false },
      legend: { show: false },
      scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(5, most * 1.1)] } },
      axes: [
        axis({ values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "now" : `${tick} s`)) }),
        axis({ size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000] }),
      ],
      series: [
        {},
        { stroke: line, fill, width: 1.5, points: { show: false }, paths: window.uPlot.paths.stepped({ align: 1 }) },
      ],
    },
    [ages, rates],
    box,
  );
  fit(box, plot);
  return { redraw: () => plot.setData([ages, rates]) };
}

// The chart of the device page: history from the API, live values at its end, zoom by dragging.
// The address holds what is shown.
export class HistoryChart {
  constructor(endpoint) {
    this.endpoint = endpoint;
    this.box = document.getElementById("chart");
    this.select = document.getElementById("chart-path");
    this.empty = document.getElementById("chart-empty");
    this.reset = document.getElementById("chart-reset");
    this.zoom = null;
    this.request = 0;
    this.data = [[], []];
    this.plot = null;

    const address = new URLSearchParams(location.search);
    this.range = address.get("range") in RANGES ? address.get("range") : DEFAULT_RANGE;
    const wanted = address.get("chart");
    if (wanted && this.option(wanted)) this.select.value = wanted;

    this.select.addEventListener("change", () => this.load());
    for (const button of this.buttons()) {
      button.addEventListener("click", () => {
        this.range = button.dataset.range;
        this.zoom = null;
        this.load();
      });
    }
    this.reset.addEventListener("click", () => this.unzoom());
    if (this.select.options.length > 0) this.load();
    // Old values leave the window although nothing new arrives.
    setInterval(() => this.slide(), 1000);
  }

  buttons() {
    return document.querySelectorAll("#chart-ranges [data-range]");
  }

  option(path) {
    return Array.from(this.select.options).find((option) => option.value === path);
  }

  // Shows another resource, one that had no value when the page was made included.
  show(path, label, units, type) {
    if (!this.option(path)) {
      const option = new Option(label, path);
      option.dataset.units = units;
      option.dataset.type = type;
      this.select.add(option);
    }
    this.select.value = path;
    this.load();
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const card = document.getElementById("chart-card");
    card.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  }

  window() {
    const now = Date.now() / 1000;
    return this.zoom || [now - RANGES[this.range], now];
  }

  async load() {
    document.getElementById("chart-card").hidden = false;
    for (const button of this.buttons()) {
      const on = !this.zoom && button.dataset.range === this.range;
      button.classList.toggle("active", on);
      button.setAttribute("aria-pressed", String(on));
    }
    this.reset.hidden = !this.zoom;
    const path = this.select.value;
    const address = new URL(location.href);
    address.searchParams.set("chart", path);
    address.searchParams.set("range", this.range);
    history.replaceState(null, "", address);

    const request = ++this.request;
    const [from, to] = this.window();
    const query = new URLSearchParams({
      path,
      from: new Date(from * 1000).toISOString(),
      to: new Date((this.zoom ? to : to + 60) * 1000).toISOString(),
      points: String(Math.min(2000, Math.max(200, Math.round(this.box.clientWidth)))),
    });
    let points = [];
    let failure = "";
    try {
      points = (await api("GET", `/endpoints/${encodeURIComponent(this.endpoint)}/history?${query}`)).points;
    } catch (error) {
      failure = error.message;
    }
    // An answer that another choice has overtaken.
    if (request !== this.request) return;
    this.data = [points.map(([at]) => at / 1000), points.map(([, value]) => value)];
    this.path = path;
    this.draw();
    this.box.hidden = points.length === 0;
    this.empty.hidden = points.length > 0;
    this.empty.textContent = failure || "No values in this time.";
    if (points.length > 0) this.resize();
    this.sum();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (width > 0) this.plot.setSize({ width, height });
  }

  draw() {
    const { units, type } = this.select.selectedOptions[0]?.dataset || {};
    this.units = units || "";
    if (this.plot && this.type === type) {
      this.plot.setData(this.data, false);
      this.slide();
      return;
    }
    this.plot?.destroy();
    this.type = type;
    const stepped = type === "BOOLEAN";
    this.plot = new window.uPlot(
      {
        width: this.box.clientWidth || 600,
        height: this.box.clientHeight || 260,
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
        hooks: {
          setSelect: [(plot) => this.drag(plot)],
          setCursor: [(plot) => this.point(plot)],
        },
        scales: { y: stepped ? { range: [-0.1, 1.1] } : { range: (_, least, most) => around(least, most) } },
        axes: [
          axis({ values: times }),
          axis({
            size: 60,
            values: (_, ticks) =>
              ticks.map((tick) => (stepped ? { 0: "false", 1: "true" }[tick] || "" : number(tick))),
          }),
        ],
        series: [
          {},
          {
            stroke: line,
            fill: stepped ? fill : undefined,
            width: 1.8,
            points: { size: 4 },
            paths: stepped ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
          },
        ],
      },
      this.data,
      this.box,
    );
    if (!this.fitted) {
      this.fitted = true;
      new ResizeObserver(() => this.resize()).observe(this.box);
      window.addEventListener("theme", () => this.plot.redraw(false, true));
    }
    this.plot.over.addEventListener("dblclick", () => this.unzoom());
    this.slide();
  }

  slide() {
    if (!this.plot || document.hidden) return;
    const [min, max] = this.window();
    this.plot.setScale("x", { min, max });
  }

  drag(plot) {
    if (plot.select.width < 5) return;
    const from = plot.posToVal(plot.select.left, "x");
    const to = plot.posToVal(plot.select.left + plot.select.width, "x");
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (to - from < 1) return;
    this.zoom = [from, to];
    this.load();
  }

  unzoom() {
    if (!this.zoom) return;
    this.zoom = null;
    this.load();
  }

  // A value that has just arrived.
  add(path, time, value) {
    if (path !== this.path || this.zoom || !this.plot) return;
    const at = Date.parse(time) / 1000;
    const [times, values] = this.data;
    if (Number.isNaN(at) || at <= (times.at(-1) ?? 0)) return;
    times.push(at);
    values.push(Number(value));
    const [from] = this.window();
    while (times.length > 2 && times[1] < from) {
      times.shift();
      values.shift();
    }
    if (this.box.hidden) {
      this.box.hidden = false;
      this.empty.hidden = true;
      this.resize();
    }
    this.plot.setData(this.data, false);
    this.slide();
    this.sum();
  }

  sum() {
    const values = this.data[1];
    let [least, most] = [Infinity, -Infinity];
    for (const value of values) {
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
    this.tell("chart-last", values.at(-1));
    this.tell("chart-min", values.length ? least : undefined);
    this.tell("chart-max", values.length ? most : undefined);
  }

  // The value below the cursor; the last one when it is elsewhere.
  point(plot) {
    const at = plot.cursor.idx;
    const hover = document.getElementById("chart-hover");
    const value = at === null || at === undefined ? undefined : this.data[1][at];
    this.hint ??= hover.textContent;
    hover.textContent =
      value === undefined
        ? this.hint
        : `${moment.format(this.data[0][at] * 1000)}: ${number(value)} ${this.units}`;
  }

  tell(id, value) {
    const known = value !== undefined && value !== null;
    document.getElementById(id).textContent = known ? `${number(value)} ${this.units}`.trim() : "–";
  }
}

// Room above and below, also when every value is the same.
function around(least, most) {
  if (least === null || most === null) return [0, 1];
  const room = (most - least) * 0.1 || Math.abs(most) * 0.1 || 1;
  return [least - room, most + room];
}
