// The dialog in which a value is entered: the right control for each type.

const dialog = document.getElementById("form-dialog");

// Asks for values. `build` fills the fields and returns a function that reads them (and throws an
// Error with what is wrong). Resolves to what it read, or to undefined when the person cancels.
export function ask(title, text, submit, build) {
  const form = dialog.querySelector("form");
  const fields = document.getElementById("dialog-fields");
  const problem = document.getElementById("dialog-error");
  const button = document.getElementById("dialog-submit");
  document.getElementById("dialog-title").textContent = title;
  document.getElementById("dialog-text").textContent = text;
  button.textContent = submit;
  problem.textContent = "";
  fields.replaceChildren();
  const read = build(fields);
  return new Promise((resolve) => {
    let answer;
    form.onsubmit = (event) => {
      event.preventDefault();
      try {
        answer = read();
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
      }
    };
    document.getElementById("dialog-cancel").onclick = () => dialog.close();
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
    fields.querySelector("input, select, textarea")?.focus();
  });
}

// A control for one value of a type, with a function that reads it as JSON of the API.
export function valueField(type, units, range, label) {
  const box = document.createElement("div");
  const control = makeControl(type, range);
  control.id = `field-${Math.random().toString(36).slice(2)}`;
  control.setAttribute("aria-label", label);
  if (units) {
    const group = document.createElement("div");
    group.className = "input-group";
    const unit = document.createElement("span");
    unit.className = "input-group-text";
    unit.textContent = units;
    group.append(control, unit);
    box.append(group);
  } else {
    box.append(control);
  }
  const hint = HINTS[type] || "";
  if (hint || range) {
    const line = document.createElement("small");
    line.className = "form-hint";
    line.textContent = [hint, range && `Allowed: ${range}`].filter(Boolean).join(" ");
    box.append(line);
  }
  return { box, read: () => readControl(type, control) };
}

const HINTS = {
  OPAQUE: "Bytes in hexadecimal, for example 01 ff 7e.",
  OBJLNK: "Object and instance, for example 3303:0.",
  TIME: "In your time zone.",
};

function makeControl(type, range) {
  const bounds = /^\s*(-?[\d.]+?)\s*(?:\.\.|-)\s*(-?[\d.]+)\s*$/.exec(range || "");
  if (type === "BOOLEAN") {
    const select = document.createElement("select");
    select.className = "form-select";
    select.add(new Option("true", "true"));
    select.add(new Option("false", "false"));
    return select;
  }
  const long = type === "STRING" || type === "CORELINK" || type === "OPAQUE";
  const control = document.createElement(long ? "textarea" : "input");
  control.className = "form-control";
  control.spellcheck = false;
  control.autocomplete = "off";
  if (long) {
    control.rows = 2;
    if (type === "OPAQUE") control.classList.add("font-monospace");
    return control;
  }
  if (type === "TIME") {
    control.type = "datetime-local";
    control.step = "1";
    const now = new Date();
    control.value = new Date(now - now.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
    return control;
  }
  if (type === "FLOAT") {
    control.type = "number";
    control.step = "any";
  } else if (type === "INTEGER" || type === "UNSIGNED_INTEGER") {
    control.type = "number";
    control.step = "1";
    if (type === "UNSIGNED_INTEGER") control.min = "0";
  } else {
    control.type = "text";
  }
  if (bounds && control.type === "number") [, control.min, control.max] = bounds;
  return control;
}

function readControl(type, control) {
  const text = control.value;
  if (control.validity && !control.validity.valid) throw new Error(control.validationMessage);
  switch (type) {
    case "BOOLEAN":
      return text === "true";
    case "FLOAT":
      if (text.trim() === "") throw new Error("A number is missing.");
      return Number(text);
    case "INTEGER":
    case "UNSIGNED_INTEGER": {
      if (!/^-?\d+$/.test(text.trim())) throw new Error("A whole number is missing.");
      // Beyond 2^53 a JSON number would not be exact.
      const integer = Number(text);
      return Number.isSafeInteger(integer) ? integer : text.trim();
    }
    case "TIME":
      if (text === "") throw new Error("A time is missing.");
      return new Date(text).toISOString();
    case "OPAQUE":
      return fromHex(text);
    case "OBJLNK":
      if (!/^\d+:\d+$/.test(text.trim())) throw new Error("An object link looks like 3303:0.");
      return text.trim();
    default:
      return text;
  }
}

function fromHex(text) {
  const digits = text.replaceAll(/[\s:]/g, "");
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) {
    throw new Error("Bytes are written as pairs of the digits 0-9 and a-f.");
  }
  let binary = "";
  for (let at = 0; at < digits.length; at += 2) {
    binary += String.fromCharCode(Number.parseInt(digits.slice(at, at + 2), 16));
  }
  return btoa(binary);
}
