// Which columns of the list of devices are shown: chosen in its menu, remembered by the browser. An address that names
// columns, such as that of a saved filter, counts more, and is changed with them.

import { refresh } from "./refresh.js";

const KEY = "device-columns";
// Those that begin hidden where there is little room; app.css knows the same ones.
const SPARE = [
  ["(max-width: 1399.98px)", ["lwm2m", "lifetime"]],
  ["(max-width: 767.98px)", ["address"]],
];

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    // Private windows, or somebody else wrote there.
    return {};
  }
}

function apply() {
  const chosen = remembered();
  const table = document.querySelector(".device-table");
  const isNamed = table?.hasAttribute("data-chosen");
  const spare = SPARE.flatMap(([narrow, names]) => (window.matchMedia(narrow).matches ? names : []));
  for (const box of document.querySelectorAll("[data-column]")) {
    const name = box.dataset.column;
    const head = table?.querySelector(`th.col-${CSS.escape(name)}`);
    // A column that the list is sorted by is always there.
    const isSorted = head?.hasAttribute("aria-sort");
    box.checked = isSorted || (isNamed ? box.defaultChecked : (chosen[name] ?? (box.defaultChecked && !spare.includes(name))));
    table?.classList.toggle(`without-${name}`, !box.checked);
  }
  table?.classList.add("is-chosen");
}

document.addEventListener("change", (event) => {
  const name = event.target.dataset?.column;
  if (!name) return;
  document.querySelector(".device-table")?.classList.toggle(`without-${name}`, !event.target.checked);
  const here = new URL(location.href);
  if (here.searchParams.get("columns")) {
    const boxes = document.querySelectorAll("[data-column]:checked");
    here.searchParams.set("columns", ["name", ...Array.from(boxes, (box) => box.dataset.column)].join(","));
    history.replaceState(null, "", here);
    refresh(["device-list"]);
    return;
  }
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...remembered(), [name]: event.target.checked }));
  } catch {
    // Then it lasts as long as the page.
  }
});
document.addEventListener("refreshed", (event) => {
  if (event.target.id === "device-list") apply();
});
for (const [narrow] of SPARE) window.matchMedia(narrow).addEventListener("change", apply);
apply();
