// The dialog in which a chart is given a title and pinned to the overview.

import { api } from "./api.js";
import { complain } from "./mistakes.js";
import { toast } from "./toast.js";

// `view`: the query of the chart's address.
export function openPin(title, view) {
  const dialog = document.getElementById("pin-dialog");
  const field = document.getElementById("pin-title");
  const problem = dialog.querySelector("[role=alert]");
  field.value = title.slice(0, 100);
  const form = dialog.querySelector("form");
  complain(form, problem);
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      await api("POST", "/pinned-charts", { title: field.value, view });
      dialog.close();
      toast("good", "Pinned to the overview", field.value);
    } catch (error) {
      complain(form, problem, error);
    }
  };
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  dialog.showModal();
  field.select();
}
