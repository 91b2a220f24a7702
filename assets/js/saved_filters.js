// Lists of devices that are saved under a name: filter, order and columns, as the address says them.

import { api } from "./api.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

// What the list shows now. The place in the list is no part of it, the columns are, wherever they come from.
function view() {
  const words = new URLSearchParams(location.search);
  words.delete("cursor");
  const boxes = Array.from(document.querySelectorAll("[data-column]:checked"), (box) => box.dataset.column);
  words.set("columns", ["name", ...boxes].join(","));
  for (const [name, value] of [...words]) if (value === "") words.delete(name);
  return words.toString();
}

document.addEventListener("submit", async (event) => {
  if (event.target.id !== "save-filter") return;
  event.preventDefault();
  const form = event.target;
  const name = form.elements.name.value;
  try {
    const body = { name, view: view(), shared: form.elements.shared?.checked ?? false };
    const saved = await api("POST", "/saved-filters", body);
    toast("good", `Saved as ${saved.name}`);
    form.reset();
  } catch (error) {
    toast("bad", "Not saved", error.message);
    return;
  }
  refresh(["saved-filters"]);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-remove-filter]");
  if (!button) return;
  if (!window.confirm(`Remove the filter ${button.dataset.name}?`)) return;
  button.disabled = true;
  try {
    await api("DELETE", `/saved-filters/${button.dataset.removeFilter}`);
    toast("good", `Removed ${button.dataset.name}`);
  } catch (error) {
    toast("bad", "Not removed", error.message);
  }
  refresh(["saved-filters"]);
});
