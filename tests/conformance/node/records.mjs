// Records (FMT): how one is read and written, and what makes a definition broken.

import { REASONS, TITLE, idOf, isId, level } from "./names.mjs";

const MOST_BYTES = 1048576;
const MOST_LEVELS = 1024;
const MOST_NUMBER = 999999999999999;

// FMT-4: what steers a terminal, reorders a line or cannot be seen.
const STEERING =
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{1d173}-\u{1d17a}\u{e0000}-\u{e007f}]/gu;

const escaped = (found) =>
  found === "\n"
    ? found
    : [...Array(found.length).keys()].map((k) => `\\u${found.charCodeAt(k).toString(16).padStart(4, "0")}`).join("");

/** The bytes of a record (FMT-1). */
export const written = (record) => Buffer.from(`${JSON.stringify(record, null, 2)}\n`.replace(STEERING, escaped));

/** One line of a log (FMT-8). */
export const line = (record) => Buffer.from(`${JSON.stringify(record).replace(STEERING, escaped)}\n`);

export const isBlank = (bytes) => bytes.every((byte) => byte === 0); // FMT-10

/** Throw if a value is what no record may hold (FMT-1). */
function inspect(value, depth) {
  if (depth > MOST_LEVELS) throw new Error("nested too deeply");
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new Error("a number that is too large");
    if (Number.isInteger(value) && Math.abs(value) > MOST_NUMBER) throw new Error("a whole number that is too large");
  } else if (typeof value === "string") {
    if (!value.isWellFormed()) throw new Error("half of a surrogate pair");
  } else if (value && typeof value === "object") {
    for (const [key, inner] of Object.entries(value)) {
      inspect(key, depth);
      inspect(inner, depth + 1);
    }
  }
}

/** The record that bytes hold; throws where they are broken. */
export function read(bytes) {
  if (bytes.length > MOST_BYTES) throw new Error("larger than a record may be");
  const record = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)); // skips one byte order mark
  if (!record || typeof record !== "object" || Array.isArray(record)) throw new Error("no JSON object");
  inspect(record, 1);
  return record;
}

const characters = (text) => [...text].length;
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** The full id of a step (FMT-7). */
export const stepId = (task, step) => {
  const id = idOf(step.id);
  return id.startsWith(`${task}.`) ? id : `${task}.${id}`;
};

/** What is wrong with a definition; empty if it is not broken (FMT-6). */
export function wrong(id, definition) {
  const { title, priority, dependencies, subtasks, renamed_from: before } = definition;
  if (idOf(definition.task_id) !== id) return "its task_id is not the id of its file";
  if (typeof title !== "string" || characters(title) > 500 || !TITLE.test(title))
    return "no title, or none of one line";
  for (const key of ["description", "details"]) {
    const text = definition[key];
    if (text !== undefined && (typeof text !== "string" || characters(text) > 200000))
      return `${key} is no text, or too long`;
  }
  if (priority !== undefined && level(priority) === null) return "an unknown priority";
  if (dependencies !== undefined) {
    if (!Array.isArray(dependencies) || dependencies.length > 1000) return "dependencies are no list, or too many";
    if (dependencies.some((one) => idOf(one) === null)) return "a dependency that is no id";
  }
  if (before !== undefined && (!isObject(before) || idOf(before.task) === null || typeof before.nonce !== "string"))
    return "renamed_from names no task and nonce";
  if (subtasks === undefined) return "";
  if (!Array.isArray(subtasks) || subtasks.length > 1000) return "subtasks are no list, or too many";
  if (subtasks.some((step) => !isObject(step) || idOf(step.id) === null || typeof step.title !== "string"))
    return "a step without id or title";
  const steps = subtasks.map((step) => stepId(id, step));
  if (new Set(steps).size < steps.length) return "two steps of one id";
  return steps.every(isId) ? "" : "a step's id is too long";
}

export const needs = (definition) => (definition.dependencies ?? []).map(idOf);
export const isCancelled = ({ cancelled }) => cancelled !== undefined && cancelled !== null && cancelled !== false;

/** Where a ticket belongs whose definition can be read (PLC-2): state, and reason, dependency or level. */
export function belongs(definition, standing) {
  if (isCancelled(definition)) return ["parked", "cancelled"];
  if (isObject(definition.parked) && REASONS.includes(definition.parked.why)) return ["parked", definition.parked.why];
  for (const id of needs(definition)) {
    const found = standing(id);
    if (found === "open") return ["waiting", id];
    if (found !== "done") return ["parked", "blocked"];
  }
  return ["ready", String(level(definition.priority ?? "medium"))];
}

/** The share of steps that are done, or null where there are no steps (RPT-3). */
export function share(definition, reported) {
  const steps = definition.subtasks ?? [];
  if (!steps.length) return null;
  const task = idOf(definition.task_id);
  const done = (step) => ["done", "completed"].includes(step.status) || reported.includes(stepId(task, step));
  return steps.filter(done).length / steps.length;
}

/** Wall time, for people (FMT-5). */
export const now = () => new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");
