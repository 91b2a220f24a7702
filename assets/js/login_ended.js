// The login of this page has ended: it says so and stays as it is, so that what was typed is not lost.

let notice = null;

// Says so, if it is so: other refusals look alike from here.
export async function loginEnded() {
  if (notice || !(await isOver())) return;
  const here = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  notice = document.createElement("div");
  notice.className = "alert alert-warning login-ended";
  notice.id = "login-ended";
  notice.setAttribute("role", "alert");
  const text = document.createElement("div");
  text.append("Your login has ended. ", link(here, "Log in"), " and come back here, or ");
  const other = link(here, "log in in another tab");
  other.target = "_blank";
  other.rel = "noopener";
  text.append(other, ": what you have typed stays.");
  notice.append(text);
  document.body.append(notice);
  window.addEventListener("focus", lookAgain);
}

async function lookAgain() {
  if (!notice || (await isOver())) return;
  notice.remove();
  notice = null;
  window.removeEventListener("focus", lookAgain);
  document.dispatchEvent(new Event("login-back"));
}

async function isOver() {
  try {
    const answer = await fetch("/api/v1/session", { headers: { Accept: "application/json" } });
    return answer.status === 401;
  } catch {
    // The server is away; that is another matter.
    return false;
  }
}

function link(href, text) {
  const element = document.createElement("a");
  element.className = "fw-bold text-reset text-decoration-underline";
  element.href = href;
  element.textContent = text;
  return element;
}
