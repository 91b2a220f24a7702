// A new element with its classes and its text, which is never markup.
export function element(tag, classes = "", text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}

// Shows that a row has just changed. Of two classes, so that the sign begins anew without a layout in between.
export function mark(row) {
  const again = row.classList.contains("changed");
  row.classList.toggle("changed", !again);
  row.classList.toggle("changed-again", again);
}
