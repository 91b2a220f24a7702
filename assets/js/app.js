// What every page has: menus, the theme, questions before something is removed, cancelling.

import "./mistakes.js";
import "./time.js";
import { api } from "./api.js";
import { refresh } from "./refresh.js";
import { toast } from "./toast.js";

// What was missed while the login was over.
document.addEventListener("login-back", () => refresh());

const menuButton = document.getElementById("menu-button");
menuButton.addEventListener("click", () => {
  const open = document.getElementById("menu").classList.toggle("show");
  menuButton.setAttribute("aria-expanded", String(open));
});

document.getElementById("theme-button").addEventListener("click", () => {
  const root = document.documentElement;
  const theme = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Private windows: the choice lasts as long as the page.
  }
  root.setAttribute("data-bs-theme", theme);
  window.dispatchEvent(new CustomEvent("theme", { detail: theme }));
});

// Menus close when somebody goes elsewhere, by pointer or keyboard.
const openMenus = () => document.querySelectorAll("details.dropdown-native[open]");
for (const kind of ["click", "focusin"]) {
  document.addEventListener(kind, (event) => {
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const typing = event.target.closest("input, textarea, select, dialog");
  const search = document.getElementById("search");
  if (event.key === "/" && search && !typing) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-repeat]");
  if (!button) return;
  const { repeat, question } = button.dataset;
  if (question && !window.confirm(question)) return;
  button.disabled = true;
  try {
    const operation = await api("POST", `/operations/${encodeURIComponent(repeat)}/repeat`);
    toast("wait", "Asked again", operation.waits_for ? `It waits for ${operation.waits_for}.` : "");
  } catch (error) {
    toast("bad", "Not asked again", error.message);
  }
  refresh();
});

document.addEventListener("click", async (event) => {
  const select = event.target.closest("[data-select]");
  if (select) select.select();
  const button = event.target.closest("[data-cancel]");
  if (!button) return;
  button.disabled = true;
  try {
    await api("DELETE", `/operations/${encodeURIComponent(button.dataset.cancel)}`);
    toast("good", "Cancelled");
  } catch (error) {
    toast("bad", "Not cancelled", error.message);
  }
  refresh();
});
