// The list of operations: those on the page change in place, new ones come to the first page; some are cancelled or
// asked for again together.

import { api } from "./api.js";
import { followBulks } from "./bulk_progress.js";
import { live } from "./live.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

// So many requests at the same time.
const TOGETHER = 4;

const bar = document.getElementById("selection");
const chosen = new Set();

live(
  ["fleet"],
  (messages) => {
    followBulks(messages);
    const list = document.getElementById("list");
    const isShown = ({ id }) => list.querySelector(`[data-operation="${CSS.escape(String(id))}"]`) !== null;
    const changes = messages.some((message) => message.kind === "operation" && (list.dataset.first === "true" || isShown(message)));
    if (changes || messages.some(({ kind }) => kind === "forgotten")) refresh(["list"]);
  },
  () => refresh(),
);

function boxes() {
  return Array.from(document.querySelectorAll("[data-select-operation]:not(:disabled)"));
}

function idOf(box) {
  return box.closest("tr").dataset.operation;
}

function show() {
  if (!bar) return;
  const all = boxes();
  const there = new Set(all.map(idOf));
  for (const id of chosen) if (!there.has(id)) chosen.delete(id);
  for (const box of all) box.checked = chosen.has(idOf(box));
  const page = document.getElementById("select-page");
  if (page) {
    page.checked = all.length > 0 && chosen.size === all.length;
    page.indeterminate = chosen.size > 0 && chosen.size < all.length;
  }
  bar.hidden = chosen.size === 0;
  document.getElementById("selection-count").textContent = chosen.size === 1 ? "1 operation selected" : `${chosen.size} operations selected`;
  document.getElementById("cancel-selected").disabled = rows(true).length === 0;
  document.getElementById("repeat-selected").disabled = rows(false).length === 0;
}

// The chosen ones that wait, or those that are over.
function rows(wait) {
  const all = boxes().filter((box) => box.checked).map((box) => box.closest("tr"));
  return all.filter((row) => (row.dataset.status === "QUEUED") === wait);
}

async function each(title, all, call) {
  const waiting = [...all];
  let done = 0;
  const errors = [];
  const work = async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      try {
        await call(encodeURIComponent(row.dataset.operation));
        done += 1;
      } catch (error) {
        errors.push(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, work));
  if (done > 0) toast("good", `${title}: ${done} of ${all.length}`);
  if (errors.length > 0) toast("bad", `${title}: ${errors.length} refused`, errors[0]);
  chosen.clear();
  show();
  refresh(["list"]);
}

document.addEventListener("click", (event) => {
  const { target } = event;
  if (target.matches("[data-select-operation]")) {
    if (target.checked) chosen.add(idOf(target));
    else chosen.delete(idOf(target));
    show();
  } else if (target.id === "select-page") {
    for (const box of boxes()) target.checked ? chosen.add(idOf(box)) : chosen.delete(idOf(box));
    show();
  } else if (target.id === "select-none") {
    chosen.clear();
    show();
  } else if (target.id === "cancel-selected") {
    each("Cancelled", rows(true), (id) => api("DELETE", `/operations/${id}`));
  } else if (target.id === "repeat-selected") {
    const again = rows(false);
    const delicate = again.filter((row) => "delicate" in row.dataset).length;
    const question = `${delicate} of these change something each time that they are done. Ask for them once more?`;
    if (delicate > 0 && !window.confirm(question)) return;
    each("Asked again", again, (id) => api("POST", `/operations/${id}/repeat`));
  }
});
document.addEventListener("refreshed", (event) => {
  if (event.target.id === "list") show();
});
show();
