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
    if (new URLSearchParams(location.search).has("image")) this.open(true);
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
