// Devices of the list that are chosen: one by one, a range with Shift, a page, or all that match the filter; and what
// is asked of them together.

import { api } from "./api.js";
import { complain } from "./mistakes.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

const bar = document.getElementById("selection");
const dialog = document.getElementById("bulk");

// A rollout takes up to so many names; more are told by a tag.
const MAX_NAMES = 64;

const TITLES = {
  read: ["Read", "Each device is asked for what is there now."],
  write: ["Write", "Each device is given this value."],
  execute: ["Execute", "Each device runs this resource."],
  observe: ["Observe", "Each device is asked to notify of this."],
  cancel_observe: ["Cancel observation", "Each device is asked not to notify of this any more."],
  tag: ["Tag", "Each device is given these tags beside those that it has."],
  untag: ["Untag", "These tags are taken away from each device."],
  update: ["Update firmware", "A rollout is for names or tags: these devices are given a tag first, which the rollout then chooses."],
  forget: ["Forget", "Each device is removed with all its data. One that is still there registers again."],
};

class Selection {
  constructor() {
    this.names = new Set();
    // All that match the filter, whatever is on the page.
    this.matching = false;
    this.last = null;
    document.addEventListener("click", (event) => {
      if (event.target.matches("[data-select-device]")) this.pick(event.target, event.shiftKey);
      if (event.target.id === "select-page") this.pickAll(event.target.checked);
    });
    document.getElementById("select-matching").addEventListener("click", () => this.pickMatching());
    document.getElementById("select-none").addEventListener("click", () => this.clear());
    document.addEventListener("refreshed", (event) => {
      if (event.target.id === "device-list") this.show();
    });
    this.show();
  }

  boxes() {
    return Array.from(document.querySelectorAll("[data-select-device]"));
  }

  static nameOf(box) {
    return box.closest("tr").dataset.endpoint;
  }

  pick(box, isRange) {
    const boxes = this.boxes();
    if (this.matching) {
      // From all of them to those of this page, without this one.
      this.matching = false;
      this.names = new Set(boxes.map(Selection.nameOf));
    }
    const from = boxes.findIndex((one) => Selection.nameOf(one) === this.last);
    const to = boxes.indexOf(box);
    const range = isRange && from >= 0 ? boxes.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
    for (const one of range) this.set(Selection.nameOf(one), box.checked);
    this.last = Selection.nameOf(box);
    this.show();
  }

  set(name, isChosen) {
    if (isChosen) this.names.add(name);
    else this.names.delete(name);
  }

  pickAll(isChosen) {
    this.matching = false;
    for (const box of this.boxes()) this.set(Selection.nameOf(box), isChosen);
    this.show();
  }

  pickMatching() {
    this.matching = true;
    this.names.clear();
    this.show();
  }

  clear() {
    this.matching = false;
    this.names.clear();
    this.show();
  }

  // So many match the filter, in words and as a number.
  get found() {
    const { count, more } = document.getElementById("device-list").dataset;
    return { many: Number(count), words: more === "true" ? `more than ${count}` : count };
  }

  get words() {
    if (this.matching) return `all ${this.found.words} that match`;
    return this.names.size === 1 ? "1 device" : `${this.names.size} devices`;
  }

  show() {
    const boxes = this.boxes();
    let chosen = 0;
    for (const box of boxes) {
      box.checked = this.matching || this.names.has(Selection.nameOf(box));
      if (box.checked) chosen += 1;
    }
    const page = document.getElementById("select-page");
    if (page) {
      page.checked = boxes.length > 0 && chosen === boxes.length;
      page.indeterminate = chosen > 0 && chosen < boxes.length;
    }
    bar.hidden = !this.matching && this.names.size === 0;
    document.getElementById("selection-count").textContent = `${this.words} selected`;
    const matching = document.getElementById("select-matching");
    matching.textContent = `Select all ${this.found.words} that match`;
    matching.hidden = this.matching || this.found.many <= this.names.size;
  }

  // Whom a bulk operation is for.
  get target() {
    if (!this.matching) return { names: Array.from(this.names) };
    const words = JSON.parse(bar.dataset.filter);
    return { filter: Object.fromEntries(Object.entries(words).filter(([, value]) => value !== "")) };
  }
}

class BulkDialog {
  constructor(selection) {
    this.selection = selection;
    this.kind = "read";
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-bulk]");
      if (button && bar.contains(button)) this.open(button.dataset.bulk);
    });
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    document.getElementById("bulk-close").addEventListener("click", () => dialog.close());
  }

  field(id) {
    return document.getElementById(`bulk-${id}`);
  }

  open(kind) {
    // Few enough, and none that would be taken for a pattern: a rollout can name them.
    const names = Array.from(this.selection.names);
    if (kind === "update" && !this.selection.matching && names.length <= MAX_NAMES && !names.some((name) => /[*?\s]/.test(name))) {
      location.assign(`/rollouts?${new URLSearchParams({ names: names.join("\n") })}`);
      return;
    }
    this.kind = kind;
    const [title, hint] = TITLES[kind];
    this.field("title").textContent = `${title}: ${this.selection.words}`;
    this.field("hint").textContent = hint;
    complain(dialog.querySelector("form"), this.field("error"));
    for (const part of dialog.querySelectorAll("[data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(kind);
    }
    if (kind === "update") this.field("tags").value = `update-${new Date().toISOString().slice(0, 16).replaceAll(":", "-")}`;
    const submit = this.field("submit");
    submit.textContent = kind === "update" ? "Tag and go on" : title;
    submit.className = `btn ms-auto ${kind === "forget" ? "btn-danger" : "btn-primary"}`;
    dialog.showModal();
    dialog.querySelector("[data-for]:not([hidden]) input")?.focus();
  }

  body() {
    const path = this.field("path").value.trim();
    const tags = this.field("tags").value.split(/[\s,]+/).filter(Boolean);
    switch (this.kind) {
      case "tag":
      case "untag":
        return { kind: this.kind, tags };
      case "update":
        return { kind: "tag", tags: tags.slice(0, 1) };
      case "forget":
        return { kind: "forget" };
      case "execute":
        return { kind: "execute", path, arguments: this.field("arguments").value.trim() || null };
      case "write":
        return { kind: "write", path, value: readValue(this.field("value").value) };
      default:
        return { kind: this.kind, path };
    }
  }

  async send() {
    const submit = this.field("submit");
    const body = { ...this.selection.target, ...this.body() };
    submit.disabled = true;
    const form = dialog.querySelector("form");
    complain(form, this.field("error"));
    try {
      const bulk = await this.ask(body);
      dialog.close();
      if (this.kind === "update") {
        location.assign(`/rollouts?${new URLSearchParams({ tags: body.tags[0], after: bulk.id })}`);
        return;
      }
      const many = bulk.devices === 1 ? "1 device" : `${bulk.devices} devices`;
      toast("good", `${TITLES[this.kind][0]}: ${many} asked`, "How it stands is told above the list.");
      if (this.kind === "forget") this.selection.clear();
    } catch (error) {
      complain(form, this.field("error"), error);
    } finally {
      submit.disabled = false;
    }
    refresh(["bulks"]);
  }

  // A text may look like a number: what the model refuses as such is sent as a text once more.
  async ask(body) {
    try {
      return await api("POST", "/bulk-operations", body);
    } catch (error) {
      const isText = body.kind === "write" && error.field === "value" && typeof body.value !== "string";
      if (!isText) throw error;
      return api("POST", "/bulk-operations", { ...body, value: this.field("value").value });
    }
  }
}

// A number, a truth value or an object as JSON has them; anything else is a text.
function readValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const selection = new Selection();
if (dialog) new BulkDialog(selection);
