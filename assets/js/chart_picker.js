// The field in which a series is looked for: the server searches, the arrow keys choose, Enter adds.

import { api } from "./api.js";
import { element } from "./element.js";
import { units } from "./words.js";

const PAUSE = 200;
const HITS = 20;

export class Picker {
  // `add(what)`: `{series}` or `{tagged}`, as the address says it.
  constructor(add) {
    this.add = add;
    this.field = document.getElementById("series-search");
    this.list = document.getElementById("series-found");
    this.scope = document.getElementById("series-scope");
    this.tag = document.getElementById("series-tag");
    this.hits = [];
    this.at = -1;
    this.request = 0;
    this.field.addEventListener("input", () => this.soon());
    this.field.addEventListener("focus", () => this.soon());
    this.field.addEventListener("keydown", (event) => this.pressed(event));
    this.field.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.scope.addEventListener("change", () => {
      this.tag.hidden = this.scope.value !== "tag";
      if (!this.tag.hidden) this.tag.focus();
    });
    // A press must not take the focus from the field before it counts.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.choose(Number(item.dataset.at));
    });
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(), PAUSE);
    this.waits = true;
  }

  async search() {
    clearTimeout(this.timer);
    const request = ++this.request;
    const query = new URLSearchParams({ search: this.field.value.trim(), limit: String(HITS) });
    let answer;
    try {
      answer = await api("GET", `/series/search?${query}`);
    } catch (error) {
      answer = { items: [], more: false, error: error.message };
    }
    if (request !== this.request || document.activeElement !== this.field) return;
    this.hits = answer.items;
    this.at = this.hits.length > 0 ? 0 : -1;
    this.waits = false;
    this.show(answer);
  }

  show({ more, error }) {
    this.list.replaceChildren(
      ...this.hits.map((hit, at) => {
        const item = element("li", "dropdown-item series-hit");
        item.setAttribute("role", "option");
        item.id = `series-hit-${at}`;
        item.dataset.at = String(at);
        const what = [hit.object, hit.name].filter(Boolean).join(": ") || "not in the models";
        item.append(
          element("span", "fw-medium text-break", hit.endpoint),
          element("span", "text-secondary", `${what}${hit.units ? ` in ${units(hit.units)}` : ""}`),
          element("code", "ms-auto", hit.path),
        );
        return item;
      }),
    );
    if (this.hits.length === 0) {
      this.list.append(remark("dropdown-item", error || "No device has reported a number like this."));
    } else if (more) {
      this.list.append(remark("dropdown-item small", "There are more: type more of a name."));
    }
    this.list.classList.add("show");
    this.field.setAttribute("aria-expanded", "true");
    this.mark();
  }

  mark() {
    for (const item of this.list.querySelectorAll("[role=option]")) {
      const on = Number(item.dataset.at) === this.at;
      item.classList.toggle("active", on);
      item.setAttribute("aria-selected", String(on));
      if (on) item.scrollIntoView({ block: "nearest" });
    }
    if (this.at >= 0) this.field.setAttribute("aria-activedescendant", `series-hit-${this.at}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  pressed(event) {
    const open = this.list.classList.contains("show");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) {
        this.search();
        return;
      }
      const last = this.hits.length - 1;
      this.at = Math.min(last, Math.max(0, this.at + (event.key === "ArrowDown" ? 1 : -1)));
      this.mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.enter(open);
    } else if (event.key === "Escape" && open) {
      event.stopPropagation();
      this.close();
    }
  }

  // Who types faster than the server answers means the first of what it will find.
  async enter(open) {
    if (this.waits && this.field.value.trim() !== "") await this.search();
    else if (!open) return;
    if (this.at >= 0) this.choose(this.at);
  }

  choose(at) {
    const hit = this.hits[at];
    if (!hit) return;
    const { value } = this.scope;
    const tag = this.tag.value.trim();
    if (value === "tag" && tag === "") {
      this.tag.focus();
      return;
    }
    if (value === "device") this.add({ series: `${hit.path}@${hit.endpoint}` });
    else this.add({ tagged: `${hit.path}@${value === "tag" ? tag : ""}` });
    this.field.value = "";
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.request += 1;
    this.waits = false;
    this.at = -1;
    this.list.replaceChildren();
    this.list.classList.remove("show");
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
  }
}

// What is said in the list and cannot be chosen.
function remark(classes, text) {
  const item = element("li", `${classes} text-secondary pe-none`, text);
  item.setAttribute("role", "option");
  item.setAttribute("aria-disabled", "true");
  return item;
}
