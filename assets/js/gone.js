// A device that is forgotten while somebody looks at its page: it says so at once, and begins anew when the device is back.

let isGone = false;

// True when there is nothing left that could change.
export function goneOrBack(messages) {
  for (const { kind } of messages) {
    if (kind === "forgotten" && !isGone) say();
    if (kind === "registered" && isGone) location.reload();
  }
  return isGone;
}

function say() {
  isGone = true;
  for (const button of document.querySelectorAll("main button, .page-header button, main input, main select")) {
    button.disabled = true;
  }
  const notice = document.createElement("div");
  notice.className = "alert alert-danger";
  notice.id = "gone";
  notice.setAttribute("role", "alert");
  const text = document.createElement("div");
  text.textContent = "This device was forgotten with all its data. What you see is not there any more; should the device register again, this page begins anew. ";
  const link = document.createElement("a");
  link.href = "/devices";
  link.className = "fw-bold text-reset text-decoration-underline";
  link.textContent = "The list of devices";
  text.append(link);
  notice.append(text);
  document.getElementById("device").prepend(notice);
  notice.scrollIntoView({ block: "nearest" });
}
