// Short messages in the corner. Texts are from people and devices, so only ever textContent.

const LOOKS = {
  good: ["alert-success", 6000],
  bad: ["alert-danger", 15000],
  wait: ["alert-info", 8000],
};

export function toast(look, title, text = "") {
  const [colour, milliseconds] = LOOKS[look];
  const box = document.createElement("div");
  box.className = `alert toast-line ${colour}`;
  box.dataset.toast = look;
  const body = document.createElement("div");
  const head = document.createElement("div");
  head.className = "fw-medium";
  head.textContent = title;
  body.append(head);
  if (text) {
    const line = document.createElement("div");
    line.className = "toast-text";
    line.textContent = text;
    body.append(line);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn-close";
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => box.remove());
  box.append(body, close);
  const list = document.getElementById("toasts");
  list.append(box);
  while (list.children.length > 4) list.firstElementChild.remove();
  setTimeout(() => box.remove(), milliseconds);
}
