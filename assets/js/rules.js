// The form of a rule shows what belongs to the chosen condition. Without this script it shows all.

const kind = document.getElementById("kind");

function show() {
  for (const group of document.querySelectorAll("#rule-form [data-kind]")) {
    group.hidden = group.dataset.kind !== kind.value;
  }
}

kind?.addEventListener("change", show);
if (kind) show();
