// Fetches the page anew and exchanges parts of it: elements with an id and data-refresh. What the
// person has opened stays open, and the keyboard's place is kept.

import { loginEnded } from "./login_ended.js";
import { writeTimes } from "./time.js";

const MIN_INTERVAL = 1000;
// A page that takes long is fetched less often: so many times as long lies in between, up to a time.
const REST = 4;
const LONGEST_REST = 15000;
// A page that does not come is asked for again, after longer and longer.
const LONGEST_PAUSE = 30000;
const PATIENCE = 30000;
// Messages that come meanwhile are kept, up to so many.
const MOST_KEPT = 5000;
let took = 0;
let failures = 0;
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
  const rest = Math.max(MIN_INTERVAL, Math.min(took * REST, LONGEST_REST));
  const pause = failures > 0 ? Math.min(MIN_INTERVAL * 2 ** failures, LONGEST_PAUSE) : rest;
  timer = setTimeout(run, Math.max(50, last + pause - Date.now()));
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
  // What comes while the page is on its way may not be in it yet.
  let meanwhile = [];
  let tooMuch = false;
  const keep = ({ detail }) => {
    tooMuch ||= meanwhile.length + detail.length > MOST_KEPT;
    meanwhile = tooMuch ? [] : meanwhile.concat(detail);
  };
  document.addEventListener("live", keep);
  let fresh = null;
  try {
    fresh = await load();
    failures = 0;
  } catch {
    failures += 1;
  }
  document.removeEventListener("live", keep);
  last = Date.now();
  took = last - begun;
  running = false;
  // What is shown is not true until it comes.
  if (failures > 0 || tooMuch) for (const id of ids) wanted.add(id);
  if (fresh) {
    const seq = Number(fresh.body.dataset.seq || 0);
    const newer = meanwhile.filter((message) => message.seq > seq);
    for (const id of ids) exchange(id, fresh.getElementById(id), newer);
  }
  if (wanted.size > 0) schedule();
}

// The page as the server has it now; nothing where this one has no sense any more.
async function load() {
  const signal = AbortSignal.timeout(PATIENCE);
  const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal });
  if (response.redirected && new URL(response.url).pathname === "/login") {
    loginEnded();
    return null;
  }
  if (leaving) return null;
  if (response.status === 403 || response.status === 404) {
    location.reload();
    return null;
  }
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

// `refreshed` is told with the messages that the new part does not know of yet.
function exchange(id, fresh, newer) {
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
  keepWhatIsFilledIn(old, part);
  const active = old.contains(document.activeElement) ? document.activeElement : null;
  const focus = active && describe(active);
  const caret = active?.matches("input[type=text], input[type=search], input:not([type]), textarea") ? active.selectionStart : null;
  old.replaceWith(part);
  writeTimes(part);
  const same = focus ? part.querySelector(focus) : null;
  same?.focus({ preventScroll: true });
  if (caret !== null && same?.setSelectionRange) same.setSelectionRange(caret, caret);
  part.dispatchEvent(new CustomEvent("refreshed", { bubbles: true, detail: newer }));
}

// What the person has filled in or chosen, and not sent yet.
function keepWhatIsFilledIn(old, part) {
  for (const control of old.querySelectorAll("form :is(input, select, textarea)[id]")) {
    const same = part.querySelector(`#${CSS.escape(control.id)}`);
    if (!same || same.type !== control.type || control.type === "file") continue;
    if (control.type === "checkbox" || control.type === "radio") {
      if (control.checked !== control.defaultChecked) same.checked = control.checked;
    } else if (control.localName === "select") {
      // What cannot be chosen any more is not.
      const option = Array.from(same.options).find(({ value }) => value === control.value);
      if (option) option.selected = true;
    } else if (control.value !== control.defaultValue) {
      same.value = control.value;
    }
  }
}

// How to find the same control again.
function describe(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const row = element.closest("[data-operation], [data-endpoint], [data-user]");
  const label = element.getAttribute("aria-label");
  if (row && label && row !== element) {
    const name = ["operation", "endpoint", "user"].find((one) => one in row.dataset);
    return `[data-${name}="${CSS.escape(row.dataset[name])}"] [aria-label="${CSS.escape(label)}"]`;
  }
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
