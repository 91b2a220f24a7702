// What is known of a device's resources: from the rows of its page, and from the object models where
// the page has no row.

import { api } from "./api.js";

const models = new Map();

// The levels of a path as numbers; null when it is none of one to four levels.
export function levels(path) {
  const parts = path.trim().replace(/^\//, "").replace(/\/$/, "").split("/");
  const fits = parts.length <= 4 && parts.every((part) => /^\d{1,5}$/.test(part) && Number(part) < 65535);
  return fits ? parts.map(Number) : null;
}

export function join(ids) {
  return `/${ids.join("/")}`;
}

// Every path that the page shows: objects, instances, resources with their names.
export function paths() {
  const found = [];
  const seen = new Set();
  const add = (path, name) => {
    if (!seen.has(path)) found.push({ path, name });
    seen.add(path);
  };
  for (const object of document.querySelectorAll("[data-object]")) {
    add(object.dataset.object, object.dataset.name);
  }
  for (const instance of document.querySelectorAll("[data-instance]")) {
    add(instance.dataset.instance, "");
    for (const row of instance.querySelectorAll("[data-resource]")) {
      if (!row.hidden) add(row.dataset.resource, row.dataset.name);
    }
  }
  return found;
}

// The resources of an object instance, or null when nothing is known of its object.
export async function resourcesOf(object, instance) {
  const own = rows(`[data-instance="/${object}/${instance}"] [data-resource]`);
  if (own.length > 0) return own.map((row) => describe(row));
  const others = rows(`[data-resource^="/${object}/"]`);
  const [first] = others;
  if (first) {
    const sibling = first.dataset.resource.split("/").slice(0, 3).join("/");
    return others
      .filter((row) => row.dataset.resource.startsWith(`${sibling}/`))
      .map((row) => ({ ...describe(row), value: undefined, instances: [], shown: row.dataset.mandatory === "true" }));
  }
  return model(object);
}

// One resource, or null when nothing is known of it.
export async function resource(object, instance, id) {
  const all = await resourcesOf(object, instance);
  return all?.find((known) => known.id === id) || null;
}

function rows(selector) {
  return Array.from(document.querySelectorAll(selector));
}

function describe(row) {
  const { resource: path, name, type, units, range, multiple, operations, mandatory } = row.dataset;
  const instances = Array.from(row.querySelectorAll(".values [data-value]"), (item) => ({
    id: item.dataset.value.split("/").at(-1),
    value: item.querySelector(".value").textContent,
  }));
  return {
    id: Number(path.split("/").at(-1)),
    name,
    type,
    units,
    range,
    multiple: multiple === "true",
    operations,
    mandatory: mandatory === "true",
    shown: !row.hidden,
    value: row.querySelector(".resource-value > [data-value] > .value")?.textContent || undefined,
    instances,
  };
}

function model(object) {
  if (!models.has(object)) models.set(object, fetchModel(object));
  return models.get(object);
}

async function fetchModel(object) {
  try {
    const versions = (await api("GET", `/models/${object}`)).items;
    return versions.at(-1).resources.map((known) => ({
      id: known.id,
      name: known.name,
      type: known.type || "",
      units: known.units || "",
      range: known.range || "",
      multiple: known.multiple,
      operations: known.operations,
      mandatory: known.mandatory,
      shown: known.mandatory,
      value: undefined,
      instances: [],
    }));
  } catch {
    // An object of which no model tells: its resources are given by number.
    return null;
  }
}
