// The form of a new rollout: its groups, what it says as the body of a request, and complaints beside its fields.

// Fields of the API whose input has another name.
const INPUTS = { filter: "names", window: "window-from" };

export class RolloutForm {
  constructor(form) {
    this.form = form;
    this.rows = form.querySelector("#group-rows");
    this.template = form.querySelector("#group-row");
    this.made = 0;
    // What was put into the name for the person; what they typed is left alone.
    this.guessedName = "";
    this.addGroup();
    form.querySelector("#add-group").addEventListener("click", () => {
      const row = this.addGroup();
      row.querySelector("[data-of=name]").focus();
    });
    this.rows.addEventListener("click", (event) => {
      const button = event.target.closest("[data-remove-group]");
      if (button) this.removeGroup(button.closest(".group-row"));
    });
    form.addEventListener("input", (event) => this.calm(event.target));
    this.field("windowed").addEventListener("change", () => this.showWindow());
    this.fillZones();
    this.field("firmware_id").addEventListener("change", () => this.chosen());
    this.chosen();
  }

  field(id) {
    return this.form.querySelector(`#${id}`);
  }

  // Says which devices the image is made for, and names the rollout after it.
  chosen() {
    const option = this.field("firmware_id").selectedOptions[0];
    const { version, devices } = option.dataset;
    this.field("firmware-hint").textContent = `Made for ${devices}.`;
    const name = this.field("name");
    if (name.value.trim() === this.guessedName) {
      this.guessedName = `Update to ${version}`;
      name.value = this.guessedName;
    }
  }

  fillZones() {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    this.field("window-zone").value = own;
    const zones = Intl.supportedValuesOf ? Intl.supportedValuesOf("timeZone") : [own];
    const list = this.field("time-zones");
    for (const zone of new Set(["UTC", own, ...zones])) {
      const option = document.createElement("option");
      option.value = zone;
      list.append(option);
    }
  }

  showWindow() {
    this.field("window").hidden = !this.field("windowed").checked;
    this.complain("window", "");
  }

  // A row before the one that takes the rest; the first one made is that one.
  addGroup() {
    const row = this.template.content.firstElementChild.cloneNode(true);
    this.made += 1;
    for (const input of row.querySelectorAll("[data-of]")) {
      input.id = `group-${this.made}-${input.dataset.of}`;
    }
    for (const label of row.querySelectorAll("label")) {
      label.htmlFor = label.parentElement.querySelector("[data-of]").id;
    }
    const unit = row.querySelector("[data-of=unit]");
    unit.setAttribute("aria-label", "Unit");
    const last = this.rows.lastElementChild;
    if (last) {
      row.querySelector("[data-of=name]").value = this.rows.children.length === 1 ? "canary" : "";
      row.querySelector("[data-of=size]").value = "1";
    } else row.querySelector("[data-of=name]").value = "all";
    this.rows.insertBefore(row, last);
    this.renumber();
    return row;
  }

  removeGroup(row) {
    row.remove();
    this.renumber();
    this.form.querySelector("#add-group").focus();
  }

  // What follows from the place of each row.
  renumber() {
    const rows = Array.from(this.rows.children);
    for (const [index, row] of rows.entries()) {
      const isRest = index === rows.length - 1;
      row.setAttribute("aria-label", `Group ${index + 1}`);
      row.querySelector("[data-sized]").hidden = isRest;
      row.querySelector("[data-rest]").hidden = !isRest;
      row.querySelector(".group-remove").hidden = isRest;
      row.querySelector("[data-of=name]").placeholder = `group ${index + 1}`;
      row.querySelector("[data-remove-group]").setAttribute("aria-label", `Remove group ${index + 1}`);
      this.complainOf(row, null, "");
    }
    // The only group has everybody, one of several has the rest; a name that somebody gave stays.
    const rest = rows.at(-1).querySelector("[data-of=name]");
    if (["all", "rest"].includes(rest.value)) rest.value = rows.length === 1 ? "all" : "rest";
    this.complain("groups", "");
    this.field("add-group").disabled = rows.length >= Number(this.form.dataset.maxGroups);
  }

  text(id) {
    return this.field(id).value.trim();
  }

  // The image and who is to get it.
  target() {
    const parts = (id, between) => this.text(id).split(between).map((part) => part.trim()).filter(Boolean);
    return {
      firmware_id: Number(this.text("firmware_id")),
      filter: { names: parts("names", "\n"), tags: parts("tags", /\s+/) },
    };
  }

  // What the form says, as the API wants it. What the browser sees to be wrong is complained of here; see `isWrong`.
  body() {
    this.calmAll();
    const body = {
      name: this.text("name"),
      ...this.target(),
      newcomers: this.field("newcomers").checked,
      groups: Array.from(this.rows.children, (row, index) => this.group(row, index)),
      on_error: this.text("on_error"),
      ...this.number("at_once"),
    };
    if (this.text("method")) body.method = this.text("method");
    if (this.text("roll_back_to")) body.roll_back_to = Number(this.text("roll_back_to"));
    const start = this.field("start_at");
    if (start.validity.badInput) this.complain("start_at", "This is no whole date and time.");
    else if (start.value) body.start_at = new Date(start.value).toISOString();
    if (this.field("windowed").checked) body.window = this.window();
    return body;
  }

  // A field of a number; nothing when it is empty.
  number(id) {
    const number = whole(this.field(id), (why) => this.complain(id, why));
    return number === undefined ? {} : { [id]: number };
  }

  get isWrong() {
    return this.form.querySelector(".is-invalid") !== null;
  }

  group(row, index) {
    const input = (of) => row.querySelector(`[data-of=${of}]`);
    const group = { name: input("name").value.trim() || `group ${index + 1}` };
    const read = (of, name, missing) => {
      const number = whole(input(of), (why) => this.complainOf(row, of, why), missing);
      if (number !== undefined) group[name] = number;
    };
    if (index < this.rows.children.length - 1) {
      read("size", input("unit").value, "Say how many devices are in this group.");
    }
    for (const of of ["success_percent", "error_percent"]) read(of, of);
    return group;
  }

  window() {
    const days = Array.from(this.form.querySelectorAll("[name=day]"));
    const open = days.filter((day) => day.checked);
    const at = (id) => this.field(id).value.slice(0, 5);
    if (open.length === 0) this.complain("window", "Choose the days on which it opens.");
    if (!at("window-from") || !at("window-to")) this.complain("window", "Say from when to when.");
    return {
      from: at("window-from"),
      to: at("window-to"),
      time_zone: this.field("window-zone").value.trim(),
      days: open.length === days.length ? [] : open.map((day) => day.value),
    };
  }

  // Beside the field that the API names, or above the buttons where it has none.
  complain(field, text) {
    const group = /^groups\.(\d+)\.(\w+)$/.exec(field);
    const row = group && this.rows.children[Number(group[1])];
    if (row) {
      const of = ["count", "percent"].includes(group[2]) ? "size" : group[2];
      this.complainOf(row, of, text);
      return;
    }
    const place = this.form.querySelector(`[data-error="${CSS.escape(field)}"]`);
    if (!place) {
      if (text) this.complain("", text);
      return;
    }
    place.textContent = text;
    place.hidden = text === "";
    place.classList.toggle("d-block", text !== "" && field !== "");
    const id = INPUTS[field] || field;
    const input = id && this.form.querySelector(`input#${id}, select#${id}, textarea#${id}`);
    if (input) mark(input, text !== "");
  }

  complainOf(row, of, text) {
    const place = row.querySelector(".group-error");
    place.textContent = text;
    place.classList.toggle("d-block", text !== "");
    for (const input of row.querySelectorAll("[data-of]")) {
      mark(input, text !== "" && input.dataset.of === of);
    }
  }

  // What the person changes is not complained of any more.
  calm(input) {
    const row = input.closest(".group-row");
    if (row) {
      this.complainOf(row, null, "");
      this.complain("groups", "");
    } else if (input.id.startsWith("window-") || input.name === "day") this.complain("window", "");
    else if (["names", "tags"].includes(input.id)) this.complain("filter", "");
    else this.complain(input.id, "");
    this.complain("", "");
  }

  calmAll() {
    for (const place of this.form.querySelectorAll("[data-error]")) this.complain(place.dataset.error, "");
    for (const row of this.rows.children) this.complainOf(row, null, "");
  }
}

// The whole number that an input holds; undefined when there is none. What is no number is complained of, and an empty
// input where something would be missing.
function whole(input, complain, missing = "") {
  if (input.validity.badInput) complain("This is no number.");
  else if (input.value === "") {
    if (missing) complain(missing);
  } else if (Number.isSafeInteger(Number(input.value))) return Number(input.value);
  else complain("This is no whole number.");
  return undefined;
}

function mark(input, isWrong) {
  input.classList.toggle("is-invalid", isWrong);
  input.setAttribute("aria-invalid", String(isWrong));
}
