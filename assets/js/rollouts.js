// The list of rollouts follows what happens; new ones are rehearsed, made and started from its form.

import { api } from "./api.js";
import "./follow.js";
import { showForecast } from "./rollout_forecast.js";
import { RolloutForm } from "./rollout_form.js";

const element = document.getElementById("rollout-form");
const opener = document.getElementById("new-rollout");

class NewRollout {
  constructor() {
    this.form = new RolloutForm(element);
    this.asked = 0;
    opener.addEventListener("click", () => this.open(element.hidden));
    document.getElementById("close-rollout").addEventListener("click", () => {
      this.open(false);
      opener.focus();
    });
    element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.rehearse();
    });
    element.querySelector("#create").addEventListener("click", () => this.create(false));
    element.querySelector("#create-start").addEventListener("click", () => this.create(true));
    for (const id of ["firmware_id", "names", "tags"]) {
      this.form.field(id).addEventListener("change", () => this.count());
    }
    // A rehearsal of something else is of no use.
    element.addEventListener("input", () => {
      this.form.field("forecast").hidden = true;
    });
    this.takeOver(new URLSearchParams(location.search));
  }

  // What another page asks for: an image, or devices by name or tag.
  takeOver(words) {
    for (const id of ["names", "tags"]) {
      if (words.has(id)) this.form.field(id).value = words.get(id);
    }
    if (["image", "names", "tags"].some((id) => words.has(id))) this.open(true);
    if (words.has("after")) this.waitFor(words.get("after"));
  }

  // The devices are given their tag first: a rollout has those that have it when it is made.
  async waitFor(bulk) {
    const place = this.form.field("fitting");
    const buttons = element.querySelectorAll(".card-footer button");
    for (const button of buttons) button.disabled = true;
    let state = "RUNNING";
    try {
      while (state === "RUNNING") {
        const { counts, devices, state: now } = await api("GET", `/bulk-operations/${encodeURIComponent(bulk)}`);
        state = now;
        place.textContent = `${devices - counts.pending} of ${devices} devices are tagged.`;
        if (state === "RUNNING") await new Promise((done) => setTimeout(done, 500));
      }
    } catch (error) {
      place.textContent = error.message;
    }
    for (const button of buttons) button.disabled = false;
    if (state === "FINISHED") this.count();
  }

  open(open) {
    element.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.form.field("firmware_id").focus();
    this.count();
  }

  // How many devices fit is what a rehearsal of the simplest plan says.
  async count() {
    this.asked += 1;
    const question = this.asked;
    const place = this.form.field("fitting");
    this.form.complain("filter", "");
    place.textContent = "";
    try {
      const { devices } = await api("POST", "/rollouts/rehearse", { name: "count", ...this.form.target() });
      if (question === this.asked) place.textContent = devices === 1 ? "1 device fits now." : `${devices} devices fit now.`;
    } catch (error) {
      if (question === this.asked) this.complain(error);
    }
  }

  complain(error) {
    if (error.field === "filter") this.form.field("fitting").textContent = "";
    this.form.complain(error.field || "", error.message);
  }

  // Sends what the form says; nothing comes back when it is refused.
  async send(path, body) {
    if (this.form.isWrong) {
      element.querySelector(".is-invalid").focus();
      return null;
    }
    const buttons = element.querySelectorAll(".card-footer button");
    for (const button of buttons) button.disabled = true;
    try {
      return await api("POST", path, body);
    } catch (error) {
      this.complain(error);
      element.querySelector(".is-invalid")?.focus();
      return null;
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  async rehearse() {
    const body = { ...this.form.body(), ...this.form.number("failing_percent") };
    const forecast = await this.send("/rollouts/rehearse", body);
    const place = this.form.field("forecast");
    if (!forecast) {
      place.hidden = true;
      return;
    }
    showForecast(place, forecast);
    place.scrollIntoView({ block: "nearest" });
  }

  async create(start) {
    const rollout = await this.send("/rollouts", { ...this.form.body(), start });
    if (rollout) location.assign(`/rollouts/${rollout.id}`);
  }
}

if (element) new NewRollout();
