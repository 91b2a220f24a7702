// Shows what a rehearsal foresees. Texts are from people and devices, so only ever textContent.

import { element } from "./element.js";

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// A duration in its two largest units: `3 h 30 min`.
export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, length]) => seconds >= length);
  if (at < 0) return "0 s";
  let left = seconds;
  const parts = [];
  for (const [unit, length] of units.slice(at, at + 2)) {
    const number = Math.floor(left / length);
    left -= number * length;
    if (number > 0) parts.push(`${number} ${unit}`);
  }
  return parts.join(" ");
}

function moment(time) {
  return time ? exact.format(new Date(time)) : "–";
}

function list(title, texts, className) {
  const box = element("div", className);
  if (title) box.append(element("div", "fw-medium", title));
  const lines = element("ul", "mb-0 ps-3");
  for (const text of texts) lines.append(element("li", "text-break", text));
  box.append(lines);
  return box;
}

function headline(forecast) {
  const devices = forecast.devices === 1 ? "1 device" : `${forecast.devices} devices`;
  const state = forecast.state.toLowerCase().replaceAll("_", " ");
  const line = element("p", "mb-2");
  if (forecast.ends_at === null) {
    line.append(element("strong", "", `${devices}, not over within a year`), `: it would still be ${state}.`);
    return line;
  }
  line.append(
    element("strong", "", `${devices}, over after ${span(forecast.duration_s ?? 0)}`),
    `: from ${moment(forecast.begins_at)} to ${moment(forecast.ends_at)}, then `,
    element("strong", "", state),
    ".",
  );
  return line;
}

function groups(forecast) {
  const table = element("table", "table table-sm table-vcenter table-stack mb-2");
  const head = element("tr");
  const names = ["Group", "Devices", "Begins", "Next group", "Over", "Succeeded", "Failed", "Rolled back"];
  for (const name of names) head.append(element("th", "", name));
  const body = element("tbody");
  for (const group of forecast.groups) {
    const row = element("tr");
    const cells = [
      group.name, group.devices, moment(group.begins_at), moment(group.passes_at), moment(group.ends_at),
      group.succeeded, group.failed, group.rolled_back,
    ];
    for (const [at, cell] of cells.entries()) {
      const place = element("td", at === 0 ? "text-break fw-medium" : "", String(cell));
      place.dataset.label = names[at];
      row.append(place);
    }
    body.append(row);
  }
  const top = element("thead");
  top.append(head);
  table.append(top, body);
  const box = element("div", "table-responsive");
  box.append(table);
  return box;
}

function log(forecast) {
  const details = element("details", "mt-2");
  details.append(element("summary", "text-secondary", "What would happen"));
  const lines = element("ol", "list-unstyled mb-0 mt-1 rollout-log");
  for (const line of forecast.log) {
    const item = element("li", "text-break");
    item.append(element("span", "small text-secondary", moment(line.time)), ` ${line.text}`);
    lines.append(item);
  }
  details.append(lines);
  return details;
}

export function showForecast(place, forecast) {
  const parts = [element("h3", "rollout-part", "Rehearsal"), headline(forecast)];
  if (forecast.reason) parts.push(element("p", "text-break mb-2", forecast.reason));
  if (forecast.warnings.length > 0) {
    const box = list("", forecast.warnings, "alert alert-warning mb-2");
    box.setAttribute("role", "alert");
    parts.push(box);
  }
  parts.push(groups(forecast));
  if (forecast.assumptions.length > 0) {
    parts.push(list("Assumed, as it is not known", forecast.assumptions, "small text-secondary"));
  }
  if (forecast.log.length > 0) parts.push(log(forecast));
  place.replaceChildren(...parts);
  place.hidden = false;
}
