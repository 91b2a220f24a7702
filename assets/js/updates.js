// Firmware updates of devices: begun and cancelled on the page of a device; lists follow what happens.

import { api } from "./api.js";
import { live } from "./live.js";
import { complain } from "./mistakes.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

const device = document.getElementById("device")?.dataset.endpoint;

async function begin(form) {
  const error = document.getElementById("update-error");
  const body = { endpoint: device, firmware_id: Number(form.elements.namedItem("firmware_id").value) };
  const method = form.elements.namedItem("method").value;
  if (method) body.method = method;
  complain(form, error);
  try {
    await api("POST", "/firmware-updates", body);
    refresh(["firmware"]);
  } catch (problem) {
    complain(form, error, problem);
  }
}

async function cancel(button) {
  button.disabled = true;
  try {
    await api("DELETE", `/firmware-updates/${button.dataset.cancelUpdate}`);
  } catch (problem) {
    toast("bad", "Not cancelled", problem.message);
  }
  refresh(["firmware", "updates"]);
}

document.addEventListener("submit", (event) => {
  if (event.target.id !== "update-form") return;
  event.preventDefault();
  begin(event.target);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-cancel-update]");
  if (button) cancel(button);
});

// The page of a device listens already.
if (!device) {
  live(
    ["fleet"],
    (messages) => {
      if (messages.some((message) => message.kind === "firmware_update")) refresh(["updates"]);
    },
    () => refresh(),
  );
}
