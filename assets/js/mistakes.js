// What is wrong with a form is said beside the field that it is about, and the keyboard is taken there. Where no such field
// is in sight, it stands where the form says what is wrong with the whole.

for (const alert of document.querySelectorAll("[data-mistake]")) {
  const form = formOf(alert);
  const input = form && field(form, alert.dataset.mistake);
  if (!input) continue;
  say(input, alert.querySelector("[data-text]").textContent);
  alert.remove();
}

// Of the form that was sent: the page has its address, and perhaps one such form for each person.
function formOf(alert) {
  const around = alert.closest("form");
  if (around) return around;
  const { of } = alert.dataset;
  const forms = Array.from(document.forms).filter((form) => form.getAttribute("action") === location.pathname);
  return forms.find((form) => !of || form.elements.namedItem("name")?.value === of);
}

// What is wrong with a control, to be thrown.
export function wrong(input, text) {
  return Object.assign(new Error(text), { input });
}

// An error of the API, one about a control, or nothing: what was said before is taken away. `place`: for what is about
// the whole.
export function complain(form, place, error = null) {
  for (const input of form.querySelectorAll("[aria-invalid]")) forget(input);
  const named = error?.field ? field(form, error.field.split(".").at(-1)) : null;
  const input = error?.input?.checkVisibility() ? error.input : named;
  place.textContent = input ? "" : (error?.message ?? "");
  if (input) say(input, error.message);
}

// Fields are named as the API names them, or have that behind a dash in their ids.
function field(form, name) {
  const key = CSS.escape(name);
  for (const input of form.querySelectorAll(`[name="${key}"], [id$="-${key}"]`)) {
    if (!input.matches("input:not([type=hidden]), select, textarea")) continue;
    const folded = input.closest("details");
    if (folded) folded.open = true;
    if (input.checkVisibility()) return input;
  }
  return null;
}

function say(input, text) {
  const words = document.createElement("div");
  words.className = "invalid-feedback d-block text-break";
  if (!input.id && !input.name) input.id = `field-${Math.random().toString(36).slice(2)}`;
  words.id = `${input.id || input.name}-mistake`;
  words.textContent = text;
  // Not between controls that stand in one row.
  (input.closest("[data-row]") ?? input.closest(".input-group") ?? input).after(words);
  input.classList.add("is-invalid");
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", words.id);
  input.focus();
  input.addEventListener("input", () => forget(input), { once: true });
}

function forget(input) {
  document.getElementById(input.getAttribute("aria-describedby"))?.remove();
  input.classList.remove("is-invalid");
  input.removeAttribute("aria-invalid");
  input.removeAttribute("aria-describedby");
}
