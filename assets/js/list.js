// Lists of events and operations: the first page fetches itself anew when something happens.

import { live } from "./live.js";
import { refresh } from "./refresh.js";

const list = document.getElementById("list");
const kinds = list.dataset.kinds.split(",");

live(
  [list.dataset.topic || "fleet"],
  (messages) => {
    const first = document.getElementById("list").dataset.first === "true";
    if (first && messages.some((message) => kinds.includes(message.kind))) refresh(["list"]);
  },
  () => refresh(),
);
