// Fetches the page anew and exchanges parts of it: elements with an id and data-refresh. What the
// person has opened stays open, and the keyboard's place is kept.

import { loginEnded } from "./login_ended.js";
import { writeTimes } from "./time.js";

const MIN_INTERVAL = 1000;
// A page that takes long is fetched less often: so many times as long lies in between.
const REST = 4;
let took = 0;
let wanted = new Set();
let timer = null;
let last = 0;
let running = false;
let leaving = false;

// Asks for some parts, or for all. Many calls become one fetch a second at most.
export function refresh(ids) {
  for (const id of ids || allIds()) wanted.add(id);
  schedule();
}

// Opens another page in the place of this one, which may not be there any more: to load it again would keep the browser here.
export function leaveFor(address) {
  leaving = true;
  location.assign(address);
}

// Back again, out of the browser's memory.
window.addEventListener("pageshow", () => {
  leaving = false;
});

function schedule() {
  // Nothing is fetched while nobody looks.
  if (leaving || timer !== null || running || document.hidden) return;
  timer = setTimeout(run, Math.max(50, last + Math.max(MIN_INTERVAL, took * REST) - Date.now()));
}

document.addEventListener("visibilitychange", () => {
  if (wanted.size > 0) schedule();
});

async function run() {
  timer = null;
  const ids = wanted;
  wanted = new Set();
  if (ids.size === 0) return;
  running = true;
  const begun = Date.now();
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (response.redirected && new URL(response.url).pathname === "/login") {
      loginEnded();
      return;
    }
    if (leaving) return;
    if (response.status === 404) {
      location.reload();
      return;
    }
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ids) exchange(id, fresh.getElementById(id));
  } catch {
    // Offline: the live connection says so, and asks again when it is back.
  } finally {
    last = Date.now();
    took = last - begun;
    running = false;
    if (wanted.size > 0) schedule();
  }
}

function exchange(id, fresh) {
  const old = document.getElementById(id);
  if (!old || !fresh) return;
  const part = document.importNode(fresh, true);
  for (const details of old.querySelectorAll("details[id]")) {
    const same = part.querySelector(`#${CSS.escape(details.id)}`);
    if (same) {
      same.open = details.open;
      if (details.dataset.all) showAll(same);
    }
  }
  const focus = old.contains(document.activeElement) ? describe(document.activeElement) : null;
  old.replaceWith(part);
  writeTimes(part);
  if (focus) part.querySelector(focus)?.focus({ preventScroll: true });
  part.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
}

// How to find the same control again.
function describe(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.dataset.action) {
    return `[data-action="${CSS.escape(element.dataset.action)}"][data-path="${CSS.escape(element.dataset.path || "")}"]`;
  }
  const href = element.getAttribute("href");
  return href ? `a[href="${CSS.escape(href)}"]` : null;
}

function allIds() {
  return Array.from(document.querySelectorAll("[data-refresh][id]"), (element) => element.id);
}

// Shows every resource of an instance's table, those included that only the model knows.
export function showAll(details) {
  details.dataset.all = "true";
  for (const row of details.querySelectorAll("tr[hidden]")) row.hidden = false;
  details.querySelector("[data-more]")?.closest(".card-footer").remove();
}
