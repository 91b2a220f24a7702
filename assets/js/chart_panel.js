// A plot with its title and its legend: what each line is called, and its figures.

import { shorten } from "./chart_lines.js";
import { element } from "./element.js";
import { Plot, dash, moment } from "./plot.js";
import { number } from "./words.js";

const NOTHING = "No data in this time.";

export class Panel {
  // `on`: as of a plot; `small` for the overview, `alone` when it is the only one of its chart.
  constructor(group, window, { on = {}, sync = null, small = false, alone = false } = {}) {
    this.group = group;
    this.small = small;
    this.box = element("section", small ? "pin-panel" : "card mb-3 chart-panel");
    this.box.dataset.panel = group.key;
    const head = element("div", small ? "small text-secondary px-2" : "card-header py-2");
    const title = element(small ? "span" : "h2", small ? "" : "card-title", group.title);
    this.hover = element("span", "ms-auto small text-secondary", "");
    head.append(title);
    if (!small) head.append(this.hover);
    // On the overview the title of the chart says it.
    head.hidden = small && alone;
    this.canvas = element("div", small ? "chart chart-pinned" : "chart chart-many");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${group.title} over time`);
    this.empty = element("div", `${small ? "chart-pinned" : "chart-many"} chart-empty text-secondary`, NOTHING);
    const body = element("div", "p-2");
    body.append(this.canvas, this.empty);
    this.box.append(head, body, small ? this.shortLegend() : this.legend());
    this.window = window;
    this.plot = new Plot(this.canvas, {
      sync,
      small,
      on: { ...on, cursor: small ? undefined : (at, values, time) => this.pointed(at, values, time) },
    });
  }

  // When it is in the document, where it has a size.
  draw() {
    this.drawn = this.group.lines.some((line) => line.times.length > 0);
    this.canvas.hidden = !this.drawn;
    this.empty.hidden = this.drawn;
    if (this.drawn) this.plot.show(this.group.lines, ...this.window);
    this.figures();
  }

  update() {
    if (this.drawn) this.plot.update();
    else this.draw();
    this.figures();
  }

  slide(from, to) {
    this.window = [from, to];
    if (this.drawn) this.plot.slide(from, to);
  }

  destroy() {
    this.plot.destroy();
    this.box.remove();
  }

  legend() {
    const frame = element("div", "table-responsive");
    const table = element("table", "table table-sm card-table chart-legend");
    const head = table.createTHead().insertRow();
    for (const [word, classes] of [
      ["Series", ""],
      ["Here", "text-end chart-here"],
      ["Last", "text-end"],
      ["Min", "text-end"],
      ["Mean", "text-end"],
      ["Max", "text-end"],
    ]) {
      head.append(element("th", classes, word));
    }
    const body = table.createTBody();
    this.rows = this.group.lines.map((line) => {
      const row = body.insertRow();
      row.dataset.series = line.key;
      const name = row.insertCell();
      const toggle = element("button", "chart-toggle");
      toggle.type = "button";
      toggle.setAttribute("aria-pressed", String(!line.hidden));
      toggle.title = "Show or hide";
      const device = element("span", "fw-medium text-break", line.endpoint);
      toggle.append(swatch(line), device, element("span", "text-secondary", line.what));
      toggle.addEventListener("click", () => {
        line.hidden = !line.hidden;
        toggle.setAttribute("aria-pressed", String(!line.hidden));
        if (this.drawn) this.plot.toggle(line);
      });
      name.append(toggle);
      if (line.error || line.times.length === 0) {
        name.append(element("div", "small text-secondary chart-missing", line.error || NOTHING));
      }
      return ["here", "last", "min", "mean", "max"].map((figure) => {
        const cell = row.insertCell();
        cell.className = `text-end text-nowrap${figure === "here" ? " chart-here" : ""}`;
        cell.dataset.figure = figure;
        return cell;
      });
    });
    frame.append(table);
    return frame;
  }

  shortLegend() {
    const list = element("ul", "pin-legend");
    this.rows = this.group.lines.map((line) => {
      const item = element("li");
      const last = element("b");
      item.append(swatch(line), element("span", "text-truncate", line.endpoint), last);
      list.append(item);
      return [null, last];
    });
    return list;
  }

  figures() {
    this.group.lines.forEach((line, at) => {
      const { sum } = line;
      const all = [null, sum?.last, sum?.min, sum?.mean, sum?.max];
      this.rows[at].forEach((cell, figure) => {
        if (figure > 0) cell.textContent = write(all[figure], line);
        if (figure > 0 && sum) cell.closest("tr")?.querySelector(".chart-missing")?.remove();
      });
    });
  }

  pointed(at, values, time) {
    this.hover.textContent = at === null ? "" : moment(time ?? at);
    this.group.lines.forEach((line, place) => {
      this.rows[place][0].textContent = at === null || line.hidden ? "" : write(values[place], line);
    });
  }
}

// What is reckoned of values, a mean, has as many digits as they have.
export function write(value, line) {
  if (value === undefined || value === null) return "–";
  if (line.stepped && (value === 0 || value === 1)) return String(value === 1);
  if (line.stepped) return number(shorten(value));
  return `${number(shorten(value).toFixed(line.digits))} ${line.units}`.trim();
}

// A piece of the line, drawn so that it shows without colours too.
function swatch(line) {
  const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  box.setAttribute("class", `chart-swatch series-${(line.index % 8) + 1}`);
  box.setAttribute("viewBox", "0 0 20 6");
  box.setAttribute("aria-hidden", "true");
  const stroke = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 20, y1: 3, y2: 3 })) stroke.setAttribute(name, value);
  stroke.setAttribute("stroke-dasharray", dash(line.index).join(" "));
  box.append(stroke);
  return box;
}
