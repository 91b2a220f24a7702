// The page of what was asked of many devices: it follows how it stands with each.

import "./bulk_progress.js";
import { live } from "./live.js";
import { refresh } from "./refresh.js";

// Its operations go on after each device has had its turn.
const KINDS = new Set(["operation", "bulk", "forgotten"]);

live(
  ["fleet"],
  (messages) => {
    if (messages.some(({ kind }) => KINDS.has(kind))) refresh();
  },
  () => refresh(),
);
