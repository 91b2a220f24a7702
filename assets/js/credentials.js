// The form of a credential: shows what belongs to the chosen kind, makes keys, reads files. Without this
// script it shows all, and keys and files are pasted.

const form = document.getElementById("credential-form");
const kind = document.getElementById("kind");
const endpoint = document.getElementById("endpoint");
const identity = document.getElementById("identity");
const key = document.getElementById("key");
const show = document.getElementById("key-show");

// Bytes of a new key: what AES-128 has.
const KEY_BYTES = 16;
// No certificate is larger; the server refuses it too.
const MAX_FILE_BYTES = 65536;

function showKind() {
  for (const group of form.querySelectorAll("[data-kind]")) {
    group.hidden = group.dataset.kind !== kind.value;
    // What is not shown is not sent, and cannot hold the form up.
    group.disabled = group.hidden;
  }
}

function showKey(visible) {
  key.type = visible ? "text" : "password";
  show.setAttribute("aria-pressed", String(visible));
  show.textContent = visible ? "Hide" : "Show";
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  key.value = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  showKey(true);
  key.select();
}

// The identity is usually the name of the device.
function suggestIdentity() {
  if (!identity.value) identity.value = endpoint.value.trim();
}

function base64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

async function readFile(input) {
  const [file] = input.files;
  const target = document.getElementById(input.dataset.into);
  input.setCustomValidity("");
  if (!file) return;
  if (file.size > MAX_FILE_BYTES) {
    input.setCustomValidity("This file is too large to be one.");
    input.reportValidity();
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = new TextDecoder().decode(bytes);
  target.value = text.includes("-----BEGIN") ? text : base64(bytes);
}

if (form) {
  showKind();
  suggestIdentity();
  kind.addEventListener("change", showKind);
  endpoint.addEventListener("change", suggestIdentity);
  show.addEventListener("click", () => showKey(key.type === "password"));
  document.getElementById("key-new").addEventListener("click", newKey);
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => readFile(input));
  }
}
