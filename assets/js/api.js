// The REST API: JSON in and out; a problem document becomes an Error that says what it says.

import { loginEnded } from "./login_ended.js";

class ApiError extends Error {
  // `field`: what of the request is to blame, where one thing is.
  constructor(status, message, field = "") {
    super(message);
    this.status = status;
    this.field = field;
  }
}

export async function api(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(`/api/v1${path}`, options);
  } catch {
    throw new ApiError(0, "The server cannot be reached.");
  }
  const text = await response.text();
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    // Not every refusal on the way is ours.
  }
  if (response.ok) return json;
  if (response.status === 401) loginEnded();
  throw new ApiError(response.status, sentence(json?.detail || json?.title || `Error ${response.status}`), json?.field);
}

// As words.rs does.
export function sentence(text) {
  const plain = text.replaceAll(/`([^`]*)`/g, "“$1”");
  const whole = plain.charAt(0).toUpperCase() + plain.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
