// Sets light or dark before anything is painted: the person's choice, else the system's.
// A classic script in the head, so that nothing flashes.
(function () {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  function chosen() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  }
  function apply() {
    const theme = chosen() || (system.matches ? "dark" : "light");
    document.documentElement.setAttribute("data-bs-theme", theme);
    window.dispatchEvent(new CustomEvent("theme", { detail: theme }));
  }
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  apply();
})();
