// One plot by uPlot: lines of one kind over time, in the colours of the theme. Every chart of the pages is made of
// these.

import { number } from "./words.js";

export function css(name, fallback = "#888888") {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || fallback;
}

// Colours that people with colour-blindness tell apart too; when they are used up the lines are dashed.
const COLOURS = 8;
const DASHES = [[], [8, 5], [2, 4]];
const BAND_ALPHA = "2e";

export const colour = (index) => css(`--series-${(index % COLOURS) + 1}`);
export const dash = (index) => DASHES[Math.floor(index / COLOURS) % DASHES.length];

const grid = () => css("--chart-grid", "#8884");
const text = () => css("--chart-text", "#667382");
const font = () => `11px ${getComputedStyle(document.body).fontFamily}`;

export const axis = (more = {}) => ({
  stroke: text,
  font: font(),
  labelFont: font(),
  grid: { stroke: grid, width: 1 },
  ticks: { stroke: grid, width: 1, size: 4 },
  ...more,
});

const format = (options) => new Intl.DateTimeFormat(undefined, { hourCycle: "h23", ...options });
const clock = format({ hour: "2-digit", minute: "2-digit" });
const seconds = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = format({ month: "short", day: "numeric" });
const year = format({ year: "numeric" });
const exact = format({
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

// A moment (seconds) in the reader's own time.
export const moment = (at) => exact.format(at * 1000);

// The clock, and below it the day (or the year) where it is another than that of the tick before.
function times(_, ticks, __, ___, step) {
  let before = "";
  return ticks.map((tick) => {
    const at = tick * 1000;
    const days = step >= 86400;
    const above = days ? year.format(at) : day.format(at);
    const other = above !== before;
    before = above;
    const word = days ? day.format(at) : (step < 60 ? seconds : clock).format(at);
    return other ? `${word}\n${above}` : word;
  });
}

// Room above and below, also when every value is the same.
function around(least, most) {
  if (least === null || most === null) return [0, 1];
  const room = (most - least) * 0.1 || Math.abs(most) * 0.1 || 1;
  return [least - room, most + room];
}

// How far from the cursor the next value of a line is looked for, in points.
const NEAR = 400;

// A piece of a line that is shorter is hardly seen, in pixels.
const SHORT = 4;

export class Plot {
  // `box`: where it is drawn. `on`: `zoom(from, to)` after dragging, `unzoom()` after a double click,
  // `cursor(seconds or null, values by line)`. `sync`: plots with the same one share their cursor.
  constructor(box, { on = {}, sync = null, small = false } = {}) {
    this.box = box;
    this.on = on;
    this.sync = sync;
    this.small = small;
    this.lines = [];
    this.plot = null;
    this.window = null;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(box);
    this.theme = () => this.plot?.redraw(false, true);
    window.addEventListener("theme", this.theme);
  }

  destroy() {
    this.observer.disconnect();
    window.removeEventListener("theme", this.theme);
    this.plot?.destroy();
    this.plot = null;
  }

  // Lines are those of chart_lines.js, with `index` for the colour and `hidden`.
  show(lines, from, to) {
    this.plot?.destroy();
    this.lines = lines;
    this.window = [from, to];
    this.plot = new window.uPlot(this.options(), this.data(), this.box);
    this.plot.over.addEventListener("dblclick", () => this.on.unzoom?.());
    this.slide(from, to);
  }

  // The lines have other values than before.
  update() {
    if (!this.plot) return;
    this.plot.setData(this.data(), false);
    this.slide(...this.window);
  }

  slide(min, max) {
    this.window = [min, max];
    this.plot?.setScale("x", { min, max });
  }

  toggle(line) {
    const at = this.lines.indexOf(line);
    for (const part of [1, 2, 3]) this.plot?.setSeries(at * 3 + part, { show: !line.hidden });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    const { plot } = this;
    if (plot && width > 0 && (width !== plot.width || height !== plot.height)) plot.setSize({ width, height });
  }

  // Each line has three parts: its mean, its largest and its smallest values.
  data() {
    const tables = this.lines.map((line) => line.table());
    if (tables.length === 1) return tables[0];
    return window.uPlot.join(tables);
  }

  options() {
    const switches = this.lines.length > 0 && this.lines.every((line) => line.stepped);
    const truth = (tick) => ({ 0: "false", 1: "true" })[tick] ?? "";
    const parts = this.lines.flatMap((line) => {
      const stroke = () => colour(line.index);
      const extreme = { show: !line.hidden, stroke: "transparent", width: 0, points: { show: false } };
      return [
        {
          show: !line.hidden,
          stroke,
          width: 1.8,
          dash: dash(line.index),
          points: { size: 4, stroke, fill: stroke, filter: (plot, part, shown) => (shown ? null : lonely(plot, part)) },
          paths: line.stepped ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
        },
        extreme,
        extreme,
      ];
    });
    const bands = this.lines.map((line, at) => ({
      series: [at * 3 + 2, at * 3 + 3],
      fill: () => `${colour(line.index)}${BAND_ALPHA}`,
    }));
    // The others follow the cursor, but a zoom is told once.
    const pub = (type) => type === "mousemove" || type === "mouseleave";
    const shared = { key: this.sync, scales: ["x", null], setSeries: false, filters: { pub } };
    const sync = this.sync ? { sync: shared } : {};
    return {
      width: this.box.clientWidth || 600,
      height: this.box.clientHeight || 260,
      legend: { show: false },
      cursor: {
        drag: { x: Boolean(this.on.zoom), y: false, setScale: false },
        points: { size: 7 },
        dataIdx: (plot, part, at) => nearest(plot.data[part], at),
        ...sync,
      },
      hooks: { setSelect: [(plot) => this.dragged(plot)], setCursor: [(plot) => this.pointed(plot)] },
      scales: { y: switches ? { range: [-0.1, 1.1] } : { range: (_, least, most) => around(least, most) } },
      axes: [
        axis({ values: times, ...(this.small ? { space: 70 } : {}) }),
        axis({
          size: this.small ? 46 : 60,
          values: (_, ticks) => ticks.map((tick) => (switches ? truth(tick) : number(tick))),
        }),
      ],
      series: [{}, ...parts],
      bands,
    };
  }

  dragged(plot) {
    if (plot.select.width < 5) return;
    const from = plot.posToVal(plot.select.left, "x");
    const to = plot.posToVal(plot.select.left + plot.select.width, "x");
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (to - from >= 1) this.on.zoom?.(from, to);
  }

  pointed(plot) {
    if (!this.on.cursor) return;
    const { idx, left } = plot.cursor;
    if (idx === null || idx === undefined || left < 0) {
      this.on.cursor(null, []);
      return;
    }
    const values = this.lines.map((_, at) => {
      const near = nearest(plot.data[at * 3 + 1], idx);
      return near === null ? undefined : plot.data[at * 3 + 1][near];
    });
    this.on.cursor(plot.posToVal(left, "x"), values, plot.data[0][idx]);
  }
}

// Values to which no line leads, or one that is too short to be seen: they are drawn as points.
function lonely(plot, part) {
  const [times] = plot.data;
  const values = plot.data[part];
  const [least, most] = plot.series[0].idxs ?? [0, -1];
  const found = [];
  let begun = null;
  let last = null;
  const end = () => {
    if (last !== null && plot.valToPos(times[last], "x") - plot.valToPos(times[begun], "x") < SHORT) found.push(last);
    begun = null;
    last = null;
  };
  for (let at = least; at <= most; at += 1) {
    if (values[at] === null) end();
    else if (values[at] !== undefined) [begun, last] = [begun ?? at, at];
  }
  end();
  return found;
}

// The place of a value as near to this one as can be; lines of one plot have values at other times.
function nearest(values, at) {
  if (!values || at === null || at === undefined) return null;
  for (let away = 0; away < NEAR; away += 1) {
    for (const near of [at - away, at + away]) {
      if (values[near] !== undefined && values[near] !== null) return near;
    }
  }
  return null;
}
