// A page of rollouts fetches its parts anew when one of them goes on: each change of a rollout is told on its topic,
// and on that of the fleet.

import { live } from "./live.js";
import { refresh } from "./refresh.js";

const place = document.querySelector("[data-topic]");

live(
  [place.dataset.topic],
  (messages) => {
    if (messages.some(({ kind }) => kind === "rollout")) refresh();
  },
  () => refresh(),
);
