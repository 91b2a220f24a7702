// Keeps "3 min ago" true, and shows the person's own time on hover.

import { ago } from "./words.js";

const format = (options) => new Intl.DateTimeFormat(undefined, { hourCycle: "h23", ...options });
const exact = format({ dateStyle: "medium", timeStyle: "long" });
const clock = format({ timeStyle: "medium" });
const dated = format({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

// Writes a moment (milliseconds or RFC 3339) into a <time>.
export function setTime(element, moment) {
  const date = new Date(moment);
  if (!element || Number.isNaN(date.getTime())) return;
  element.setAttribute("datetime", date.toISOString());
  write(element, Date.now());
}

export function makeTime(moment) {
  const element = document.createElement("time");
  setTime(element, moment);
  return element;
}

function write(element, now) {
  const time = Date.parse(element.getAttribute("datetime"));
  if (Number.isNaN(time)) return;
  const text = "clock" in element.dataset ? atClock(time, now) : ago(time, now);
  if (element.textContent !== text) element.textContent = text;
  if (element.dataset.exact !== String(time)) {
    element.dataset.exact = String(time);
    element.title = exact.format(time);
  }
}

// A moment of a story. Its title has the year and the zone.
function atClock(time, now) {
  const isToday = new Date(time).toDateString() === new Date(now).toDateString();
  return (isToday ? clock : dated).format(time);
}

export function writeTimes(root = document) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[datetime]")) write(element, now);
}

// What is to be done every second while somebody looks: at one moment, so that the page is laid out once for all of it.
export function everySecond(work) {
  works.push(work);
}

const works = [];

writeTimes();
setInterval(() => {
  if (document.hidden) return;
  const now = Date.now();
  // Long lists look after their own times: most of them nobody sees.
  for (const element of document.querySelectorAll("time[datetime]")) {
    if (!element.closest("[data-own-times]")) write(element, now);
  }
  for (const work of works) work(now);
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) writeTimes();
});
