// How what was asked of many devices goes on: cards fetch themselves anew when it does, and can take it back.

import { api } from "./api.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

// Operations of it go on after each device has had its turn.
const KINDS = new Set(["operation", "bulk"]);

// `messages`: of the live socket.
export function followBulks(messages) {
  const place = document.getElementById("bulks");
  if (!place) return;
  const isShown = place.querySelector("[data-bulk-card]") !== null;
  if (messages.some(({ kind }) => kind === "bulk" || (isShown && KINDS.has(kind)))) refresh(["bulks"]);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-cancel-bulk]");
  if (!button || !window.confirm(button.dataset.question)) return;
  button.disabled = true;
  try {
    await api("DELETE", `/bulk-operations/${button.dataset.cancelBulk}`);
  } catch (error) {
    toast("bad", "Not cancelled", error.message);
  }
  refresh();
});
