// What a device can be asked for: src/web/api/operation_request.rs holds requests to the same rules.

// `depths`: levels that a path may have. `format`: a content format may be chosen.
export const KINDS = {
  read: { words: "Read", depths: [1, 2, 3, 4], format: true, hint: "Asks for what is there now." },
  write: {
    words: "Write (replace)",
    depths: [2, 3, 4],
    format: true,
    hint: "Puts a value in the place of what is there; of an object instance, what is not given goes.",
  },
  write_update: {
    words: "Write (update)",
    depths: [2, 3],
    format: true,
    hint: "Changes what is given, and keeps the rest.",
  },
  execute: { words: "Execute", depths: [3], repeat: true, hint: "Runs a resource, with arguments or none." },
  create: {
    words: "Create",
    depths: [1, 2],
    format: true,
    repeat: true,
    hint: "Makes an object instance. Without a number the device chooses one.",
  },
  delete: { words: "Delete", depths: [2, 4], hint: "Removes an object instance or resource instance on the device." },
  discover: { words: "Discover", depths: [1, 2, 3], hint: "Asks what there is, and which attributes are set." },
  write_attributes: {
    words: "Write-Attributes",
    depths: [1, 2, 3, 4],
    hint: "Says when the device notifies: how often at least and at most, and at which values.",
  },
  observe: { words: "Observe", depths: [1, 2, 3, 4], format: true, hint: "Asks for notifications." },
  cancel_observe: { words: "Cancel observation", depths: [1, 2, 3, 4], format: true, hint: "Ends notifications." },
  read_composite: { words: "Read-Composite", format: true, hint: "Reads several paths at once." },
  write_composite: { words: "Write-Composite", format: true, hint: "Writes several resources at once." },
  observe_composite: { words: "Observe-Composite", format: true, hint: "Asks for notifications about several paths at once." },
  cancel_observe_composite: {
    words: "Cancel composite observation",
    format: true,
    hint: "Ends the notifications about these paths; they must be those that are observed.",
  },
};

export function isComposite(kind) {
  return kind.endsWith("_composite");
}

// The kinds that a path of so many levels can be used with.
export function fits(kind, depth) {
  return isComposite(kind) || KINDS[kind].depths.includes(depth);
}

// Notification attributes: name, what it means, whether it is for resources only.
export const ATTRIBUTES = [
  ["pmin", "seconds between notifications, at least", false],
  ["pmax", "seconds between notifications, at most", false],
  ["gt", "notify when the value goes above", true],
  ["lt", "notify when the value goes below", true],
  ["st", "notify when the value has changed by", true],
  ["epmin", "seconds between measurements, at least", false],
  ["epmax", "seconds between measurements, at most", false],
  ["edge", "1: when a switch goes on, 0: when it goes off", false],
  ["con", "1: notifications are confirmable, 0: they are not", false],
  ["hqmax", "values that are kept while nobody listens, at most", false],
];
