// A page of something that is under way fetches its parts anew every two seconds, until nothing of it goes on any more:
// then the server leaves `data-follow` out. Nothing is fetched while nobody looks.

import { refresh } from "./refresh.js";

const EVERY = 2000;

function look() {
  if (!document.hidden && document.querySelector("[data-follow]")) refresh();
}

setInterval(look, EVERY);
document.addEventListener("visibilitychange", look);
