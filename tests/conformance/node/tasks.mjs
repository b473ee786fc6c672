// Tasks: their definitions (FMT, PLC-6), where their tickets belong (PLC), notes and results (RPT-2, END-4).

import path from "node:path";
import * as names from "./names.mjs";
import * as records from "./records.mjs";
import { Refused, Store } from "./store.mjs";

const { parse, shard, shown } = names;
const { isCancelled, now } = records;
const SCHEMA = { $schema: "../../schemas/definition.schema.json" };
const DEFAULTS = { heartbeat_seconds: 300, ttl_heartbeats: 3, max_attempts: 3 };
const ENDED_MOST = 20; // RPT-2
const STEADY = 2_000_000_000n; // nanoseconds (FMT-10)

/** The end of a command: its first line and exit code. */
export class Answer extends Error {
  constructor(first, code = 0) {
    super(first);
    this.code = code;
  }
}

export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isText = (value) => typeof value === "string";
export const isCount = (value) => Number.isInteger(value) && value >= 0;

/** Do what only leaves notes: it may fail (FMT-8, claim step 7). */
export function softly(work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return null;
  }
}

export class Tasks {
  constructor(root, me) {
    this.store = new Store(root);
    this.me = me;
    this.name = parse("incarnation", me ?? "")?.peer ?? null;
    this.home = `peers/${me}`;
  }

  /** Read protocol.json (LAY-3, VER-1). */
  enter() {
    let found;
    try {
      found = this.store.record("protocol.json");
    } catch (error) {
      throw error instanceof Refused ? error : new Answer(`protocol.json cannot be used: ${error.message}`, 1);
    }
    if (found === null) throw new Answer("no protocol.json", this.store.look("protocol.json") ? 1 : 3);
    const { protocol, store_id: id, settings } = found;
    const versions = ["version", "least_reader", "least_writer"].map((key) => protocol?.[key]);
    if (!versions.every((one) => Number.isInteger(one) && one > 0) || !names.isId(id))
      throw new Answer("protocol.json cannot be used", 1);
    if (versions[1] > 1 || versions[2] > 1) throw new Answer("made for newer programs", 1);
    this.settings = { ...DEFAULTS };
    for (const key of Object.keys(DEFAULTS)) {
      const value = isObject(settings) ? settings[key] : undefined;
      if (Number.isInteger(value) && value > 0) this.settings[key] = value; // LIM-2
    }
  }

  // ---- who and what

  /** End with `evicted` unless I am a peer (OPS-5, MBR-8). */
  mustBePeer() {
    if (!this.store.list("peers").includes(this.me)) throw new Answer("evicted", 4);
  }

  /** Whether a person took the team down (MBR-10). */
  isDown() {
    try {
      return this.store.list(".").includes("down.json") || this.store.look("down.json") !== null;
    } catch {
      return true; // one that cannot be read counts as there (MBR-10)
    }
  }

  /** End because a task is not in my hands (CMP-6). */
  lost(task) {
    this.mustBePeer();
    throw new Answer(`lost ${task}`, 4);
  }

  birth(task) {
    try {
      const found = this.store.record(`births/${shard(task)}/${task}.json`);
      return found && names.isId(found.nonce) && isCount(found.order) && isObject(found.definition) ? found : null;
    } catch (error) {
      if (error instanceof Refused) throw error;
      return null; // it stays where it is (FMT-3)
    }
  }

  /** Whether a file is there and not blank. */
  isThere(where) {
    try {
      const bytes = this.store.bytes(where);
      return bytes !== null && !records.isBlank(bytes);
    } catch (error) {
      if (error instanceof Refused) throw error;
      return true;
    }
  }

  isKnown(task) {
    return ["births", "tasks"].some((dir) => this.isThere(`${dir}/${shard(task)}/${task}.json`));
  }

  mustBeKnown(task) {
    if (!this.isKnown(task)) throw new Answer(`no task ${task}`, 3);
  }

  whereDefined(task) {
    return `tasks/${shard(task)}/${task}.json`;
  }

  /** The definition of a task, rebuilt from the birth if it is lost; null if it cannot be read (FMT-3, FMT-10, PLC-6). */
  definition(task) {
    const where = this.whereDefined(task);
    let bytes = null;
    try {
      bytes = this.store.bytes(where);
      if (bytes !== null && !records.isBlank(bytes)) {
        const found = records.read(bytes);
        const wrong = records.wrong(task, found);
        if (wrong) throw new Error(wrong);
        return found;
      }
    } catch (error) {
      if (error instanceof Refused) throw error;
      if (bytes === null || !this.isCutOff(bytes, task)) {
        this.store.quarantine(where, error.message);
        return null;
      }
    }
    const born = this.born(task);
    const copy = where.replaceAll("/", "+");
    const copies = this.store
      .list("quarantine")
      .filter((name) => name.startsWith(`${copy}~`) && !name.endsWith(".why"));
    if (!born || copies.some((name) => this.isThere(`quarantine/${name}`))) return null;
    if (bytes === null) return softly(() => this.store.publish(where, born)) === false ? this.definition(task) : born;
    softly(() => {
      const file = this.store.look(where);
      if (file && this.store.clock() - file.ctimeNs >= STEADY) this.store.put(where, born);
    });
    return born;
  }

  /** The definition in the birth record, or null. */
  born(task) {
    const birth = this.birth(task);
    return birth && !records.wrong(task, birth.definition) ? { ...SCHEMA, ...birth.definition } : null;
  }

  /** Whether bytes are the birth's definition, cut off or with some of them zero (FMT-10). */
  isCutOff(bytes, task) {
    const born = this.born(task);
    const whole = born === null ? bytes.subarray(0, 0) : records.written(born);
    return bytes.length <= whole.length && bytes.every((byte, at) => byte === 0 || byte === whole[at]);
  }

  tally(task) {
    return names.tally(task, this.store.list(`results/${shard(task)}`));
  }

  /** The epoch of the next claim (CLM-3). */
  next(task, epoch) {
    return Math.max(epoch, this.tally(task).highest) + 1;
  }

  isDone(task) {
    const where = `queue/done/${shard(task)}/${task}`;
    const listed = this.store.list(path.dirname(where)).includes(task);
    return this.store.isTicket(where) ?? listed; // a look that shows something else outweighs the listing (PLC-3)
  }

  standing(task) {
    if (this.isDone(task)) return "done";
    if (!this.isKnown(task)) return "unknown";
    const definition = this.definition(task);
    return definition && isCancelled(definition) ? "cancelled" : "open";
  }

  find(task) {
    return this.store.find(task, this.birth(task)?.nonce);
  }

  // ---- place

  /** Where a ticket belongs: state, detail and directory (PLC-2). */
  spot(task) {
    const definition = softly(() => this.definition(task)); // one that the filesystem refuses is not waited for
    const [state, detail] = definition
      ? records.belongs(definition, (id) => this.standing(id))
      : ["parked", "unreadable"];
    const last = state === "ready" ? [names.block(softly(() => this.birth(task))?.order ?? 0)] : [];
    return { state, detail, dir: ["queue", state, detail, ...last].join("/") };
  }

  /** Place a ticket; where it is then, or null if it was lost. `failed`: too many attempts (END-3). */
  place(from, task, epoch, failed = false) {
    for (;;) {
      if (this.store.isTicket(from) === false) return null;
      const { state, detail, dir } = failed ? { state: "parked", dir: "queue/parked/failed" } : this.spot(task);
      let to = `${dir}/${task}~${epoch}`;
      if (from === to) return to;
      try {
        if (!this.store.move(from, to)) return null;
      } catch (error) {
        if (!(error instanceof Refused) || state !== "ready") throw error;
        to = `queue/ready/${detail}/000000/${task}~${epoch}`;
        if (!this.store.move(from, to)) return null;
      }
      if (state === "ready") this.store.ring();
      if (state !== "waiting" || this.standing(detail) === "open") return to; // the second look (PLC-4)
      from = to;
    }
  }

  /** Place every ticket that waits for a task, and remove the empty directory. */
  placeWaiting(task) {
    const dir = `queue/waiting/${task}`;
    for (const name of this.store.list(dir)) {
      const ticket = parse("ticket", name);
      if (ticket && !ticket.done) softly(() => this.place(`${dir}/${name}`, ticket.task, ticket.epoch));
    }
    this.store.rmdir(dir);
  }

  // ---- notes and results

  reportOf(peer) {
    const where = `progress-reports/${peer}.json`;
    try {
      const found = this.store.record(where);
      if (found === null || Array.isArray(found.assigned_tasks)) return found ?? {};
      throw new Error("assigned_tasks is no list");
    } catch (error) {
      if (error instanceof Refused) throw error;
      if (peer === this.name) this.store.quarantine(where, error.message);
      return {};
    }
  }

  entry(peer, task, epoch) {
    const entries = this.reportOf(peer).assigned_tasks ?? [];
    return entries.find((one) => isObject(one) && names.idOf(one.task_id) === task && one.epoch === epoch) ?? null;
  }

  /** Replace the entry of one task in a report (RPT-2). */
  say(peer, incarnation, entry) {
    const report = this.reportOf(peer);
    const others = (report.assigned_tasks ?? []).filter((one) => isObject(one) && one.task_id !== entry.task_id);
    const ended = others.filter((one) => one.status !== "in-progress");
    const most = ENDED_MOST - (entry.status === "in-progress" ? 0 : 1);
    const kept = others.filter((one) => one.status === "in-progress" || ended.indexOf(one) >= ended.length - most);
    this.store.put(`progress-reports/${peer}.json`, {
      memory_contributions: [],
      ...report,
      schema_version: 1,
      instance_id: peer,
      assigned_tasks: [...kept, { ...entry, updated_at: now() }],
      incarnation,
      updated_at: now(),
    });
  }

  /** A new entry for a claim. */
  fresh(task, epoch, definition) {
    return {
      task_id: shown(task),
      title: definition?.title ?? task,
      progress: (definition && records.share(definition, [])) ?? 0,
      status: "in-progress",
      blockers: [],
      achievements: [],
      epoch,
      steps_done: [],
      steps: definition?.subtasks?.length ?? 0,
      started_at: now(),
    };
  }

  /** The notes of a claim: its assignment record and report entry (claim step 7). */
  noteClaim(task, epoch, who = this.me) {
    const { peer } = parse("incarnation", who);
    const definition = softly(() => this.definition(task));
    const entry = this.fresh(task, epoch, definition);
    const assignment = {
      task_id: shown(task),
      title: entry.title,
      assigned_to: peer,
      status: "in-progress",
      assigned_at: entry.started_at,
      dependencies_satisfied: true,
      epoch,
      incarnation: who,
    };
    softly(() => this.store.put(`peers/${who}/assignments/${task}~${epoch}.json`, assignment));
    if (who === this.me) { // another peer opens its report itself
      softly(() => this.say(peer, who, entry));
      this.store.event(this.name, { event: "claimed", task, epoch, incarnation: who });
    }
    this.store.ring();
  }

  /** The notes of an end: the report's entry, the assignment record, the event, the bell. */
  noteEnd(task, epoch, status) {
    softly(() => {
      const entry = this.entry(this.name, task, epoch) ?? this.fresh(task, epoch, this.definition(task));
      this.say(this.name, this.me, { ...entry, status, ...(status === "done" ? { progress: 1 } : {}) });
    });
    softly(() => this.store.unlink(`${this.home}/assignments/${task}~${epoch}.json`));
    this.store.event(this.name, { event: status, task, epoch, incarnation: this.me });
    this.store.ring();
  }

  /** A result of a holding, with what is known of the work (FMT-2). */
  result(task, epoch, outcome, who, reason) {
    const holder = parse("incarnation", who ?? "");
    const entry = holder ? (softly(() => this.entry(holder.peer, task, epoch)) ?? {}) : {};
    const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
    const isList = (value) =>
      Array.isArray(value) && value.length <= 200 && value.every((one) => isText(one) && [...one].length <= 4000);
    const kinds = {
      progress: isShare,
      steps_done: (value) => Array.isArray(value) && value.every(names.isId),
      achievements: isList,
      blockers: isList,
      completion_estimate: isText,
      time_spent: isCount,
    };
    const known = Object.entries(kinds)
      .filter(([key, fits]) => fits(entry[key]))
      .map(([key]) => [key, entry[key]]);
    return {
      schema_version: 1,
      task_id: shown(task),
      epoch,
      outcome,
      ...(holder ? { peer: holder.peer, incarnation: who } : {}),
      by: this.name,
      at: now(),
      ...(reason ? { reason } : {}),
      ...Object.fromEntries(known),
      ...(outcome === "done" ? { progress: 1 } : {}),
      ...(who === this.me && /^[0-9-]{10}T[0-9:]{8}Z$/.test(entry.started_at) ? { assigned_at: entry.started_at } : {}),
    };
  }

  whereResult(task, epoch, outcome) {
    return `results/${shard(task)}/${task}~${epoch}.${outcome}.json`;
  }

  /** My own word of how a holding ended (END-4), durable. */
  putResult(task, epoch, outcome, reason) {
    this.store.put(this.whereResult(task, epoch, outcome), this.result(task, epoch, outcome, this.me, reason), true);
  }

  /** A result on behalf of a holder, or of nobody (END-4). */
  publishResult(task, epoch, outcome, who, reason, durable = false) {
    this.store.publish(this.whereResult(task, epoch, outcome), this.result(task, epoch, outcome, who, reason), durable);
  }

  /** Carry a `~done` ticket to done/ (CMP-4). */
  finish(from, task, epoch, who) {
    const result = this.whereResult(task, epoch, "done");
    if (!this.store.list(path.dirname(result)).includes(path.basename(result)))
      this.publishResult(task, epoch, "done", who);
    this.store.move(from, `queue/done/${shard(task)}/${task}`);
    this.placeWaiting(task);
  }
}
