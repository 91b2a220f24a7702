// The page Charts: series of many devices under one time. The address holds the whole view, so a link shares it and
// Back undoes a step.

import { Picker } from "./chart_picker.js";
import { Panel } from "./chart_panel.js";
import { picture, save } from "./chart_png.js";
import { loadLines } from "./chart_lines.js";
import { RANGES, View, groups } from "./chart_view.js";
import { element } from "./element.js";
import { live } from "./live.js";
import { openPin } from "./pin.js";
import { toast } from "./toast.js";

// Values that arrive are added; what the server makes of all of them is fetched anew this often.
const RELOAD_LEAST_MS = 30000;
const RELOAD_PARTS = 100;
const SYNC = "charts";

const page = document.getElementById("charts");
const maxSeries = Number(page.dataset.maxSeries);
// Who listens to more devices than this listens to all of them.
const maxTopics = Number(page.dataset.maxTopics);
const at = (id) => document.getElementById(id);
let view = new View(location.search);
let panels = [];
let lines = [];
let request = 0;
let loaded = 0;
let topics = [];
let feed = null;

new Picker(add);
control();
load();
setInterval(tick, 1000);

// ---- what is shown ----

async function load() {
  showControls();
  const mine = ++request;
  if (view.empty) {
    show([], "");
    return;
  }
  const [from, to] = view.asked();
  const width = at("panels").clientWidth;
  try {
    const answer = await loadLines(view, from, to, width);
    // An answer that another choice has overtaken.
    if (mine !== request) return;
    loaded = Date.now();
    const cut = `A chart has at most ${answer.limit} series: the first ones by name are shown, there are more.`;
    show(answer.lines, answer.cut ? cut : "");
  } catch (error) {
    if (mine !== request) return;
    show(lines, error.message);
  }
}

function show(fresh, notice) {
  const hidden = new Set(lines.filter((line) => line.hidden).map((line) => line.key));
  lines = fresh;
  for (const line of lines) line.hidden = hidden.has(line.key);
  panels.forEach((panel) => panel.destroy());
  const on = { zoom: (from, to) => go((next) => next.show(from, to), true), unzoom };
  panels = groups(lines, view.panels).map((group) => new Panel(group, view.window(), { on, sync: SYNC }));
  at("panels").append(...panels.map((panel) => panel.box));
  panels.forEach((panel) => panel.draw());
  at("charts-empty").hidden = !view.empty;
  const nobody = !view.empty && lines.length === 0 && !notice;
  at("charts-notice").hidden = !notice && !nobody;
  at("charts-notice").textContent = nobody ? "No device has this resource and this tag." : notice;
  chips();
  listen();
}

function tick() {
  if (document.hidden || !view.follows || view.empty) return;
  const [from, to] = view.window();
  panels.forEach((panel) => panel.slide(from, to));
  const every = Math.max(RELOAD_LEAST_MS, (RANGES[view.range] * 1000) / RELOAD_PARTS);
  if (loaded > 0 && Date.now() - loaded > every && !dragging()) {
    loaded = Date.now();
    load();
  }
}

// A chart that is made anew would drop what is being dragged.
function dragging() {
  return panels.some((panel) => panel.plot.plot?.select.width > 0);
}

// ---- what arrives ----

function listen() {
  let devices = [...new Set(lines.map((line) => `endpoint:${line.endpoint}`))];
  if (devices.length > maxTopics) devices = ["fleet"];
  if (devices.length === 0 || devices.join() === topics.join()) return;
  topics.splice(0, topics.length, ...devices);
  if (feed) feed.again();
  else feed = live(topics, take, load);
}

function take(messages) {
  if (!view.follows) return;
  const changed = new Set();
  const [from] = view.window();
  for (const message of messages) {
    if (message.kind !== "resource") continue;
    const key = `${message.path}@${message.endpoint}`;
    for (const line of lines) {
      if (line.key !== key || !line.add(message.time, message.value)) continue;
      line.forget(from);
      changed.add(line);
    }
  }
  for (const panel of panels) {
    if (panel.group.lines.some((line) => changed.has(line))) panel.update();
  }
}

// ---- what the person does ----

// Changes the view; Back undoes it.
function go(change, zoomed = false) {
  const next = view.copy();
  change(next);
  view = next;
  history.pushState({ zoomed }, "", `${location.pathname}?${view.query()}`);
  load();
}

function unzoom() {
  if (history.state?.zoomed) {
    history.back();
    return;
  }
  const [from, to] = view.window();
  const half = (to - from) / 2;
  go((next) => next.show(from - half, to + half));
}

function add({ series, tagged }) {
  if (view.series.length + view.tagged.length >= maxSeries) {
    toast("bad", "Not added", `A chart has at most ${maxSeries} series.`);
    return;
  }
  go((next) => {
    if (series && !next.series.includes(series)) next.series.push(series);
    if (tagged && !next.tagged.includes(tagged)) next.tagged.push(tagged);
  });
}

function move(parts) {
  const [from, to] = view.window();
  const by = (to - from) * parts;
  go((next) => next.show(from + by, to + by));
}

function scale(factor) {
  const [from, to] = view.window();
  const [middle, half] = [(from + to) / 2, ((to - from) * factor) / 2];
  go((next) => next.show(middle - half, middle + half), factor < 1);
}

function control() {
  addEventListener("popstate", () => {
    view = new View(location.search);
    load();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.target.closest("input, select, dialog")) return;
    if (history.state?.zoomed) history.back();
  });
  at("chart-range").addEventListener("change", ({ target }) => {
    if (target.value === "custom") {
      openCustom();
      return;
    }
    go((next) => Object.assign(next, { range: target.value, fixed: null, opened: Date.now() / 1000 }));
  });
  at("chart-back").addEventListener("click", () => move(-0.5));
  at("chart-forth").addEventListener("click", () => move(0.5));
  at("chart-out").addEventListener("click", () => scale(2));
  at("chart-in").addEventListener("click", () => scale(0.5));
  at("chart-follow").addEventListener("change", ({ target }) => {
    go((next) => Object.assign(next, { follow: target.checked, fixed: null, opened: Date.now() / 1000 }));
  });
  at("chart-panels").addEventListener("change", ({ target }) => go((next) => Object.assign(next, { panels: target.value })));
  at("chart-custom").addEventListener("submit", (event) => {
    event.preventDefault();
    const [from, to] = ["chart-from", "chart-to"].map((id) => new Date(at(id).value).getTime() / 1000);
    const wrong = Number.isNaN(from) || Number.isNaN(to) ? "Both times are needed." : from >= to && "The end is not behind the beginning.";
    at("chart-custom").querySelector("[role=alert]").textContent = wrong || "";
    if (!wrong) go((next) => next.show(from, to));
  });
  at("chart-png").addEventListener("click", () => {
    const canvas = picture(name(), view.window(), panels);
    save(canvas, `${fileName()}.png`);
  });
  at("chart-pin")?.addEventListener("click", () => {
    if (view.empty) toast("bad", "Nothing to pin", "Add a series first.");
    else openPin(name(), view.query());
  });
  at("chart-chips").addEventListener("click", (event) => {
    const button = event.target.closest("[data-remove]");
    if (!button) return;
    const { remove } = button.dataset;
    go((next) => {
      next.series = next.series.filter((one) => one !== remove);
      next.tagged = next.tagged.filter((one) => `#${one}` !== remove);
    });
  });
}

function showControls() {
  const [from, to] = view.window();
  at("chart-range").value = view.fixed ? "custom" : view.range;
  at("chart-follow").checked = view.follows;
  at("chart-panels").value = view.panels;
  at("chart-custom").hidden = !view.fixed;
  if (view.fixed) openCustom();
  const query = new URLSearchParams(view.query());
  for (const word of ["range", "follow", "panels"]) query.delete(word);
  query.set("from", new Date(from * 1000).toISOString());
  query.set("to", new Date(to * 1000).toISOString());
  at("chart-csv").href = `/api/v1/series.csv?${query}`;
  for (const id of ["chart-csv", "chart-png"]) at(id).hidden = view.empty;
}

function openCustom() {
  const [from, to] = view.window();
  at("chart-custom").hidden = false;
  at("chart-from").value = local(from);
  at("chart-to").value = local(to);
}

function local(seconds) {
  const date = new Date(seconds * 1000);
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

// Every part of the choice, to be removed.
function chips() {
  const named = view.series.map((series) => {
    const line = lines.find((one) => one.key === series);
    return [series, line ? `${line.endpoint} · ${line.what}` : series];
  });
  const tagged = view.tagged.map((one) => {
    const [path, tag] = [one.slice(0, one.indexOf("@")), one.slice(one.indexOf("@") + 1)];
    const what = lines.find((line) => line.path === path)?.what || path;
    return [`#${one}`, `${what} of ${tag ? `devices tagged ${tag}` : "every device"}`];
  });
  at("chart-chips").replaceChildren(
    ...[...named, ...tagged].map(([remove, text]) => {
      const chip = element("span", "badge badge-outline text-body chart-chip");
      const button = element("button", "btn-close");
      button.type = "button";
      button.dataset.remove = remove;
      button.setAttribute("aria-label", `Remove ${text}`);
      chip.append(element("span", "text-truncate", text), button);
      return chip;
    }),
  );
}

// What the chart may be called.
function name() {
  const whats = [...new Set(lines.map((line) => line.what))];
  const devices = new Set(lines.map((line) => line.endpoint));
  const of = devices.size === 1 ? [...devices][0] : `${devices.size} devices`;
  return `${whats.slice(0, 2).join(", ")}${whats.length > 2 ? " and more" : ""} of ${of}`;
}

function fileName() {
  return `chart-${new Date(view.window()[1] * 1000).toISOString().slice(0, 19).replaceAll(":", "-")}`;
}
