// The right control for a value of each type, and its JSON for the API.

import { wrong } from "./mistakes.js";

const HINTS = {
  OPAQUE: "Bytes in hexadecimal, for example 01 ff 7e, or a file.",
  OBJLNK: "Object and object instance; 65535 and 65535 is no link.",
  TIME: "In your time zone.",
};

// Files larger than this are not shown as digits.
const MAX_SHOWN_BYTES = 1024;

// A control for one value: `box` to show, `read` for its JSON (throws an Error with what is wrong, and with the control),
// `set` for a value as the tables show it.
export function valueField(type, units, range, label) {
  const box = document.createElement("div");
  const field = makeField(type, range);
  for (const [index, control] of field.controls.entries()) {
    control.id = `field-${Math.random().toString(36).slice(2)}`;
    control.setAttribute("aria-label", index > 0 ? `${label}, ${control.dataset.part || index + 1}` : label);
  }
  if (units) {
    const group = document.createElement("div");
    group.className = "input-group";
    const unit = document.createElement("span");
    unit.className = "input-group-text";
    unit.textContent = units;
    group.append(field.element, unit);
    box.append(group);
  } else {
    box.append(field.element);
  }
  const hint = [HINTS[type], range && `Allowed: ${range}`].filter(Boolean).join(" ");
  if (hint) {
    const line = document.createElement("small");
    line.className = "form-hint";
    line.textContent = hint;
    box.append(line);
  }
  const read = () => {
    try {
      return field.read();
    } catch (error) {
      throw wrong(toBlame(field.controls), error.message);
    }
  };
  return { box, read, set: field.set };
}

// Of a value with several controls, the one to be corrected.
function toBlame(controls) {
  return controls.find(({ validity }) => !validity.valid) ?? controls.find(({ value }) => value === "") ?? controls[0];
}

// For what no model tells of: the person says what it is.
export function anyField(label) {
  const box = document.createElement("div");
  box.className = "d-flex gap-2";
  const kind = document.createElement("select");
  kind.className = "form-select any-type";
  kind.setAttribute("aria-label", `Type of ${label}`);
  for (const [name, words] of [
    ["STRING", "Text"],
    ["INTEGER", "Whole number"],
    ["FLOAT", "Number"],
    ["BOOLEAN", "True or false"],
  ]) {
    kind.add(new Option(words, name));
  }
  const place = document.createElement("div");
  place.className = "flex-fill";
  box.append(kind, place);
  let field;
  const choose = () => {
    field = valueField(kind.value, "", "", label);
    place.replaceChildren(field.box);
  };
  kind.addEventListener("change", choose);
  choose();
  return { box, read: () => field.read(), set: (text) => field.set(text) };
}

function makeField(type, range) {
  switch (type) {
    case "BOOLEAN":
      return switchField();
    case "OBJLNK":
      return linkField();
    case "OPAQUE":
      return bytesField();
    case "TIME":
      return timeField();
    case "FLOAT":
    case "INTEGER":
    case "UNSIGNED_INTEGER":
      return numberField(type, range);
    default:
      return textField();
  }
}

function textField() {
  const control = input("textarea", "form-control");
  control.rows = 2;
  return {
    element: control,
    controls: [control],
    read: () => control.value,
    set: (text) => {
      control.value = text;
    },
  };
}

function switchField() {
  const element = document.createElement("label");
  element.className = "form-check form-switch mb-0";
  const control = input("input", "form-check-input");
  control.type = "checkbox";
  const word = document.createElement("span");
  word.className = "form-check-label";
  const show = () => {
    word.textContent = String(control.checked);
  };
  control.addEventListener("change", show);
  show();
  element.append(control, word);
  return {
    element,
    controls: [control],
    read: () => control.checked,
    set: (text) => {
      control.checked = text === "true";
      show();
    },
  };
}

function numberField(type, range) {
  const control = input("input", "form-control");
  control.type = "number";
  control.step = type === "FLOAT" ? "any" : "1";
  if (type === "UNSIGNED_INTEGER") control.min = "0";
  const bounds = /^\s*(-?[\d.]+?)\s*(?:\.\.|-)\s*(-?[\d.]+)\s*$/.exec(range || "");
  if (bounds) [, control.min, control.max] = bounds;
  return {
    element: control,
    controls: [control],
    read: () => {
      const text = control.value.trim();
      if (!control.validity.valid) throw new Error(control.validationMessage);
      if (type === "FLOAT") {
        if (text === "") throw new Error("A number is missing.");
        return Number(text);
      }
      if (!/^-?\d+$/.test(text)) throw new Error("A whole number is missing.");
      // Beyond 2^53 a JSON number would not be exact.
      const integer = Number(text);
      return Number.isSafeInteger(integer) ? integer : text;
    },
    set: (text) => {
      control.value = text;
    },
  };
}

function timeField() {
  const control = input("input", "form-control");
  control.type = "datetime-local";
  control.step = "1";
  const write = (date) => {
    control.value = new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
  };
  write(new Date());
  return {
    element: control,
    controls: [control],
    read: () => {
      if (control.value === "") throw new Error("A time is missing.");
      return new Date(control.value).toISOString();
    },
    // The present value is rarely the one to write; now is the better guess.
    set: () => {},
  };
}

function linkField() {
  const element = document.createElement("div");
  element.className = "input-group";
  const [object, instance] = ["object", "instance"].map((part) => {
    const control = input("input", "form-control");
    control.type = "number";
    control.min = "0";
    control.max = "65535";
    control.step = "1";
    control.placeholder = part;
    control.dataset.part = part;
    return control;
  });
  const colon = document.createElement("span");
  colon.className = "input-group-text";
  colon.textContent = ":";
  element.append(object, colon, instance);
  return {
    element,
    controls: [object, instance],
    read: () => {
      for (const control of [object, instance]) {
        if (!control.validity.valid || control.value === "") {
          throw new Error("An object link is two numbers from 0 to 65535.");
        }
      }
      return `${Number(object.value)}:${Number(instance.value)}`;
    },
    set: (text) => {
      [object.value, instance.value] = text.split(":");
    },
  };
}

function bytesField() {
  const element = document.createElement("div");
  const digits = input("textarea", "form-control font-monospace mb-2");
  digits.rows = 2;
  const file = input("input", "form-control");
  file.type = "file";
  file.dataset.part = "from a file";
  let chosen = null;
  let reading = false;
  digits.addEventListener("input", () => {
    chosen = null;
    file.value = "";
  });
  file.addEventListener("change", async () => {
    const [source] = file.files;
    chosen = null;
    if (!source) return;
    reading = true;
    try {
      chosen = new Uint8Array(await source.arrayBuffer());
      digits.value = chosen.length <= MAX_SHOWN_BYTES ? hex(chosen) : "";
    } finally {
      reading = false;
    }
  });
  element.append(digits, file);
  return {
    element,
    controls: [digits, file],
    read: () => {
      if (reading) throw new Error("The file is still being read.");
      return toBase64(chosen || fromHex(digits.value));
    },
    set: () => {},
  };
}

function input(tag, classes) {
  const control = document.createElement(tag);
  control.className = classes;
  control.spellcheck = false;
  control.autocomplete = "off";
  return control;
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(text) {
  const digits = text.replaceAll(/[\s:]/g, "");
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) {
    throw new Error("Bytes are written as pairs of the digits 0-9 and a-f.");
  }
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

function toBase64(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
