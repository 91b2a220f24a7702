// Firmware images: uploads with their progress, removal, hashes to the clipboard.

import { api, sentence } from "./api.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";
import { size } from "./words.js";

const form = document.getElementById("firmware-form");

// What the name of a file says of its version: `app-v1.2.3.signed.bin` holds 1.2.3.
function versionOf(name) {
  let stem = name;
  let shorter = name;
  do {
    stem = shorter;
    shorter = stem.replace(/[._-](?:bin|hex|img|elf|fw|uf2|cbor|suit|zip|gz|tar|signed|update|ota)$/i, "");
  } while (shorter !== stem);
  const found = /(?:^|[^0-9A-Za-z.])v?(\d+(?:\.\d+)+(?:[-+][0-9A-Za-z][0-9A-Za-z.+-]*)?)/i.exec(stem);
  return found ? found[1] : "";
}

class Upload {
  constructor() {
    this.file = form.elements.namedItem("file");
    this.version = form.elements.namedItem("version");
    this.name = form.elements.namedItem("name");
    // What was put into the fields for the person; what they typed is left alone.
    this.guessed = { version: "", name: "" };
    this.request = null;
    this.file.addEventListener("change", () => this.chosen());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    form.addEventListener("input", (event) => this.complain(event.target.name, ""));
    document.getElementById("stop").addEventListener("click", () => this.request?.abort());
    this.takeDrops(document.getElementById("drop"));
  }

  takeDrops(zone) {
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    for (const kind of ["dragenter", "dragover"]) {
      zone.addEventListener(kind, (event) => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        zone.classList.add("drop-over");
      });
    }
    zone.addEventListener("dragleave", () => zone.classList.remove("drop-over"));
    zone.addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      zone.classList.remove("drop-over");
      if (event.dataTransfer.files.length > 1) {
        this.complain("file", "One image at a time.");
        return;
      }
      this.file.files = event.dataTransfer.files;
      this.chosen();
    });
    // Beside the place, a dropped file would be opened instead of the page.
    for (const kind of ["dragover", "drop"]) {
      document.addEventListener(kind, (event) => {
        if (holdsFiles(event) && !zone.contains(event.target)) event.preventDefault();
      });
    }
  }

  chosen() {
    const [file] = this.file.files;
    for (const field of ["file", "version", "name", ""]) this.complain(field, "");
    if (!file) return;
    const guesses = { version: versionOf(file.name), name: file.name };
    for (const [field, guess] of Object.entries(guesses)) {
      if (this[field].value.trim() === this.guessed[field]) {
        this[field].value = guess;
        this.guessed[field] = guess;
      }
    }
    this.check();
  }

  // Finds what the server would refuse after megabytes. False: something was found.
  check() {
    const [file] = this.file.files;
    const complaints = [];
    const most = Number(form.dataset.maxBytes);
    if (!file) complaints.push(["file", "Choose a file."]);
    else if (file.size > most) {
      complaints.push(["file", `This file has ${size(file.size)}; an image has at most ${form.dataset.maxWords}.`]);
    } else if (file.size === 0) complaints.push(["file", "This file is empty."]);
    const [version, name] = [this.version.value.trim(), this.name.value.trim() || file?.name];
    if (!version) complaints.push(["version", "Say which version this is."]);
    for (const row of document.querySelectorAll("#images [data-image]")) {
      if (row.dataset.version === version) {
        complaints.push(["version", `There is an image of version ${version} already: ${row.dataset.name}.`]);
      }
      if (row.dataset.name === name) {
        complaints.push(["name", `There is an image of this name already: version ${row.dataset.version}.`]);
      }
    }
    for (const [field, text] of complaints) this.complain(field, text);
    return complaints.length === 0;
  }

  // Beside the field, or above all where it has none.
  complain(field, text) {
    const place = form.querySelector(`[data-error="${CSS.escape(field || "")}"]`);
    if (!place) {
      if (text) this.complain("", text);
      return;
    }
    place.textContent = text;
    place.hidden = text === "";
    place.classList.toggle("d-block", text !== "");
    const input = field === "selection" ? form.querySelector("#names") : field && form.elements.namedItem(field);
    if (input) {
      input.classList.toggle("is-invalid", text !== "");
      input.setAttribute("aria-invalid", String(text !== ""));
    }
  }

  body() {
    const [file] = this.file.files;
    const parts = (id, between) => form.querySelector(id).value.split(between).map((part) => part.trim()).filter(Boolean);
    const selection = { names: parts("#names", "\n"), tags: parts("#tags", /\s+/) };
    const body = new FormData();
    // The file comes last: everything else is checked before its first byte.
    body.append("version", this.version.value.trim());
    body.append("name", this.name.value.trim() || file.name);
    body.append("notes", form.elements.namedItem("notes").value);
    if (selection.names.length + selection.tags.length > 0) {
      body.append("selection", JSON.stringify(selection));
    }
    body.append("file", file, file.name);
    return body;
  }

  send() {
    for (const place of form.querySelectorAll("[data-error]")) this.complain(place.dataset.error, "");
    if (!this.check()) {
      form.querySelector(".is-invalid")?.focus();
      return;
    }
    // Only XMLHttpRequest tells how far an upload is.
    const request = new XMLHttpRequest();
    this.request = request;
    request.open("POST", "/api/v1/firmware");
    request.setRequestHeader("Accept", "application/json");
    const begun = Date.now();
    request.upload.addEventListener("progress", (event) => this.show(event, begun));
    request.addEventListener("load", () => this.answered(request));
    request.addEventListener("error", () => this.failed("The upload broke off: the server cannot be reached, or refused it midway."));
    request.addEventListener("abort", () => this.failed("The upload was stopped. Nothing of it is kept."));
    this.working(true);
    request.send(this.body());
  }

  show(event, begun) {
    const bar = document.getElementById("progress-bar");
    const text = document.getElementById("progress-text");
    if (!event.lengthComputable) return;
    bar.max = event.total;
    bar.value = event.loaded;
    if (event.loaded >= event.total) {
      text.textContent = "The server checks and stores it …";
      return;
    }
    const seconds = Math.max(0.1, (Date.now() - begun) / 1000);
    const rate = event.loaded / seconds;
    const left = Math.ceil((event.total - event.loaded) / Math.max(1, rate));
    text.textContent = `${size(event.loaded)} of ${size(event.total)}, ${size(rate)}/s, ${left} s left`;
  }

  answered(request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // Not every refusal on the way is ours.
    }
    if (request.status === 401) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    if (request.status < 200 || request.status > 299) {
      const text = sentence(answer?.detail || answer?.title || `Error ${request.status}`);
      this.failed("");
      this.complain(answer?.field || (request.status === 413 ? "file" : ""), text);
      form.querySelector(".is-invalid")?.focus();
      return;
    }
    this.working(false);
    form.reset();
    this.guessed = { version: "", name: "" };
    toast("good", `Version ${answer.version} is stored`, `SHA-256 ${answer.sha256}`);
    refresh(["images"]);
  }

  failed(text) {
    this.working(false);
    if (text) this.complain("", text);
  }

  working(working) {
    document.getElementById("progress").hidden = !working;
    document.getElementById("progress-bar").value = 0;
    document.getElementById("progress-text").textContent = "";
    document.getElementById("stop").hidden = !working;
    document.getElementById("upload").disabled = working;
    this.request = working ? this.request : null;
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("good", "Copied", text);
  } catch {
    // Without HTTPS there is no clipboard; what is shown can be selected.
    toast("wait", "SHA-256", text);
  }
}

async function remove(button) {
  if (!window.confirm(button.dataset.question)) return;
  button.disabled = true;
  try {
    await api("DELETE", `/firmware/${encodeURIComponent(button.dataset.remove)}`);
    toast("good", "Removed");
  } catch (error) {
    toast("bad", "Not removed", error.message);
  }
  refresh(["images"]);
}

document.addEventListener("click", (event) => {
  const hash = event.target.closest("[data-copy]");
  if (hash) copy(hash.dataset.copy);
  const removal = event.target.closest("[data-remove]");
  if (removal) remove(removal);
});

if (form) {
  const upload = new Upload();
  window.addEventListener("beforeunload", (event) => {
    if (upload.request) event.preventDefault();
  });
}
