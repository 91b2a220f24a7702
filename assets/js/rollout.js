// The page of a rollout: it follows what happens, and steers.

import { api } from "./api.js";
import "./follow.js";
import { leaveFor, refresh } from "./refresh.js";
import { toast } from "./toast.js";

const id = document.getElementById("rollout").dataset.rollout;

async function steer(button) {
  const { do: command, label, question } = button.dataset;
  if (question && !window.confirm(question)) return;
  button.disabled = true;
  try {
    await api("POST", `/rollouts/${id}/${command}`);
  } catch (error) {
    toast("bad", `Not done: ${label.toLowerCase()}`, error.message);
  }
  refresh();
}

async function remove(button) {
  if (!window.confirm(button.dataset.question)) return;
  button.disabled = true;
  try {
    await api("DELETE", `/rollouts/${id}`);
    leaveFor("/rollouts");
  } catch (error) {
    toast("bad", "Not removed", error.message);
    refresh();
  }
}

document.addEventListener("click", (event) => {
  const command = event.target.closest("[data-do]");
  if (command) steer(command);
  const removal = event.target.closest("[data-remove]");
  if (removal) remove(removal);
});
