// How busy the server is: from its own metrics, while somebody looks.

import { duration, size } from "./words.js";

const EVERY = 5000;

let before = null;

// The sum of a metric over all its labels; nothing where it is not there.
function sum(text, name) {
  let total = null;
  for (const line of text.split("\n")) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length);
    if (rest[0] !== " " && rest[0] !== "{") continue;
    const number = Number(rest.slice(rest.lastIndexOf(" ") + 1));
    if (Number.isFinite(number)) total = (total ?? 0) + number;
  }
  return total;
}

function show(id, text) {
  const place = document.getElementById(id);
  if (place && place.textContent !== text) place.textContent = text;
}

function rate(now, then, seconds) {
  if (now === null || then === null || seconds <= 0 || now < then) return "–";
  const rate = (now - then) / seconds;
  return rate >= 10 ? String(Math.round(rate)) : String(Number(rate.toFixed(1)));
}

async function look() {
  if (document.hidden) return;
  let text;
  try {
    const answer = await fetch("/metrics");
    if (!answer.ok) return;
    text = await answer.text();
  } catch {
    // The server is away; the live connection says so.
    return;
  }
  const now = {
    at: performance.now(),
    datagrams: sum(text, "flownexus_coap_datagrams_received_total"),
    values: sum(text, "flownexus_store_values_total"),
  };
  if (before) {
    const seconds = (now.at - before.at) / 1000;
    show("load-datagrams", rate(now.datagrams, before.datagrams, seconds));
    show("load-values", rate(now.values, before.values, seconds));
  }
  before = now;
  const journal = sum(text, "flownexus_store_journal_waiting_bytes");
  const lag = sum(text, "flownexus_history_lag_seconds");
  show("load-journal", journal === null ? "–" : size(journal));
  show("load-history", lag === null ? "–" : duration(Math.max(0, Math.round(lag))));
}

look();
setInterval(look, EVERY);
