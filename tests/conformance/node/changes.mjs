// Adding and changing tasks (ADD, CHG), all under the intake mutex.

import path from "node:path";
import * as names from "./names.mjs";
import * as records from "./records.mjs";
import { Refused, token } from "./store.mjs";
import { Claims } from "./claims.mjs";
import { Answer, softly } from "./tasks.mjs";

const { parse, shard, shown } = names;
const { needs, now } = records;

export class Changes extends Claims {
  // ---- add

  add(task, priority, wanted) {
    this.mustBePeer();
    const definition = { task_id: shown(task), title: `Task ${task}`, priority, dependencies: wanted.map(shown) };
    const wrong = records.wrong(task, definition);
    if (wrong) throw new Answer(wrong, 2);
    return this.store.alone(() => {
      const dir = `births/${shard(task)}`;
      const born = this.store
        .list(dir)
        .map((name) => parse("record", name)?.task)
        .filter(Boolean);
      if (born.some((one) => one !== task && one.toLowerCase() === task.toLowerCase()))
        throw new Answer("differs only in case", 2);
      const where = `${dir}/${task}.json`;
      if (this.isThere(where)) throw new Answer("the id is taken", 2);
      this.mayNeed(task, wanted);
      const order = this.nextOrder();
      const birth = {
        schema_version: 1,
        task_id: shown(task),
        nonce: token(),
        order,
        added_by: this.name,
        added_at: now(),
        definition,
      };
      const from = born.includes(task) ? this.addAgain(where, birth) : this.addNew(where, birth);
      softly(() => this.store.publish(this.whereDefined(task), { ...this.born(task) }));
      if (from) softly(() => this.place(from, task, 0));
      softly(() => this.store.put("locks/order", Buffer.from(`${order + 1}\n`)));
      this.store.event(this.name, { event: "added", task });
      this.store.ring();
      return `added ${task}`;
    });
  }

  /** Steps 1 to 4: the ticket's place. */
  addNew(where, birth) {
    const ticket = `queue/new/${names.idOf(birth.task_id)}~${birth.nonce}`;
    this.store.publish(where, birth, true, () => {
      this.store.ticket(ticket);
      this.store.flush("queue/new");
    });
    if (this.birth(names.idOf(birth.task_id))?.nonce === birth.nonce) return ticket;
    this.store.unlink(ticket);
    throw new Answer("the id is taken", 2);
  }

  /** Put a birth record in the place of a blank one: the ticket that is there stays the one (FMT-10). */
  addAgain(where, birth) {
    const task = names.idOf(birth.task_id);
    const waiting = this.store
      .list("queue/new")
      .map((name) => parse("new", name))
      .find((one) => one?.task === task);
    if (waiting) birth.nonce = waiting.nonce;
    const ticket = `queue/new/${task}~${birth.nonce}`;
    const found = waiting ? { path: ticket } : this.store.find(task);
    if (!found) this.store.ticket(ticket);
    this.store.flushIfThere("queue/new");
    this.store.put(where, birth, true);
    return waiting || !found ? ticket : null;
  }

  /** The next order: counted from locks/order, or from the births (ADD-8). */
  nextOrder() {
    let text = "";
    try {
      text = (this.store.bytes("locks/order") ?? "").toString().trim();
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    if (/^(0|[1-9][0-9]{0,14})$/.test(text)) return Number(text);
    const shards = this.store.list("births").filter((name) => /^[0-9a-f]{2}$/.test(name));
    return shards.reduce(
      (sum, one) => sum + this.store.list(`births/${one}`).filter((name) => parse("record", name)).length,
      0,
    );
  }

  /** Refuse dependencies that are not known, or that close a cycle (ADD-5, ADD-6). */
  mayNeed(task, wanted, before = []) {
    const unknown = wanted.find((one) => one !== task && !before.includes(one) && !this.isKnown(one));
    if (unknown !== undefined) throw new Answer(`${unknown} is not known`, 2);
    const found = this.cycle(task, wanted);
    if (found) throw new Answer(`a cycle: ${found.join(" ")}`, 2);
  }

  cycle(task, wanted) {
    return names.cycle(task, (id) => (id === task ? wanted : needs(this.definition(id) ?? {})));
  }

  // ---- edit, cancel, reopen

  /** The definition of a task that is to be changed. */
  toChange(task) {
    this.mustBeKnown(task);
    const definition = this.definition(task);
    if (!definition) throw new Answer("its definition cannot be read", 1);
    if (definition.parked?.kind === "rename") throw new Answer("it is being renamed", 1); // CHG-7
    return definition;
  }

  /** Place a ticket again where the definition was changed (CHG-2). */
  placeAgain(task, states = ["waiting", "ready", "parked"]) {
    const found = this.find(task);
    if (!found || !states.includes(found.state)) return found;
    if (this.place(found.path, task, found.epoch) === null) return this.find(task);
    return found;
  }

  edit(task, key, value) {
    this.mustBePeer();
    return this.store.alone(() => {
      const before = this.toChange(task);
      const wanted = key === "dependencies" ? value : null;
      const definition = { ...before, [key]: wanted ? wanted.map(shown) : value, edited_at: now() };
      const wrong = records.wrong(task, definition);
      if (wrong) throw new Answer(wrong, 2);
      if (wanted) this.mayNeed(task, wanted, needs(before));
      this.store.put(this.whereDefined(task), definition, true);
      const found = this.find(task);
      const moves =
        found &&
        (["waiting", "ready"].includes(found.state) || (found.state === "parked" && found.detail === "blocked"));
      if (moves) softly(() => this.place(found.path, task, found.epoch));
      this.store.ring();
      return `edited ${task}`;
    });
  }

  cancel(task) {
    this.mustBePeer();
    return this.store.alone(() => {
      const definition = this.toChange(task);
      const found = this.find(task);
      if (!found || found.state === "done" || found.done)
        throw new Answer(found ? "it is done" : "its ticket is missing", found ? 2 : 1);
      const cancelled = { by: this.name, at: now(), reason: "not any more" };
      this.store.put(this.whereDefined(task), { ...definition, cancelled }, true);
      softly(() => this.placeAgain(task));
      this.placeWaiting(task);
      this.store.ring();
      return `cancelled ${task}`;
    });
  }

  reopen(task) {
    this.mustBePeer();
    this.mustBeKnown(task);
    return this.store.alone(() => {
      const seen = this.find(task);
      if (seen) this.store.settle(seen.path, task);
      const found = this.find(task);
      if (!found) throw new Answer("its ticket is missing", 1);
      if (found.state === "claimed" || found.state === "departed") throw new Answer("a peer holds it", 4);
      const definition = this.definition(task) ?? this.born(task);
      if (!definition) throw new Answer("neither definition nor birth can be read", 1);
      if (definition.parked?.kind === "rename") throw new Answer("it is being renamed", 1);
      const { parked, cancelled, ...kept } = definition;
      this.store.put(this.whereDefined(task), kept, true);
      const to = this.place(found.path, task, Math.max(found.epoch, this.tally(task).highest));
      if (to === null) throw new Answer("its ticket moved meanwhile", 4);
      this.store.flushIfThere(path.dirname(to));
      for (const one of this.store.round().filter(({ state, detail }) => state === "parked" && detail === "blocked"))
        if (needs(this.definition(one.task) ?? {}).includes(task))
          softly(() => this.place(one.path, one.task, one.epoch));
      this.store.ring();
      return `reopened ${task}`;
    });
  }

  /** Place the ticket of a task, wherever it lies. */
  placeByHand(task) {
    this.mustBePeer();
    this.mustBeKnown(task);
    const found = this.placeAgain(task);
    if (!found) throw new Answer("its ticket is missing", 1);
    if (!["waiting", "ready", "parked"].includes(found.state)) throw new Answer("it is held or done", 4);
    return `placed ${task}`;
  }

  // ---- reassign

  reassign(task, who) {
    this.mustBePeer();
    this.mustBeKnown(task);
    const { epoch, to } = this.store.alone(() => {
      const found = this.find(task);
      const definition = this.definition(task);
      if (!this.store.list("peers").includes(who)) throw new Answer(`gone ${who}`, 4);
      const no = this.whyNotTo(who, found, definition);
      if (no) throw new Answer(no, 4);
      const reason = `reassigned to ${who}`;
      if (found.state === "claimed")
        softly(() => this.publishResult(task, found.epoch, "released", found.detail, reason, true));
      const next = this.next(task, found.epoch);
      const target = `peers/${who}/claims/${task}~${next}`;
      if (this.store.move(found.path, target)) return { epoch: next, to: target };
      throw new Answer(this.store.list("peers").includes(who) ? "it moved meanwhile" : `gone ${who}`, 4);
    });
    this.store.flushIfThere(path.dirname(to));
    this.noteClaim(task, epoch, who);
    return `reassigned ${task} ${epoch}`;
  }

  /** Why a task cannot be handed to a peer; empty if it can. */
  whyNotTo(who, found, definition) {
    if (!found) return "its ticket is missing";
    if (definition?.parked?.kind === "rename") return "it is being renamed";
    if (found.done || found.state === "done") return "it is done";
    if (found.state === "claimed") return found.detail === who ? "it holds it" : "";
    if (!["ready", "parked"].includes(found.state)) return "it is neither held, ready nor parked";
    if (!definition || records.isCancelled(definition)) return "it is cancelled, or cannot be read";
    const { state, detail } = this.spot(found.task);
    if (state === "waiting" || found.detail === "cancelled") return "it waits, or is cancelled";
    return state === "parked" && detail === "blocked" && !definition.parked ? "it is parked for a dependency" : "";
  }
}
