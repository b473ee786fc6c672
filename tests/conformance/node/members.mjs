// Membership, eviction, repair, leadership (MBR, EVI, TDY, LDR) and the watch over another peer (LIV).

import { randomBytes } from "node:crypto";
import os from "node:os";
import path from "node:path";
import { Changes } from "./changes.mjs";
import * as live from "./liveness.mjs";
import * as names from "./names.mjs";
import * as records from "./records.mjs";
import { Refused, pause, token } from "./store.mjs";
import { Answer, softly } from "./tasks.mjs";

const { parse, textOf } = names;
const ROUNDS = 64; // EVI
const BEATS = 16; // MBR
const CLAIMED_MOST = 1000000000; // LIM-1
const LOOK_SECONDS = 0.2;

export class Member extends Changes {
  // ---- join, beat, leave

  /** Join under a name. The process that called lives for the peer. */
  join(name) {
    if (this.isDown()) throw new Answer("the team is down", 3);
    for (let left = BEATS; left; left--) {
      const peers = this.store
        .list("peers")
        .map((one) => parse("incarnation", one))
        .filter(Boolean);
      const gone = this.store
        .list("departed")
        .map((one) => parse("departed", one)?.who)
        .filter(Boolean);
      const known = [...peers, ...gone];
      const own = known.filter(({ peer }) => peer === name);
      if (!own.length && known.some(({ peer }) => peer.toLowerCase() === name.toLowerCase()))
        throw new Answer("the name differs only in case from another", 2);
      const number = Math.max(0, this.remembered(name), ...own.map((one) => one.number)) + 1;
      const suffix = BigInt(`0x${randomBytes(8).toString("hex")}`)
        .toString(36)
        .padStart(8, "0")
        .slice(-8);
      const me = textOf({ peer: name, number, suffix });
      Object.assign(this, { me, name, home: `peers/${me}` });
      for (const other of peers.filter(({ peer }) => peer === name).map(textOf)) {
        if (this.byProcess(other).process !== "dead") throw new Answer("the name is taken", 2);
        this.evictNow(other);
      }
      const staged = this.stageHome(me);
      if (!this.store.move(staged, this.home)) continue; // cleared away meanwhile
      const others = this.store.list("peers").filter((one) => one !== me && parse("incarnation", one)?.peer === name);
      if (others.length || this.isDown()) {
        this.store.move(this.home, `departed/${me}~${me}`);
        softly(() => this.sweepOne(`${me}~${me}`));
        throw others.length ? new Answer("the name is taken", 2) : new Answer("the team is down", 3);
      }
      this.store.flushIfThere("peers");
      this.store.event(name, { event: "joined", incarnation: me });
      this.store.ring();
      return me;
    }
    throw new Answer("the staged directory is cleared away again and again", 1);
  }

  /** The number that instances/ remembers of a name (NAM-5). */
  remembered(name) {
    try {
      const found = parse("incarnation", this.store.record(`instances/${name}.json`)?.incarnation ?? "");
      return found?.peer === name && found.number <= CLAIMED_MOST ? found.number : 0;
    } catch {
      return 0;
    }
  }

  /** Stage the whole directory of a peer (join step 3). */
  stageHome(me) {
    const staged = `tmp/${token()}`;
    try {
      this.store.make(`${staged}/claims`);
      this.store.make(`${staged}/assignments`);
      this.store.ticket(`${staged}/beat~0`);
      const session = live.processOf(process.ppid); // PEER-CLI: the peer lives as long as who called
      const record = {
        schema_version: 1,
        peer: this.name,
        incarnation: me,
        joined_at: records.now(),
        ...live.identity(),
        ...(session ? { session: { pid: process.ppid, start: session.start } } : {}),
      };
      this.store.put(`${staged}/peer.json`, record, true);
      return staged;
    } catch (error) {
      this.store.clear(staged);
      throw error;
    }
  }

  beat() {
    for (let left = BEATS; left; left--) {
      const beats = this.store
        .list(this.home)
        .map((name) => ({ name, ...parse("beat", name) }))
        .filter(({ seq }) => seq !== undefined);
      if (!beats.length) {
        this.mustBePeer();
        this.store.ticket(`${this.home}/beat~0`);
        return "beat 0";
      }
      const top = beats.reduce((best, one) => (one.seq > best.seq ? one : best));
      if (this.store.move(`${this.home}/${top.name}`, `${this.home}/beat~${top.seq + 1}`)) return `beat ${top.seq + 1}`;
      this.mustBePeer();
    }
    throw new Answer("the heartbeat cannot be taken", 1);
  }

  leave() {
    this.mustBePeer();
    const held = this.mine().filter(({ done }) => !done);
    if (!this.store.move(this.home, `departed/${this.me}~${this.me}`)) throw new Answer("evicted", 4);
    this.sweepOne(`${this.me}~${this.me}`);
    for (const one of held) {
      const entry =
        softly(() => this.entry(this.name, one.task, one.epoch)) ??
        this.fresh(
          one.task,
          one.epoch,
          softly(() => this.definition(one.task)),
        );
      softly(() => this.say(this.name, this.me, { ...entry, status: "released", interrupted: true })); // RPT-5
    }
    this.store.event(this.name, { event: "left", incarnation: this.me });
    this.store.ring();
    return "left";
  }

  // ---- evict and sweep

  evict(who) {
    if (who === this.me) throw new Answer("a peer leaves by leave", 2);
    this.mustBePeer();
    if (!this.evictNow(who)) throw new Answer(`gone ${who}`, 4);
    return `evicted ${who}`;
  }

  evictNow(who) {
    if (!this.store.list("peers").includes(who)) return false;
    const gone = `${who}~${this.me}`;
    if (!this.store.move(`peers/${who}`, `departed/${gone}`)) return false;
    this.sweepOne(gone);
    this.store.event(this.name, { event: "evicted", who, incarnation: this.me });
    this.store.ring();
    return true;
  }

  /** Sweep one departed directory up to its seal (EVI-5). */
  sweepOne(gone) {
    const home = `departed/${gone}`;
    const parts = parse("departed", gone);
    const [who, left] = [textOf(parts.who), textOf(parts.who) === textOf(parts.by)];
    for (let round = ROUNDS; round; round--) {
      let refused = false;
      const careful = (work) => {
        try {
          work();
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          refused = true;
        }
      };
      for (const name of this.store.list(home).filter((one) => parse("leader", one)))
        careful(() => {
          if (!this.store.isTicket(`${home}/${name}`)) return;
          this.store.settle(`${home}/${name}`, null);
          this.store.move(`${home}/${name}`, `queue/leader/${name}`);
        });
      for (const name of this.store.list(`${home}/claims`))
        careful(() => this.sweepTicket(`${home}/claims/${name}`, who, left));
      if (refused) return;
      const sealed = this.store.rmdir(`${home}/claims`);
      if (sealed !== false) return;
    }
  }

  sweepTicket(from, who, left) {
    const ticket = parse("ticket", path.basename(from));
    if (!ticket) return void this.store.quarantine(from, "no ticket");
    if (!this.store.isTicket(from)) return;
    const { task, epoch, done } = ticket;
    this.store.settle(from, task);
    if (done) return this.finish(from, task, epoch, who);
    softly(() =>
      this.publishResult(
        task,
        epoch,
        left ? "released" : "evicted",
        who,
        left ? "its holder left" : `evicted by ${this.name}`,
      ),
    );
    this.place(from, task, epoch, !left && this.tally(task).attempts >= this.settings.max_attempts);
  }

  // ---- tidy

  tidy() {
    this.mustBePeer();
    const careful = softly; // what cannot be done is left for the next time (TDY-4)
    for (const one of this.store.round()) careful(() => this.store.settle(one.path, one.task)); // TDY-6
    for (const where of this.store.leaderPaths())
      careful(() => this.store.isTicket(where) && this.store.settle(where, null));
    for (const gone of this.store.list("departed").filter((name) => parse("departed", name))) {
      const inside = this.store.list(`departed/${gone}`);
      if (inside.some((name) => name === "claims" || parse("leader", name))) careful(() => this.sweepOne(gone)); // TDY-1
    }
    for (const one of this.store.round()) careful(() => this.tidyTicket(one));
    for (const dep of this.store.list("queue/waiting").filter(names.isId))
      careful(() => this.standing(dep) === "open" || this.placeWaiting(dep));
    return "swept";
  }

  tidyTicket(one) {
    if (this.store.isTicket(one.path) === false) return;
    if (one.state === "new") return this.goOn(one);
    const definition = ["waiting", "ready", "parked"].includes(one.state) ? this.definition(one.task) : null;
    const again = () => this.place(one.path, one.task, one.epoch);
    if (one.state === "parked") {
      if (one.detail === "blocked") this.dropCycle(one.task, definition);
      const answers = Array.isArray(definition?.answers) ? definition.answers : [];
      const answered = !definition?.parked && answers.some((answer) => answer?.epoch === one.epoch);
      const looks = { blocked: true, unreadable: definition !== null, review: answered, failed: answered };
      if (looks[one.detail]) again();
    } else if (one.state === "ready" || one.state === "waiting") {
      const [changed, moved] = [this.store.look(this.whereDefined(one.task)), this.store.look(one.path)];
      if (!definition || (changed && moved && changed.ctimeNs >= moved.ctimeNs)) {
        while (changed && moved && changed.ctimeNs === moved.ctimeNs && this.store.clock() === moved.ctimeNs)
          pause(0.005);
        again();
      }
    }
  }

  /** Go on with an addition that was cut short (TDY-2). */
  goOn({ path: from, task, nonce }) {
    const birth = this.birth(task);
    if (!birth) return; // stands for no task (ADD-4), or its birth cannot be read
    if (birth.nonce !== nonce) return void this.store.unlink(from);
    this.definition(task);
    if (birth.state !== "done") return void this.place(from, task, 0);
    this.publishResult(task, 0, "done", null, "done before it was added"); // ADD-7
    this.store.move(from, `queue/done/${names.shard(task)}/${task}`);
    this.placeWaiting(task);
  }

  /** Take the note of a cycle that is gone out of a definition (TDY-3). */
  dropCycle(task, seen) {
    if (seen?.parked?.kind !== "cycle") return;
    this.store.alone(() => {
      const definition = this.definition(task);
      if (definition?.parked?.kind !== "cycle" || this.cycle(task, records.needs(definition))) return;
      const { parked, ...kept } = definition;
      this.store.put(this.whereDefined(task), kept, true);
    });
  }

  // ---- lead

  lead(from = null) {
    this.mustBePeer();
    if (this.leads() !== null) return `leads ${this.leads()}`;
    for (const dir of ["queue/leader", ...(from ? [`peers/${from}`] : [])]) {
      for (const name of this.store.list(dir).filter((one) => parse("leader", one))) {
        if (!this.store.isTicket(`${dir}/${name}`)) continue;
        this.store.settle(`${dir}/${name}`, null);
        if (!this.store.move(`${dir}/${name}`, `${this.home}/leader~${parse("leader", name).term + 1}`))
          this.mustBePeer();
        const term = this.leads();
        if (term !== null) return `leads ${term}`;
      }
    }
    throw new Answer("follows", 4);
  }

  /** My term, or null if I do not lead (LDR-1, ASM-10). */
  leads() {
    const mine = this.store
      .list(this.home)
      .filter((name) => parse("leader", name))
      .map((name) => `${this.home}/${name}`);
    for (const where of mine) this.store.settle(where, null);
    const counts = mine.filter(
      (where) => this.store.isTicket(where) !== false && (this.store.look(where)?.nlink ?? 1n) < 2n,
    );
    const listed = this.store.list(this.home);
    const terms = counts
      .map((where) => path.basename(where))
      .filter((name) => listed.includes(name))
      .map((name) => parse("leader", name).term);
    return terms.length ? Math.max(...terms) : null;
  }

  // ---- watch

  /** The verdict on another peer by process, and whether a session of it runs here (LIV-3, LIV-6). */
  byProcess(who) {
    let record = null;
    try {
      record = this.store.record(`peers/${who}/peer.json`);
    } catch {
      // it stays where it is (FMT-3)
    }
    this.here ??= { ...live.identity(), shared: live.isShared(this.store.root) };
    return {
      record,
      process: live.byProcess(record, this.here, live.processOf),
      session: live.sessionRuns(record, this.here, live.processOf),
    };
  }

  watch(who, seconds) {
    const clock = () => Number(process.hrtime.bigint()) / 1e9;
    const { heartbeat_seconds: usual, ttl_heartbeats: beats } = this.settings;
    let silence = null;
    let verdict = "unknown";
    let slept = os.uptime() - clock();
    for (const end = clock() + seconds; ; pause(LOOK_SECONDS)) {
      this.mustBePeer();
      if (!this.store.list("peers").includes(who)) throw new Answer(`gone ${who}`, 4);
      const { record, process: state, session } = this.byProcess(who);
      const own = Number.isInteger(record?.heartbeat_seconds) ? record.heartbeat_seconds : 0;
      const interval = Math.max(usual, own);
      if (silence?.interval !== interval) silence = new live.Silence(this.me, interval, interval * beats);
      const awake = os.uptime() - clock();
      if (Math.abs(awake - slept) > 1) silence.again(); // the machine slept: only one of the two clocks counts that
      slept = awake;
      const began = clock();
      const listed = this.store.list(`peers/${who}`);
      silence.look(listed, began, clock());
      verdict = live.together(state, session, silence.verdict);
      if (state === "dead") {
        if (this.evictNow(who)) return "dead";
        continue;
      }
      if (!session && silence.verdict !== "alive") this.challenge(who, listed, silence, clock);
      if (verdict === "dead" && this.settleChallenge(who, listed, silence, clock)) return "dead";
      if (clock() >= end) return verdict;
    }
  }

  /** Challenge a silence that is proven, unless a challenge stands (LIV-7). */
  challenge(who, listed, silence, clock) {
    const name = `beat~${silence.seq}`;
    if (silence.challenge || !listed.includes(name)) return;
    const before = clock();
    if (this.store.move(`peers/${who}/${name}`, `peers/${who}/${name}~${this.me}`))
      silence.challenged(Math.max(before, clock()));
    else silence.again();
  }

  /** Settle the challenge, whoever made it, and evict: false if it was answered (LIV-7). */
  settleChallenge(who, listed, silence, clock) {
    const [name, before] = [`beat~${silence.seq}`, clock()];
    const settled = this.store.move(`peers/${who}/${name}~${silence.challenge.by}`, `peers/${who}/${name}`);
    const quick = clock() - before < silence.interval; // stopped in between, I know nothing
    silence.again();
    return settled && quick && this.evictNow(who);
  }
}
