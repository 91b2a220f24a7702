// The dialog for what people say of a device: its tags, and the times in which it can be reached.

import { api } from "./api.js";
import { complain } from "./mistakes.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

const dialog = document.getElementById("profile-dialog");
const page = document.getElementById("device");

// Opens it with what is said now.
export function openProfile({ tags, awakeS, edrxCycleS }) {
  if (!dialog) return;
  const { elements } = dialog.querySelector("form");
  elements.tags.value = tags;
  elements.awake_s.value = awakeS;
  elements.edrx_cycle_s.value = edrxCycleS;
  tell();
  dialog.showModal();
}

if (dialog) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    save(event.target).catch(tell);
  });
}

async function save(form) {
  const { tags, awake_s: awake, edrx_cycle_s: cycle } = form.elements;
  await api("PATCH", `/endpoints/${encodeURIComponent(page.dataset.endpoint)}`, {
    tags: tags.value.split(/\s+/).filter(Boolean),
    awake_s: seconds(awake),
    edrx_cycle_s: seconds(cycle),
  });
  dialog.close();
  toast("good", "Saved", "It counts at once.");
  refresh(["profile", "headline", "observations"]);
}

// An empty field takes the value away.
function seconds(field) {
  return field.value.trim() === "" ? null : Number(field.value);
}

function tell(error) {
  complain(dialog.querySelector("form"), dialog.querySelector("[role=alert]"), error);
}
