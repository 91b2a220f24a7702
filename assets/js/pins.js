// Charts on the overview: small, live, and in the order that people have given them.

import { api } from "./api.js";
import { Panel } from "./chart_panel.js";
import { loadLines } from "./chart_lines.js";
import { View, groups } from "./chart_view.js";
import { element } from "./element.js";
import { toast } from "./toast.js";

// So many plots of one chart at most; its page has the others.
const PANELS = 2;
const RELOAD_MS = 60000;
const POINTS = 300;

class Pin {
  constructor(card) {
    this.card = card;
    this.body = card.querySelector(".pin-body");
    this.view = new View(card.dataset.view);
    this.panels = [];
    this.lines = [];
    this.load();
  }

  async load() {
    this.loaded = Date.now();
    let answer;
    try {
      answer = await loadLines(this.view, ...this.view.asked(), POINTS);
    } catch (error) {
      this.say(error.message);
      return;
    }
    this.panels.forEach((panel) => panel.destroy());
    this.lines = answer.lines;
    const all = groups(this.lines, this.view.panels);
    this.panels = all.slice(0, PANELS).map((group) => new Panel(group, this.view.window(), { small: true, alone: all.length === 1 }));
    this.body.replaceChildren(...this.panels.map((panel) => panel.box));
    this.panels.forEach((panel) => panel.draw());
    if (all.length === 0) this.say("No device has these resources now.");
    const left = all.length - PANELS;
    if (left > 0) this.body.append(element("div", "small text-secondary px-2 pb-2", `and ${left} more`));
  }

  say(text) {
    this.panels.forEach((panel) => panel.destroy());
    this.panels = [];
    this.body.replaceChildren(element("div", "chart-pinned chart-empty text-secondary", text));
  }

  slide() {
    if (!this.view.follows) return;
    this.panels.forEach((panel) => panel.slide(...this.view.window()));
    if (Date.now() - this.loaded > RELOAD_MS) this.load();
  }

  take(messages) {
    if (!this.view.follows) return;
    let changed = false;
    for (const { path, endpoint, time, value } of messages) {
      const line = this.lines.find((one) => one.path === path && one.endpoint === endpoint);
      if (line?.add(time, value)) changed = true;
    }
    if (changed) this.panels.forEach((panel) => panel.update());
  }
}

const box = document.getElementById("pins");
const pins = [...box.querySelectorAll("[data-pin]")].map((card) => new Pin(card));

setInterval(() => {
  if (!document.hidden) pins.forEach((pin) => pin.slide());
}, 1000);

document.addEventListener("live", ({ detail }) => {
  const values = detail.filter((message) => message.kind === "resource");
  if (values.length > 0) pins.forEach((pin) => pin.take(values));
});

box.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-pin-action]");
  if (!button) return;
  const card = button.closest("[data-pin]");
  const { pin: id, title } = card.dataset;
  button.closest("details").open = false;
  try {
    await act(button.dataset.pinAction, id, title, card);
  } catch (error) {
    toast("bad", "That did not work", error.message);
  }
});

document.addEventListener("click", (event) => {
  for (const menu of box.querySelectorAll("details[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

async function act(action, id, title, card) {
  const column = card.parentElement;
  const place = [...box.children].indexOf(column);
  if (action === "remove") {
    if (!window.confirm(`Take ${title} off the overview, for everybody?`)) return;
    await api("DELETE", `/pinned-charts/${id}`);
    column.remove();
  } else if (action === "rename") {
    const given = window.prompt("Title", title);
    if (given === null || given.trim() === "") return;
    const changed = await api("PATCH", `/pinned-charts/${id}`, { title: given });
    card.dataset.title = changed.title;
    card.querySelector(".card-title a").textContent = changed.title;
  } else {
    const to = action === "forward" ? Math.max(0, place - 1) : place + 1;
    await api("PATCH", `/pinned-charts/${id}`, { place: to });
    if (action === "forward" && column.previousElementSibling) column.previousElementSibling.before(column);
    if (action === "back" && column.nextElementSibling) column.nextElementSibling.after(column);
  }
}
