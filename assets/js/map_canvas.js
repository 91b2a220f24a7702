// The canvas of the map: moved and zoomed by mouse, touch and keys; devices that would lie on one another are shown as
// one circle with their number.

import { css } from "./plot.js";
import { degrees, drawGrid, drawLand, drawScale, metres, place } from "./map_world.js";

// So near one another devices become one circle, in pixels.
const CELL = 54;
const DOT = 7;
// Circles may touch.
const OVERLAP = 2;
// How near a press must be.
const REACH = 12;
// The world's width in pixels, when it is closest: a pixel is less than half a metre.
const CLOSEST = 256 * 2 ** 19;
// A fit comes no closer than this.
const FIT_CLOSEST = 256 * 2 ** 13;
const KEY_STEP = 80;
const ZOOM_STEP = 1.6;
// So many devices at most have their names beside them.
const NAMED = 30;

const STATES = ["registered", "awake", "asleep", "offline"];

export class MapCanvas {
  // `choose(name)`: a device was pressed.
  constructor(canvas, choose) {
    this.canvas = canvas;
    this.choose = choose;
    this.land = [];
    this.devices = [];
    this.chosen = null;
    this.trail = [];
    this.middle = [0.5, 0.4];
    this.scale = 0;
    this.pointers = new Map();
    this.clusters = [];
    new ResizeObserver(() => this.resize()).observe(canvas);
    window.addEventListener("theme", () => this.soon());
    this.resize();
    this.listen();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0) return;
    [this.width, this.height] = [width, height];
    [this.canvas.width, this.canvas.height] = [width * ratio, height * ratio];
    this.scale = Math.max(this.least(), this.scale || width);
    this.soon();
  }

  // The world fills the canvas at least from side to side or from top to bottom.
  least() {
    return Math.max(this.width, this.height) * 0.9;
  }

  view() {
    const [left, top] = [this.middle[0] - this.width / this.scale / 2, this.middle[1] - this.height / this.scale / 2];
    return { left, top, scale: this.scale, width: this.width, height: this.height };
  }

  soon() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  // Shows all of these places.
  fit(devices = this.devices) {
    if (devices.length === 0) return;
    const xs = devices.map(({ at }) => at[0]);
    const ys = devices.map(({ at }) => at[1]);
    const least = (all) => all.reduce((one, two) => Math.min(one, two));
    const most = (all) => all.reduce((one, two) => Math.max(one, two));
    const [x, right, y, bottom] = [least(xs), most(xs), least(ys), most(ys)];
    this.middle = [(x + right) / 2, (y + bottom) / 2];
    const room = (pixels, span) => (pixels - 120) / Math.max(span, 1e-9);
    const scale = Math.min(room(this.width, right - x), room(this.height, bottom - y), FIT_CLOSEST);
    this.scale = Math.max(this.least(), scale);
    this.keepWithin();
  }

  show(device) {
    this.middle = [...device.at];
    this.scale = Math.max(this.scale, FIT_CLOSEST * 2);
    this.keepWithin();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const { left, top } = this.view();
    const [worldX, worldY] = [left + x / this.scale, top + y / this.scale];
    this.scale = Math.min(CLOSEST, Math.max(this.least(), this.scale * factor));
    this.middle = [worldX - (x - this.width / 2) / this.scale, worldY - (y - this.height / 2) / this.scale];
    this.keepWithin();
  }

  pan(x, y) {
    this.middle = [this.middle[0] - x / this.scale, this.middle[1] - y / this.scale];
    this.keepWithin();
  }

  keepWithin() {
    this.middle[0] = ((this.middle[0] % 1) + 1) % 1;
    const half = Math.min(0.5, this.height / this.scale / 2);
    this.middle[1] = Math.min(1 - half, Math.max(half, this.middle[1]));
    this.soon();
  }

  // Where a place of the world is on the canvas, as near to its middle as can be.
  on([x, y], view) {
    const turn = Math.round(this.middle[0] - x);
    return [(x + turn - view.left) * view.scale, (y - view.top) * view.scale];
  }

  draw() {
    if (!this.width) return;
    const pen = this.canvas.getContext("2d");
    const ratio = this.canvas.width / this.width;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const view = this.view();
    const ink = { grid: css("--map-grid"), text: css("--chart-text") };
    pen.fillStyle = css("--map-sea");
    pen.fillRect(0, 0, this.width, this.height);
    pen.fillStyle = css("--map-land");
    pen.strokeStyle = css("--map-coast");
    pen.lineWidth = 1;
    drawLand(pen, this.land, view);
    drawGrid(pen, view, ink);
    drawScale(pen, view, ink);
    [this.paper, this.ink, this.mark] = [css("--chart-paper"), css("--chart-ink"), css("--series-2")];
    this.tints = Object.fromEntries(STATES.map((state) => [state, css(`--map-${state}`)]));
    this.drawTrail(pen, view);
    this.gather(view);
    for (const cluster of this.clusters) this.drawCluster(pen, cluster);
    this.drawChosen(pen, view);
  }

  gather(view) {
    const cells = new Map();
    for (const device of this.devices) {
      const [x, y] = this.on(device.at, view);
      if (x < -CELL || y < -CELL || x > this.width + CELL || y > this.height + CELL) continue;
      // Cells lie still on the world, so that circles do not change while the map is moved.
      const key = `${Math.floor((device.at[0] * view.scale) / CELL)},${Math.floor((device.at[1] * view.scale) / CELL)}`;
      let cell = cells.get(key);
      if (!cell) cells.set(key, (cell = { x: 0, y: 0, devices: [], counts: {} }));
      cell.x += x;
      cell.y += y;
      cell.devices.push(device);
      cell.counts[device.state] = (cell.counts[device.state] || 0) + 1;
    }
    for (const cell of cells.values()) {
      cell.x /= cell.devices.length;
      cell.y /= cell.devices.length;
      cell.size = sizeOf(cell);
    }
    this.clusters = [];
    // Circles on both sides of a border between cells may lie on one another.
    for (const cell of [...cells.values()].sort((one, two) => two.devices.length - one.devices.length)) {
      const under = this.clusters.find(
        (one) => Math.hypot(one.x - cell.x, one.y - cell.y) < one.size + cell.size - OVERLAP,
      );
      if (under) join(under, cell);
      else this.clusters.push(cell);
    }
  }

  drawCluster(pen, { x, y, size, devices, counts }) {
    pen.lineWidth = 2;
    pen.strokeStyle = this.paper;
    if (devices.length === 1) {
      pen.fillStyle = this.tints[devices[0].state];
      circle(pen, x, y, size);
      pen.fill();
      pen.stroke();
      if (this.clusters.length <= NAMED) {
        pen.fillStyle = this.ink;
        pen.fillText(devices[0].name, x + size + 4, y + 4);
      }
      return;
    }
    pen.fillStyle = this.paper;
    circle(pen, x, y, size);
    pen.fill();
    // Round it, the share of each state.
    let from = -Math.PI / 2;
    pen.lineWidth = 4;
    for (const state of STATES) {
      if (!counts[state]) continue;
      const to = from + (counts[state] / devices.length) * 2 * Math.PI;
      pen.strokeStyle = this.tints[state];
      pen.beginPath();
      pen.arc(x, y, size, from, to);
      pen.stroke();
      from = to;
    }
    pen.fillStyle = this.ink;
    pen.textAlign = "center";
    const count = devices.length;
    pen.fillText(count < 10000 ? String(count) : `${Math.floor(count / 1000)}k`, x, y + 4);
    pen.textAlign = "start";
  }

  drawTrail(pen, view) {
    if (!this.chosen || this.trail.length < 2) return;
    pen.strokeStyle = this.mark;
    pen.lineWidth = 2;
    pen.beginPath();
    this.trail.forEach((at, number) => {
      const [x, y] = this.on(at, view);
      if (number === 0) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    });
    pen.stroke();
  }

  drawChosen(pen, view) {
    const { chosen } = this;
    if (!chosen?.at) return;
    const [x, y] = this.on(chosen.at, view);
    if (chosen.radius > 0) {
      const pixels = chosen.radius / metres(chosen.latitude, view.scale);
      pen.fillStyle = `${this.mark}22`;
      pen.strokeStyle = this.mark;
      pen.lineWidth = 1;
      circle(pen, x, y, Math.min(pixels, 1e5));
      pen.fill();
      pen.stroke();
    }
    pen.fillStyle = this.tints[chosen.state];
    pen.strokeStyle = this.mark;
    pen.lineWidth = 3;
    circle(pen, x, y, DOT + 2);
    pen.fill();
    pen.stroke();
  }

  // ---- what the person does ----

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.moved = this.pointers.size > 1;
      this.begun = [event.offsetX, event.offsetY];
    });
    canvas.addEventListener("pointermove", (event) => this.pointerMoved(event));
    const end = (event) => {
      const was = this.pointers.delete(event.pointerId);
      if (was && event.type === "pointerup" && !this.moved) this.pressed(event.offsetX, event.offsetY);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("dblclick", (event) => this.zoom(ZOOM_STEP ** 2, event.offsetX, event.offsetY));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 33 : 1;
        const power = Math.max(-3, Math.min(3, (-event.deltaY * lines) / 120));
        this.zoom(1.25 ** power, event.offsetX, event.offsetY);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  pointerMoved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.canvas.classList.toggle("map-over", Boolean(this.nearest(event.offsetX, event.offsetY)));
      return;
    }
    const now = [event.offsetX, event.offsetY];
    if (Math.hypot(now[0] - this.begun[0], now[1] - this.begun[1]) > 4) this.moved = true;
    if (this.pointers.size === 1) {
      if (this.moved) this.pan(now[0] - before[0], now[1] - before[1]);
    } else {
      // Two fingers: what lies between them stays between them.
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      const [x, y] = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
      this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      if (apart(before) > 0) this.zoom(apart(now) / apart(before), x, y);
    }
    this.pointers.set(event.pointerId, now);
  }

  nearest(x, y) {
    let found = null;
    let least = Infinity;
    for (const cluster of this.clusters) {
      const away = Math.hypot(cluster.x - x, cluster.y - y) - cluster.size;
      if (away < Math.min(least, REACH)) [found, least] = [cluster, away];
    }
    return found;
  }

  pressed(x, y) {
    const cluster = this.nearest(x, y);
    if (!cluster) return;
    if (cluster.devices.length === 1 || this.scale >= CLOSEST) this.choose(cluster.devices[0].name);
    else {
      const before = this.scale;
      this.fit(cluster.devices);
      // Devices in one place do not come apart.
      if (this.scale < before * 1.2) {
        this.scale = before;
        this.zoom(4, x, y);
      }
    }
  }

  key(event) {
    const moves = {
      ArrowLeft: [KEY_STEP, 0],
      ArrowRight: [-KEY_STEP, 0],
      ArrowUp: [0, KEY_STEP],
      ArrowDown: [0, -KEY_STEP],
    };
    if (event.key in moves) this.pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(ZOOM_STEP);
    else if (event.key === "-") this.zoom(1 / ZOOM_STEP);
    else if (event.key === "0" || event.key === "Home") this.fit();
    else return;
    event.preventDefault();
  }

  // The middle of what is shown, for who cannot see it.
  where() {
    return degrees(...this.middle);
  }
}

// More devices make a larger circle, though not much.
function sizeOf({ devices }) {
  return devices.length === 1 ? DOT : Math.min(24, 11 + 3 * Math.log10(devices.length) ** 1.5);
}

function join(one, other) {
  const [here, there] = [one.devices.length, other.devices.length];
  one.x = (one.x * here + other.x * there) / (here + there);
  one.y = (one.y * here + other.y * there) / (here + there);
  for (const device of other.devices) one.devices.push(device);
  for (const [state, count] of Object.entries(other.counts)) one.counts[state] = (one.counts[state] || 0) + count;
  one.size = sizeOf(one);
}

function circle(pen, x, y, size) {
  pen.beginPath();
  pen.arc(x, y, size, 0, 2 * Math.PI);
}

export { place, ZOOM_STEP };
