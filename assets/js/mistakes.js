// What the server found wrong with a form is said beside its field instead of above the form, and the keyboard is taken
// there. Where no such field is in sight, it stays where it is.

for (const alert of document.querySelectorAll("[data-mistake]")) {
  const input = find(alert);
  if (input) say(input, alert);
}

function find(alert) {
  const { mistake, of } = alert.dataset;
  const around = alert.closest("form");
  const forms = around ? [around] : Array.from(document.forms).filter((form) => form.getAttribute("action") === location.pathname);
  const form = forms.find((one) => !of || one.elements.namedItem("name")?.value === of);
  const input = form?.elements.namedItem(mistake);
  if (!(input instanceof HTMLElement) || input.type === "hidden") return null;
  const folded = input.closest("details");
  if (folded) folded.open = true;
  return input.checkVisibility() ? input : null;
}

function say(input, alert) {
  const text = document.createElement("div");
  text.className = "invalid-feedback d-block text-break";
  text.id = `${input.name}-mistake`;
  text.textContent = alert.querySelector("[data-text]").textContent;
  (input.closest(".input-group") ?? input).after(text);
  input.classList.add("is-invalid");
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", text.id);
  alert.remove();
  input.focus();
  input.addEventListener("input", () => {
    input.classList.remove("is-invalid");
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
    text.remove();
  }, { once: true });
}
