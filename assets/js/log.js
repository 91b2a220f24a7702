// The log of a device: the newest lines, live, looked through and held still.

import { api } from "./api.js";
import { makeTime } from "./time.js";

const SHOWN = 500;
const WAIT_MS = 300;
const IMPORTANCE = ["err", "wrn", "inf", "dbg"];
const COLOURS = { err: "bg-red-lt", wrn: "bg-yellow-lt", inf: "bg-azure-lt", dbg: "bg-secondary-lt" };

export class DeviceLog {
  constructor(endpoint) {
    this.base = `/endpoints/${encodeURIComponent(endpoint)}/logs`;
    this.card = document.getElementById("log-card");
    this.list = document.getElementById("log-lines");
    this.search = document.getElementById("log-search");
    this.level = document.getElementById("log-level");
    this.pause = document.getElementById("log-pause");
    this.asked = 0;
    this.missed = 0;
    let timer = null;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.load(), WAIT_MS);
    });
    this.level.addEventListener("change", () => this.load());
    this.pause.addEventListener("click", () => this.hold(this.pause.getAttribute("aria-pressed") !== "true"));
  }

  // Messages of the live socket, oldest first.
  take(messages) {
    this.card.hidden = false;
    if (this.held()) {
      this.missed += messages.length;
      this.showPause();
      return;
    }
    const fitting = messages.filter((line) => this.fits(line));
    if (fitting.length === 0) return;
    this.list.querySelector("[data-empty]")?.remove();
    this.list.prepend(...fitting.map(makeLine).reverse());
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild.remove();
  }

  // What is stored; an answer that was overtaken by another question does not count.
  async load() {
    const question = ++this.asked;
    const parameters = new URLSearchParams({ limit: "100" });
    if (this.search.value) parameters.set("search", this.search.value);
    if (this.level.value) parameters.set("level", this.level.value);
    let page;
    try {
      page = await api("GET", `${this.base}?${parameters}`);
    } catch {
      return;
    }
    if (question !== this.asked) return;
    if (page.items.length > 0) this.card.hidden = false;
    this.list.replaceChildren(...page.items.map(makeLine));
    if (page.items.length === 0) this.list.append(nothing());
  }

  held() {
    return this.pause.getAttribute("aria-pressed") === "true";
  }

  hold(on) {
    this.pause.setAttribute("aria-pressed", String(on));
    const catchUp = !on && this.missed > 0;
    this.missed = 0;
    this.showPause();
    if (catchUp) this.load();
  }

  showPause() {
    const more = this.missed > 0 ? ` (${this.missed} new)` : "";
    this.pause.textContent = this.held() ? `Go on${more}` : "Pause";
  }

  fits(line) {
    const least = IMPORTANCE.indexOf(this.level.value);
    const important = least < 0 || (line.level && IMPORTANCE.indexOf(line.level) <= least);
    return important && line.text.toLowerCase().includes(this.search.value.toLowerCase());
  }
}

// Only ever as text: what devices say is no markup.
function makeLine({ time, level, text, path }) {
  const line = document.createElement("li");
  line.className = "log-line";
  line.title = path;
  const when = makeTime(time);
  when.className = "text-secondary";
  const word = document.createElement("span");
  word.className = `badge ${COLOURS[level] || "bg-transparent"}`;
  word.textContent = level || "";
  const said = document.createElement("span");
  said.className = "log-text";
  said.textContent = text;
  line.append(when, " ", word, " ", said);
  return line;
}

function nothing() {
  const line = document.createElement("li");
  line.dataset.empty = "";
  line.className = "text-secondary";
  line.textContent = "No such lines.";
  return line;
}
