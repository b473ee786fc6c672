// What a holder does: claim, report and complete (CLM, RPT, CMP), give back, fail and park (END).

import path from "node:path";
import * as names from "./names.mjs";
import * as records from "./records.mjs";
import { Refused, pause } from "./store.mjs";
import { Answer, Tasks, isCount, isObject, softly } from "./tasks.mjs";

const { parse, shard } = names;
const { isCancelled, now } = records;
const SEEN = 50; // looks for an own claim that is not shown yet (ASM-10)

export class Claims extends Tasks {
  // ---- claim, report, complete

  /** What I hold: regular files of one name (claim step 2). */
  mine() {
    const dir = `${this.home}/claims`;
    const tickets = (list) =>
      list.map((name) => ({ name, path: `${dir}/${name}`, ...parse("ticket", name) })).filter((one) => one.task);
    for (const one of tickets(this.store.list(dir)))
      if (this.store.isTicket(one.path)) this.store.settle(one.path, one.task);
    return tickets(this.store.list(dir)).filter((one) => this.store.isTicket(one.path));
  }

  /** My claim of a task; ends the command if I have none. */
  holding(task) {
    this.mustBePeer();
    this.mustBeKnown(task);
    return this.mine().find((one) => one.task === task && !one.done) ?? this.lost(task);
  }

  claim() {
    if (this.isDown()) throw new Answer("the team is down", 3);
    this.mustBePeer();
    const mine = this.mine();
    for (const one of mine.filter(({ done }) => done)) this.finish(one.path, one.task, one.epoch, this.me);
    const time = (one) => this.store.look(one.path)?.ctimeNs ?? 0n;
    const held = mine.filter(({ done }) => !done).map((one) => ({ ...one, time: time(one) }));
    for (const one of held.sort((a, b) => (a.time === b.time ? b.epoch - a.epoch : a.time < b.time ? 1 : -1))) {
      const definition = this.definition(one.task);
      if (definition && !isCancelled(definition)) return `held ${one.task} ${one.epoch}`;
      this.place(one.path, one.task, one.epoch);
    }
    for (;;) {
      const got = this.claimAny();
      if (got === null) throw new Answer("nothing", 4);
      if (got) return `claimed ${got.task} ${got.epoch}`;
    }
  }

  /** Try one ticket after the other (claim steps 3 to 6): the claim, null if there is none, false to begin again. */
  claimAny() {
    for (const where of this.preferred()) {
      const got = this.claimOne(where);
      if (got !== null) return got;
    }
    for (const level of this.store
      .list("queue/ready")
      .filter((name) => parse("level", name))
      .sort()) {
      const blocks = this.store.list(`queue/ready/${level}`).filter((name) => parse("block", name));
      for (const block of blocks.sort((a, b) => Number(a) - Number(b))) {
        const dir = `queue/ready/${level}/${block}`;
        const tickets = names.tries(this.store.list(dir), Math.floor(Math.random() * 1e9));
        for (const name of tickets) {
          const got = this.claimOne(`${dir}/${name}`);
          if (got !== null) return got;
        }
        if (!tickets.length && block !== "000000") softly(() => this.store.rmdir(dir)); // CLM-7
      }
    }
    return null;
  }

  /** Ready tickets that I worked on before (claim step 3, RPT-5). */
  preferred() {
    const found = [];
    for (const entry of softly(() => this.reportOf(this.name))?.assigned_tasks ?? []) {
      const task = isObject(entry) ? names.idOf(entry.task_id) : null;
      if (task === null || !isCount(entry.epoch) || this.standing(task) !== "open") continue;
      const definition = this.definition(task);
      const answers = Array.isArray(definition?.answers) ? definition.answers : [];
      const answered = answers.some((one) => isObject(one) && one.epoch === entry.epoch);
      const mine = entry.status === "in-progress" || (entry.status === "released" && entry.interrupted === true);
      if (!mine && !(["blocked", "review"].includes(entry.status) && answered)) continue;
      const { state, dir } = this.spot(task);
      const name = `${task}~${entry.epoch}`;
      if (state === "ready" && this.store.list(dir).includes(name)) found.push(`${dir}/${name}`);
    }
    return found;
  }

  /** Claim one ticket: the claim, null if it is not to be had, false if it had to be placed elsewhere. */
  claimOne(from) {
    if (this.store.isTicket(from) === false) return null;
    const ticket = parse("ticket", path.basename(from));
    const epoch = this.next(ticket.task, ticket.epoch);
    const to = `${this.home}/claims/${ticket.task}~${epoch}`;
    if (!this.store.move(from, to)) {
      this.mustBePeer();
      return null;
    }
    for (let left = SEEN; left && !this.store.look(to); left--) pause(0.1); // not to be used before it is seen
    if (!this.store.isTicket(to)) {
      this.mustBePeer();
      return null;
    }
    this.store.settle(to, ticket.task);
    if (!this.store.list(`${this.home}/claims`).includes(path.basename(to))) return null;
    if (this.spot(ticket.task).state !== "ready") {
      this.place(to, ticket.task, epoch);
      return false;
    }
    this.noteClaim(ticket.task, epoch);
    return { task: ticket.task, epoch };
  }

  report(task, progress) {
    const { epoch } = this.holding(task);
    const definition = this.definition(task);
    const entry = this.entry(this.name, task, epoch) ?? this.fresh(task, epoch, definition);
    const steps = Array.isArray(entry.steps_done) ? entry.steps_done : [];
    const since = Math.max(0, Math.round((Date.now() - Date.parse(entry.started_at ?? now())) / 1000)) || 0;
    this.say(this.name, this.me, {
      ...entry,
      status: "in-progress",
      progress: (definition && records.share(definition, steps)) ?? progress,
      time_spent: since,
      time_measured: true,
    });
    return `reported ${task}`;
  }

  complete(task) {
    this.mustBePeer();
    this.mustBeKnown(task);
    const mine = this.mine().filter((one) => one.task === task);
    let ticket = mine.find(({ done }) => done) ?? mine[0];
    if (!ticket) {
      if (this.isDone(task) && this.finisher(task) === this.me) return `done ${task}`; // CMP-3, CMP-5
      this.lost(task);
    }
    const marked = `${this.home}/claims/${task}~${ticket.epoch}~done`;
    if (!ticket.done) {
      this.putResult(task, ticket.epoch, "done");
      if (!this.store.move(ticket.path, marked)) this.lost(task);
    }
    this.finish(marked, task, ticket.epoch, this.me);
    this.store.flushIfThere(`queue/done/${shard(task)}`);
    this.noteEnd(task, ticket.epoch, "done");
    return `done ${task}`;
  }

  /** Who completed a done task: by the result `done` at the highest epoch (CMP-5). */
  finisher(task) {
    const done = this.tally(task).results.filter(({ outcome }) => outcome === "done");
    if (!done.length) return null;
    const epoch = Math.max(...done.map((one) => one.epoch));
    try {
      return this.store.record(this.whereResult(task, epoch, "done"))?.incarnation ?? null;
    } catch (error) {
      if (error instanceof Refused) throw error;
      return null;
    }
  }

  // ---- other ends

  /** Move a ticket whose holding ended to where it belongs, flushed. */
  end(ticket, status, failed = false) {
    const to = this.place(ticket.path, ticket.task, ticket.epoch, failed);
    if (to === null) this.lost(ticket.task);
    if (!this.store.flushIfThere(path.dirname(to))) this.store.flushIfThere(path.dirname(ticket.path));
    this.noteEnd(ticket.task, ticket.epoch, status);
  }

  release(task) {
    const ticket = this.holding(task);
    softly(() => this.putResult(task, ticket.epoch, "released", "given back"));
    this.end(ticket, "released");
    return `released ${task}`;
  }

  fail(task) {
    const ticket = this.holding(task);
    this.putResult(task, ticket.epoch, "failed", "its holder says that it failed");
    this.end(ticket, "failed", this.tally(task).attempts >= this.settings.max_attempts);
    return `failed ${task}`;
  }

  park(task, why) {
    const ticket = this.holding(task);
    return this.store.alone(() => {
      const definition = this.definition(task);
      const reason = "a person must look";
      this.putResult(task, ticket.epoch, "released", reason);
      const parked = `queue/parked/${why}/${task}~${ticket.epoch}`;
      if (!this.store.move(ticket.path, parked)) this.lost(task);
      try {
        const note = { why, by: this.name, at: now(), reason };
        if (definition) this.store.put(this.whereDefined(task), { ...definition, parked: note }, true);
      } catch (error) {
        const epoch = this.next(task, ticket.epoch); // END-1: back into the claims/ it came from
        if (this.store.move(parked, `${this.home}/claims/${task}~${epoch}`)) this.noteClaim(task, epoch);
        throw error;
      }
      if (!definition) this.place(parked, task, ticket.epoch);
      this.store.flushIfThere(path.dirname(parked));
      this.noteEnd(task, ticket.epoch, why);
      return `parked ${task}`;
    });
  }
}
