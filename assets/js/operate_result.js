// What became of an operation. Everything in it is from a device, so only ever textContent.

import { value } from "./words.js";

const COLOURS = {
  CONFIRMED: "bg-green-lt",
  FAILED: "bg-red-lt",
  QUEUED: "bg-yellow-lt",
  SENDING: "bg-azure-lt",
};

// Response codes of CoAP (RFC 7252 section 12.1.2) in words.
const CODES = {
  "2.01": "Created",
  "2.02": "Deleted",
  "2.04": "Changed",
  "2.05": "Content",
  "4.00": "Bad Request",
  "4.01": "Unauthorized",
  "4.03": "Forbidden",
  "4.04": "Not Found",
  "4.05": "Method Not Allowed",
  "4.06": "Not Acceptable",
  "4.08": "Request Entity Incomplete",
  "4.13": "Request Entity Too Large",
  "4.15": "Unsupported Content-Format",
  "5.00": "Internal Server Error",
  "5.01": "Not Implemented",
  "5.03": "Service Unavailable",
};

export function isFinal(operation) {
  return operation.status !== "QUEUED" && operation.status !== "SENDING";
}

export function showResult(place, operation) {
  place.hidden = false;
  place.dataset.status = operation.status;
  const head = document.createElement("div");
  head.className = "d-flex flex-wrap gap-2 align-items-center";
  const badge = document.createElement("span");
  badge.className = `badge ${COLOURS[operation.status] || "bg-secondary-lt"}`;
  badge.textContent = operation.status.toLowerCase();
  head.append(badge);
  const result = operation.result;
  if (result?.code) {
    const code = document.createElement("span");
    code.className = "operate-code";
    code.textContent = [result.code, CODES[result.code]].filter(Boolean).join(" ");
    head.append(code);
  }
  if (operation.attempts > 1) head.append(small(`attempt ${operation.attempts} of ${operation.max_attempts}`));
  const parts = [head];
  if (operation.waits_for) parts.push(line(`It waits for ${operation.waits_for}.`, "text-secondary"));
  if (operation.error) parts.push(line(operation.error, isFinal(operation) ? "text-danger" : "text-secondary"));
  if (result?.location) parts.push(line(`Made at ${result.location}`, "operate-location"));
  if (result?.nodes?.length) parts.push(values(result.nodes));
  if (result?.links) parts.push(links(result.links));
  place.replaceChildren(...parts);
}

function values(nodes) {
  const table = document.createElement("table");
  table.className = "table table-sm mb-0 mt-2 operate-values";
  for (const node of nodes) {
    const row = table.insertRow();
    row.dataset.path = node.path;
    const path = document.createElement("code");
    path.textContent = node.path;
    row.insertCell().append(path);
    const cell = row.insertCell();
    cell.className = "text-break fw-medium";
    cell.textContent = value(node.type, node.value);
    const name = row.insertCell();
    name.className = "text-secondary small";
    name.textContent = document.querySelector(`[data-resource="${CSS.escape(resourceOf(node.path))}"]`)?.dataset.name || "";
  }
  return scrolling(table);
}

// Each link on a line of its own, its attributes beside it.
function links(text) {
  const table = document.createElement("table");
  table.className = "table table-sm mb-0 mt-2 operate-links";
  for (const [, target, attributes] of text.matchAll(/<([^>]*)>((?:;(?:"[^"]*"|[^",])*)*),?/g)) {
    const row = table.insertRow();
    const code = document.createElement("code");
    code.textContent = target;
    row.insertCell().append(code);
    const cell = row.insertCell();
    cell.className = "text-break";
    cell.textContent = attributes.split(";").filter(Boolean).join(", ");
  }
  if (table.rows.length === 0) return line(text, "text-break");
  return scrolling(table);
}

function scrolling(table) {
  const box = document.createElement("div");
  box.className = "operate-answer";
  // What is longer than its box is reached by the keyboard, too.
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Values of the answer");
  box.append(table);
  return box;
}

function resourceOf(path) {
  return path.split("/").slice(0, 4).join("/");
}

function line(text, classes) {
  const element = document.createElement("div");
  element.className = `mt-1 text-break ${classes}`;
  element.textContent = text;
  return element;
}

function small(text) {
  const element = document.createElement("span");
  element.className = "text-secondary small";
  element.textContent = text;
  return element;
}
