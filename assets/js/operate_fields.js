// The fields of each kind of operation. Each function fills a place and returns what reads its part of
// the request; that throws an Error with what is wrong, and where it is about one control, with that.

import { join, levels, paths, resource, resourcesOf } from "./known.js";
import { wrong } from "./mistakes.js";
import { ATTRIBUTES } from "./operate_kinds.js";
import { anyField, valueField } from "./values.js";

// `ids` are the levels of the path, `chosen` paths that are ticked at first.
export async function fieldsFor(kind, ids, chosen) {
  const place = document.createElement("div");
  return { place, read: await build(kind, ids, chosen, place) };
}

async function build(kind, ids, chosen, place) {
  switch (kind) {
    case "write":
    case "write_update":
      return ids.length === 2 ? instanceFields(place, ids, false) : resourceFields(place, ids);
    case "create":
      return createFields(place, ids);
    case "execute":
      return argumentFields(place);
    case "write_attributes":
      return attributeFields(place, ids.length >= 3);
    case "cancel_observe":
      return passiveField(place);
    case "read_composite":
    case "observe_composite":
      return pathFields(place, chosen);
    case "cancel_observe_composite": {
      const readPaths = pathFields(place, chosen);
      const readPassive = passiveField(place);
      return () => ({ ...readPaths(), ...readPassive() });
    }
    case "write_composite":
      return compositeFields(place, chosen);
    default:
      return () => ({});
  }
}

// ---- one resource ----

async function resourceFields(place, ids) {
  const known = await resource(ids[0], ids[1], ids[2]);
  const name = known?.name || join(ids);
  if (known?.multiple && ids.length === 3) {
    const read = severalFields(place, known);
    return () => ({ value: read() });
  }
  const field = fieldOf(known, name);
  const present = ids.length === 4 ? known?.instances.find(({ id }) => id === String(ids[3]))?.value : known?.value;
  if (present !== undefined) field.set(present);
  // What the server says of the value is about it.
  const control = field.box.querySelector("input, textarea");
  if (control) control.name = "value";
  place.append(field.box);
  return () => ({ value: field.read() });
}

function fieldOf(known, name) {
  return known?.type ? valueField(known.type, known.units, known.range, name) : anyField(name);
}

// A resource with instances: a number and a value for each.
function severalFields(place, known) {
  const lines = lineList(place, "Another instance", "Instance", (label) => fieldOf(known, `${known.name}, ${label}`));
  for (const { id, value } of known.instances) lines.add(id, value);
  if (known.instances.length === 0) lines.add("0");
  return lines.read;
}

// Lines of a number and a value, which can be added and taken away.
function lineList(place, words, what, makeField) {
  const lines = [];
  const more = button(words, "btn btn-sm");
  place.append(more);
  const add = (id, present) => {
    const line = document.createElement("div");
    line.className = "d-flex gap-2 mb-2";
    line.dataset.row = "";
    const number = document.createElement("input");
    number.className = "form-control instance-id";
    number.type = "number";
    number.min = "0";
    number.max = "65534";
    number.value = id;
    number.setAttribute("aria-label", what);
    const field = makeField(`${what.toLowerCase()} ${id}`);
    field.box.classList.add("flex-fill");
    if (present !== undefined) field.set(present);
    const remove = button("", "btn-close mt-2");
    remove.setAttribute("aria-label", `Without this ${what.toLowerCase()}`);
    const entry = { number, field };
    remove.addEventListener("click", () => {
      lines.splice(lines.indexOf(entry), 1);
      if (line.nextElementSibling?.matches(".invalid-feedback")) line.nextElementSibling.remove();
      line.remove();
    });
    line.append(number, field.box, remove);
    more.before(line);
    lines.push(entry);
  };
  more.addEventListener("click", () => {
    add(String(Math.max(-1, ...lines.map(({ number }) => Number(number.value))) + 1));
  });
  const read = () => {
    const values = {};
    for (const { number, field } of lines) {
      if (!number.validity.valid || number.value === "") throw wrong(number, `${what}: a number from 0 to 65534.`);
      values[Number(number.value)] = field.read();
    }
    return values;
  };
  return { add, read };
}

// ---- one object instance ----

async function instanceFields(place, ids, all) {
  const known = (await resourcesOf(ids[0], ids[1])) || [];
  const entries = [];
  for (const one of known) {
    if (all ? one.operations === "E" : !one.operations.includes("W")) continue;
    entries.push(optionalField(place, one, all ? one.mandatory : one.shown));
  }
  const others = document.createElement("div");
  const lines = lineList(others, "Another resource", "Resource", (label) => anyField(label));
  place.append(others);
  return () => {
    const value = lines.read();
    for (const { tick, one, read } of entries) {
      if (tick.checked) value[one.id] = named(one.name, read);
    }
    return { value };
  };
}

// A resource that may be left out.
function optionalField(place, one, wanted) {
  const line = document.createElement("div");
  line.className = "mb-3 operate-optional";
  line.dataset.field = String(one.id);
  const label = document.createElement("label");
  label.className = "form-check mb-1";
  const tick = document.createElement("input");
  tick.type = "checkbox";
  tick.className = "form-check-input";
  const text = document.createElement("span");
  text.className = "form-check-label";
  text.textContent = `${one.name} `;
  const code = document.createElement("code");
  code.textContent = String(one.id);
  text.append(code);
  label.append(tick, text);
  const inner = document.createElement("div");
  inner.className = "ps-4";
  line.append(label, inner);
  place.append(line);
  let read = () => undefined;
  let built = false;
  const show = () => {
    if (tick.checked && !built) {
      built = true;
      if (one.multiple) {
        read = severalFields(inner, one);
      } else {
        const field = fieldOf(one, one.name);
        if (one.value !== undefined) field.set(one.value);
        inner.append(field.box);
        read = () => field.read();
      }
    }
    inner.hidden = !tick.checked;
  };
  tick.addEventListener("change", show);
  tick.checked = wanted;
  show();
  return { tick, one, read: () => read() };
}

async function createFields(place, ids) {
  let number;
  if (ids.length === 1) {
    const label = document.createElement("label");
    label.className = "form-label";
    label.textContent = "Instance";
    number = document.createElement("input");
    number.className = "form-control mb-3";
    number.type = "number";
    number.min = "0";
    number.max = "65534";
    number.id = "operate-instance";
    number.placeholder = "chosen by the device";
    label.htmlFor = number.id;
    place.append(label, number);
  }
  // Of an instance that is not there yet, siblings and the model tell what it can have.
  const read = await instanceFields(place, [ids[0], ids[1] ?? -1], true);
  return () => {
    if (number && !number.validity.valid) throw wrong(number, "A number from 0 to 65534, or nothing.");
    const body = read();
    if (number?.value) body.path = join([ids[0], Number(number.value)]);
    return body;
  };
}

// ---- arguments, attributes, the end of an observation ----

function argumentFields(place) {
  const label = document.createElement("label");
  label.className = "form-label";
  label.textContent = "Arguments";
  const input = document.createElement("input");
  input.className = "form-control font-monospace";
  input.id = "operate-arguments";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.placeholder = "none";
  label.htmlFor = input.id;
  const hint = document.createElement("small");
  hint.className = "form-hint";
  hint.textContent = "Digits with optional values, for example 0='reset',3. Most resources take none.";
  place.append(label, input, hint);
  return () => (input.value.trim() ? { arguments: input.value.trim() } : {});
}

function attributeFields(place, forResource) {
  const entries = ATTRIBUTES.map(([name, meaning, resourceOnly]) => {
    const line = document.createElement("div");
    line.className = "operate-attribute mb-2";
    line.dataset.attribute = name;
    const label = document.createElement("label");
    const code = document.createElement("code");
    code.textContent = name;
    const words = document.createElement("small");
    words.className = "text-secondary d-block";
    words.textContent = meaning;
    label.append(code, words);
    const choice = document.createElement("select");
    choice.className = "form-select";
    choice.id = `operate-attribute-${name}`;
    label.htmlFor = choice.id;
    for (const [value, text] of [
      ["", "leave"],
      ["set", "set to"],
      ["remove", "remove"],
    ]) {
      choice.add(new Option(text, value));
    }
    const input = document.createElement("input");
    input.className = "form-control";
    input.type = "number";
    input.step = resourceOnly ? "any" : "1";
    input.setAttribute("aria-label", `${name}: ${meaning}`);
    input.addEventListener("input", () => {
      if (input.value !== "") choice.value = "set";
    });
    choice.addEventListener("change", () => {
      if (choice.value !== "set") input.value = "";
    });
    for (const control of [choice, input]) control.disabled = resourceOnly && !forResource;
    line.append(label, choice, input);
    place.append(line);
    return { name, choice, input };
  });
  return () => {
    const attributes = {};
    for (const { name, choice, input } of entries) {
      if (choice.value === "remove") attributes[name] = null;
      if (choice.value === "set") {
        if (input.value === "" || !input.validity.valid) throw wrong(input, "A number is missing.");
        attributes[name] = Number(input.value);
      }
    }
    if (Object.keys(attributes).length === 0) throw new Error("Set or remove at least one attribute.");
    return { attributes };
  };
}

function passiveField(place) {
  const label = document.createElement("label");
  label.className = "form-check mb-0";
  const tick = document.createElement("input");
  tick.type = "checkbox";
  tick.className = "form-check-input";
  tick.id = "operate-passive";
  const text = document.createElement("span");
  text.className = "form-check-label";
  text.textContent = "Send nothing; answer its next notification with a Reset";
  label.append(tick, text);
  place.append(label);
  return () => (tick.checked ? { passive: true } : {});
}

// ---- several paths ----

function pathFields(place, chosen) {
  const ticks = [];
  pathList(place, chosen, () => true, (path, tick) => ticks.push({ path, tick }));
  const others = document.createElement("input");
  others.className = "form-control font-monospace mt-2 mb-3";
  others.id = "operate-others";
  others.placeholder = "other paths, separated by spaces";
  others.setAttribute("aria-label", "Other paths");
  others.autocomplete = "off";
  const listed = new Set(ticks.map(({ path }) => path));
  others.value = chosen.filter((path) => !listed.has(path)).join(" ");
  place.append(others);
  return () => {
    const wanted = ticks.filter(({ tick }) => tick.checked).map(({ path }) => path);
    for (const path of others.value.split(/[\s,]+/).filter(Boolean)) {
      if (path !== "/" && !levels(path)) throw wrong(others, `${path} is no path such as /3/0/9.`);
      wanted.push(path);
    }
    if (wanted.length === 0) throw new Error("Choose at least one path.");
    return { paths: wanted };
  };
}

// The paths of the page with a box each, and a field to narrow them down.
function pathList(place, chosen, accepts, onTick) {
  const filter = document.createElement("input");
  filter.type = "search";
  filter.className = "form-control mb-2";
  filter.id = "operate-filter";
  filter.placeholder = "Part of a name or path";
  filter.setAttribute("aria-label", "Show only paths with this");
  const list = document.createElement("div");
  list.className = "operate-paths border rounded p-2";
  for (const { path, name } of paths()) {
    if (!accepts(path)) continue;
    const label = document.createElement("label");
    label.className = "form-check mb-0";
    label.dataset.search = `${path} ${name}`.toLowerCase();
    const tick = document.createElement("input");
    tick.type = "checkbox";
    tick.className = "form-check-input";
    tick.value = path;
    tick.checked = chosen.includes(path);
    const text = document.createElement("span");
    text.className = "form-check-label";
    const code = document.createElement("code");
    code.textContent = path;
    text.append(code, ` ${name}`);
    label.append(tick, text);
    list.append(label);
    onTick(path, tick);
  }
  filter.addEventListener("input", () => {
    const part = filter.value.trim().toLowerCase();
    for (const label of list.children) {
      label.hidden = !label.dataset.search.includes(part) && !label.querySelector("input").checked;
    }
  });
  place.append(filter, list);
}

// Resources that can be written, and a value for each that is ticked.
function compositeFields(place, chosen) {
  const fields = new Map();
  const values = document.createElement("div");
  values.className = "mt-3";
  const change = async (path, tick) => {
    fields.get(path)?.line.remove();
    fields.delete(path);
    if (!tick.checked) return;
    const ids = levels(path);
    const line = document.createElement("div");
    line.className = "mb-3";
    line.dataset.field = path;
    const title = document.createElement("div");
    title.className = "mb-1";
    const code = document.createElement("code");
    code.textContent = path;
    title.append(code);
    line.append(title);
    values.append(line);
    const entry = { line, read: null };
    fields.set(path, entry);
    const read = await resourceFields(line, ids);
    entry.read = () => named(path, read).value;
  };
  const writable = (path) => {
    const row = document.querySelector(`[data-resource="${CSS.escape(path)}"]`);
    return row?.dataset.operations.includes("W") || false;
  };
  const ticked = [];
  pathList(place, chosen, writable, (path, tick) => {
    tick.addEventListener("change", () => change(path, tick));
    if (tick.checked) ticked.push(change(path, tick));
  });
  place.append(values);
  const others = document.createElement("div");
  const lines = [];
  const more = button("Another path", "btn btn-sm");
  more.addEventListener("click", () => {
    const line = document.createElement("div");
    line.className = "d-flex gap-2 mb-2";
    line.dataset.row = "";
    const path = document.createElement("input");
    path.className = "form-control font-monospace operate-other";
    path.placeholder = "/3/0/14";
    path.setAttribute("aria-label", "Path");
    const field = anyField("the value");
    field.box.classList.add("flex-fill");
    line.append(path, field.box);
    more.before(line);
    lines.push({ path, field });
  });
  others.append(more);
  place.append(others);
  return () => {
    const body = {};
    for (const [path, { read }] of fields) body[path] = read();
    for (const { path, field } of lines) {
      if (!path.value.trim()) continue;
      if (!levels(path.value)) throw wrong(path, `${path.value} is no path such as /3/0/14.`);
      body[path.value.trim()] = field.read();
    }
    if (Object.keys(body).length === 0) throw new Error("Choose at least one resource.");
    return { values: body };
  };
}

// ---- small parts ----

function named(name, read) {
  try {
    return read();
  } catch (error) {
    // Beside a control, it is clear what it is about.
    throw error.input ? error : new Error(`${name}: ${error.message}`);
  }
}

function button(text, classes) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = classes;
  element.textContent = text;
  return element;
}
