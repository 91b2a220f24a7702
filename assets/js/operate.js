// The dialog in which a device is asked for anything, and told what became of it.

import { api } from "./api.js";
import { join, levels, paths } from "./known.js";
import { complain } from "./mistakes.js";
import { fieldsFor } from "./operate_fields.js";
import { fits, isComposite, KINDS } from "./operate_kinds.js";
import { isFinal, showResult } from "./operate_result.js";
import { refresh } from "./refresh.js";

// How long the request itself waits; what takes longer is told by the live socket, and asked for.
const WAIT_SECONDS = 2;
const ASK_AGAIN = 3000;

const dialog = document.getElementById("operate");
const form = dialog?.querySelector("form");
const part = (name) => document.getElementById(`operate-${name}`);
const endpoint = document.getElementById("device").dataset.endpoint;

// What reads the fields, the paths that were ticked, the operation that is followed.
let fields = null;
let chosen = [];
let followed = null;
let timer = null;
// Fields are made asynchronously: only the latest wish counts.
let wish = 0;

// Opens the dialog for a kind at a path, or at several.
export function openOperate({ kind = "read", path = "", several = [] }) {
  if (!dialog) return;
  chosen = several;
  part("path").value = path;
  complain(form, part("error"));
  part("format").value = "";
  part("expires").value = "";
  part("repeat").checked = false;
  part("options").open = false;
  part("paths").replaceChildren(...paths().map((known) => new Option(known.name, known.path)));
  follow(null);
  choose(kind);
  dialog.showModal();
  const field = isComposite(kind) ? part("filter") : path ? null : part("path");
  field?.focus();
}

// A live message about an operation.
export function operationChanged(message) {
  if (followed && message.id === followed.id) ask();
}

if (dialog) {
  for (const [name, composite] of [
    ["One path", false],
    ["Several paths", true],
  ]) {
    const group = document.createElement("optgroup");
    group.label = name;
    for (const [kind, { words }] of Object.entries(KINDS)) {
      if (isComposite(kind) === composite) group.append(new Option(words, kind));
    }
    part("kind").append(group);
  }
  part("kind").addEventListener("change", () => choose(part("kind").value));
  part("path").addEventListener("input", () => choose(part("kind").value));
  part("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => follow(null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

// Shows what belongs to a kind at the present path.
async function choose(wanted) {
  const ids = levels(part("path").value);
  const depth = ids?.length || 0;
  for (const option of part("kind").options) option.disabled = depth > 0 && !fits(option.value, depth);
  let kind = wanted;
  if (depth > 0 && !fits(kind, depth)) kind = Object.keys(KINDS).find((other) => fits(other, depth));
  part("kind").value = kind;
  const composite = isComposite(kind);
  const { hint, format, repeat } = KINDS[kind];
  part("place").hidden = composite;
  part("hint").textContent = hint;
  part("format-box").hidden = !format;
  part("repeat-box").hidden = !repeat;
  complain(form, part("error"));
  part("submit").textContent = KINDS[kind].words;
  part("submit").classList.toggle("btn-danger", kind === "delete");
  const mine = ++wish;
  const made = composite || ids ? await fieldsFor(kind, ids || [], chosen) : null;
  if (mine !== wish) return;
  fields = made;
  part("fields").replaceChildren(...(made ? [made.place] : []));
}

function request() {
  const kind = part("kind").value;
  const body = { kind };
  if (!isComposite(kind)) {
    const ids = levels(part("path").value);
    if (!ids) throw about("path", "A path has one to four numbers, for example /3/0/9.");
    body.path = join(ids);
  }
  if (!fields) throw new Error("One moment: the fields are not there yet.");
  Object.assign(body, fields.read());
  if (KINDS[kind].format && part("format").value) body.format = part("format").value;
  if (KINDS[kind].repeat && part("repeat").checked) body.repeat = true;
  if (!part("expires").validity.valid) throw about("expires_in_s", "A whole number of seconds from 1 on.");
  if (part("expires").value) body.expires_in_s = Number(part("expires").value);
  return body;
}

// An error that names its field, as those of the API do.
function about(field, text) {
  return Object.assign(new Error(text), { field });
}

async function send() {
  const submit = part("submit");
  complain(form, part("error"));
  let body;
  try {
    body = request();
  } catch (error) {
    complain(form, part("error"), error);
    return;
  }
  submit.disabled = true;
  submit.classList.add("btn-loading");
  follow(null);
  try {
    follow(await api("POST", `/endpoints/${encodeURIComponent(endpoint)}/operations?wait=${WAIT_SECONDS}`, body));
  } catch (error) {
    complain(form, part("error"), error);
  } finally {
    submit.disabled = false;
    submit.classList.remove("btn-loading");
  }
}

// Shows an operation and what becomes of it, until its end or that of the dialog.
function follow(operation) {
  clearTimeout(timer);
  followed = operation;
  if (!operation) {
    part("result").hidden = true;
    part("result").replaceChildren();
    return;
  }
  showResult(part("result"), operation);
  part("result").scrollIntoView({ block: "nearest" });
  refresh(["operations", "headline"]);
  if (isFinal(operation)) {
    if (operation.kind.includes("observe")) refresh(["objects", "observations"]);
  } else {
    timer = setTimeout(ask, ASK_AGAIN);
  }
}

async function ask() {
  const asked = followed;
  if (!asked) return;
  clearTimeout(timer);
  try {
    const operation = await api("GET", `/operations/${asked.id}`);
    if (followed?.id === asked.id) follow(operation);
  } catch {
    if (followed?.id === asked.id) timer = setTimeout(ask, ASK_AGAIN);
  }
}
