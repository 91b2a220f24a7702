// The charts of the overview and of a device; plot.js draws them.

import { loadLines } from "./chart_lines.js";
import { write } from "./chart_panel.js";
import { DEFAULT_RANGE, RANGES, View } from "./chart_view.js";
import { openPin } from "./pin.js";
import { Plot, axis, css, moment } from "./plot.js";

// The sums of what has arrived meanwhile are fetched anew this often.
const RELOAD_MS = 60000;

const line = () => css("--tblr-primary", "#066fd1");
const fill = () => css("--chart-fill", "rgba(6, 111, 209, 0.1)");

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

// The chart of the device page: one resource, live values at its end, zoom by dragging. The address holds what is
// shown.
export class HistoryChart {
  constructor(endpoint) {
    this.endpoint = endpoint;
    this.box = document.getElementById("chart");
    this.select = document.getElementById("chart-path");
    this.empty = document.getElementById("chart-empty");
    this.reset = document.getElementById("chart-reset");
    this.hover = document.getElementById("chart-hover");
    this.hint = this.hover.textContent;
    this.view = new View();
    this.request = 0;
    this.line = null;
    this.plot = new Plot(this.box, {
      on: {
        zoom: (from, to) => this.zoom(from, to),
        unzoom: () => this.unzoom(),
        cursor: (at, [value], time) => this.pointed(at, value, time),
      },
    });

    const address = new URLSearchParams(location.search);
    this.view.range = address.get("range") in RANGES ? address.get("range") : DEFAULT_RANGE;
    const wanted = address.get("chart");
    if (wanted && this.option(wanted)) this.select.value = wanted;

    this.select.addEventListener("change", () => this.load());
    for (const button of this.buttons()) {
      button.addEventListener("click", () => {
        Object.assign(this.view, { range: button.dataset.range, fixed: null });
        this.load();
      });
    }
    this.reset.addEventListener("click", () => this.unzoom());
    document.getElementById("chart-pin")?.addEventListener("click", () => {
      openPin(this.line ? `${this.line.what} of ${endpoint}` : endpoint, this.view.query());
    });
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
  show(path, label) {
    if (!this.option(path)) this.select.add(new Option(label, path));
    this.select.value = path;
    this.load();
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const card = document.getElementById("chart-card");
    card.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  }

  async load() {
    const { view } = this;
    document.getElementById("chart-card").hidden = false;
    for (const button of this.buttons()) {
      const on = !view.fixed && button.dataset.range === view.range;
      button.classList.toggle("active", on);
      button.setAttribute("aria-pressed", String(on));
    }
    this.reset.hidden = !view.fixed;
    const path = this.select.value;
    const address = new URL(location.href);
    address.searchParams.set("chart", path);
    address.searchParams.set("range", view.range);
    history.replaceState(null, "", address);
    view.series = [`${path}@${this.endpoint}`];
    document.getElementById("chart-open").href = `/charts?${view.query()}`;

    const request = ++this.request;
    this.loaded = Date.now();
    let failure = "";
    let found = null;
    try {
      const width = Math.max(200, this.box.parentElement.clientWidth);
      [found] = (await loadLines(view, ...view.asked(), width)).lines;
      failure = found?.error || "";
    } catch (error) {
      failure = error.message;
    }
    // An answer that another choice has overtaken.
    if (request !== this.request) return;
    this.line = found;
    this.draw();
    this.empty.textContent = failure || "No values in this time.";
  }

  draw() {
    const drawn = this.line !== null && this.line !== undefined && this.line.times.length > 0;
    this.box.hidden = !drawn;
    this.empty.hidden = drawn;
    if (drawn) this.plot.show([this.line], ...this.view.window());
    this.sum();
  }

  slide() {
    if (document.hidden || !this.view.follows || this.box.hidden) return;
    this.plot.slide(...this.view.window());
    if (Date.now() - this.loaded > RELOAD_MS) this.load();
  }

  zoom(from, to) {
    this.view.show(from, to);
    this.load();
  }

  unzoom() {
    if (!this.view.fixed) return;
    this.view.fixed = null;
    this.load();
  }

  // A value that has just arrived.
  add(path, time, value) {
    const { line: shown, view } = this;
    if (!shown || path !== shown.path || !view.follows || !shown.add(time, value)) return;
    shown.forget(view.window()[0]);
    if (this.box.hidden) {
      this.draw();
      return;
    }
    this.plot.update();
    this.plot.slide(...view.window());
    this.sum();
  }

  sum() {
    for (const figure of ["last", "min", "max", "mean"]) {
      const value = this.line?.sum?.[figure];
      document.getElementById(`chart-${figure}`).textContent = this.line ? write(value, this.line) : "–";
    }
  }

  // The value below the cursor.
  pointed(at, value, time) {
    const known = at !== null && value !== undefined;
    this.hover.textContent = known ? `${moment(time ?? at)}: ${write(value, this.line)}` : this.hint;
  }
}
