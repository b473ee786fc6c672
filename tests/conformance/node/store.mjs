// File operations (OPS), names of tickets in the directory (LAY, ASM-10) and the mutex (OPS-12).

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import * as names from "./names.mjs";
import * as records from "./records.mjs";

const ATTEMPTS = 16; // OPS-3, OPS-4
const LOOKS = 12; // LIM-1
const MUTEX_SECONDS = 60;
const C = fs.constants;
const ABSENT = ["ENOENT", "ENOTDIR", "ESTALE"]; // OPS-8

/** The filesystem refuses: which path and why (OPS-8). */
export class Refused extends Error {}

export const token = () => randomBytes(10).toString("hex");
export const pause = (seconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);

const refuse = (error, where) => new Refused(`${where}: ${error.code ?? error.message}`, { cause: error });

/** One call; an error of the kinds named gives what it is, any other is a refusal. */
function attempt(call, where, ...kinds) {
  try {
    return [call()];
  } catch (error) {
    if (kinds.includes(error.code)) return [undefined, error.code];
    throw error instanceof Refused ? error : refuse(error, where);
  }
}

export class Store {
  constructor(root) {
    this.root = root;
    this.locked = false;
    this.steps = 0;
    this.diesBefore = Number(process.env.PEER_DIES_BEFORE ?? 0);
  }

  /** A call that other peers can see. A test of crashes ends the process before one of them (CRA-1). */
  step(call) {
    if (call === this.lastStep) return; // the same call once more
    this.lastStep = call;
    if (++this.steps !== this.diesBefore) return;
    fs.writeSync(1, `${call}\n`);
    process.exit(99);
  }

  /** The full name of a path below the root (OPS-1). Each byte of a name found is one character. */
  at(where) {
    return Buffer.concat([Buffer.from(`${this.root}/`), Buffer.from(where, "latin1")]);
  }

  list(where) {
    return attempt(() => fs.readdirSync(this.at(where), "latin1"), where, ...ABSENT)[0] ?? [];
  }

  look(where) {
    return attempt(() => fs.lstatSync(this.at(where), { bigint: true }), where, ...ABSENT)[0] ?? null;
  }

  /** The bytes of a file; null if it is not there; throws a plain Error if it is no file. */
  bytes(where) {
    const flags = C.O_RDONLY | C.O_NOFOLLOW | C.O_NONBLOCK;
    const [file, why] = attempt(() => fs.openSync(this.at(where), flags), where, ...ABSENT, "ELOOP", "ENXIO");
    if (ABSENT.includes(why)) return null;
    if (why) throw new Error("no file");
    try {
      if (!fs.fstatSync(file).isFile()) throw new Error("no file");
      return fs.readFileSync(file);
    } finally {
      fs.closeSync(file);
    }
  }

  /** A record; null if it is missing or blank (FMT-10); throws a plain Error if it is broken. */
  record(where) {
    const bytes = this.bytes(where);
    return bytes === null || records.isBlank(bytes) ? null : records.read(bytes);
  }

  /** Flush a directory, and the one above it: the directory may be new (OPS-2). */
  flush(where) {
    for (const dir of new Set([where, path.dirname(where)])) {
      const file = fs.openSync(this.at(dir), C.O_RDONLY);
      try {
        fs.fsyncSync(file);
      } finally {
        fs.closeSync(file);
      }
    }
  }

  flushIfThere(where) {
    return attempt(() => this.flush(where), where, ...ABSENT)[1] === undefined;
  }

  /** Whether a directory may be made (OPS-3). */
  mayMake(where) {
    const words = where.split("/");
    const ofPeer = ["peers", "departed"].includes(words[0]);
    return where !== "." && !(ofPeer && (words.length === 2 || (words.length === 3 && words[2] === "claims")));
  }

  /** Make a directory and those above it, as far as they may be made. */
  make(where) {
    if (!this.mayMake(where)) throw new Refused(`${where}: must not be made`);
    const why = attempt(() => fs.mkdirSync(this.at(where)), where, "EEXIST", ...ABSENT)[1];
    if (ABSENT.includes(why)) {
      this.make(path.dirname(where));
      attempt(() => fs.mkdirSync(this.at(where)), where, "EEXIST", ...ABSENT);
    }
  }

  /** Do a call that puts PATH in place, making its directory if that is missing (OPS-3). */
  placing(where, call) {
    for (let left = ATTEMPTS; left; left--) {
      const [done, why] = attempt(call, where, ...ABSENT);
      if (!why) return done;
      this.make(path.dirname(where));
    }
    throw new Refused(`${where}: its directory does not stay`);
  }

  /** Write a staged file; gives its name below the root. */
  stage(bytes, durable) {
    const staged = `tmp/${token()}`;
    const file = this.placing(staged, () => fs.openSync(this.at(staged), C.O_CREAT | C.O_EXCL | C.O_WRONLY, 0o666));
    try {
      for (let from = 0; from < bytes.length;) from += fs.writeSync(file, bytes, from);
      if (durable) fs.fsyncSync(file);
    } catch (error) {
      this.clear(staged);
      throw refuse(error, staged);
    } finally {
      fs.closeSync(file);
    }
    return staged;
  }

  /** Remove what was staged and is of no use. */
  clear(staged) {
    fs.rmSync(path.join(this.root, staged), { recursive: true, force: true });
  }

  /** Remove a file; whether it was there. */
  unlink(where) {
    if (!where.startsWith("tmp/")) this.step(`unlink ${where}`);
    return attempt(() => fs.unlinkSync(this.at(where)), where, ...ABSENT)[1] === undefined;
  }

  /** Remove an empty directory: true if it was removed, false if something lies in it, null if it is not there. */
  rmdir(where) {
    if (!this.look(where)) return null;
    this.step(`rmdir ${where}`);
    const why = attempt(() => fs.rmdirSync(this.at(where)), where, "ENOTEMPTY", "EEXIST", ...ABSENT)[1];
    return why ? (ABSENT.includes(why) ? null : false) : true;
  }

  /** Replace what is there (OPS-2). */
  put(where, record, durable = false) {
    const bytes = Buffer.isBuffer(record) ? record : records.written(record);
    const staged = this.stage(bytes, durable);
    try {
      this.step(`rename ${staged} ${where}`);
      this.placing(where, () => fs.renameSync(this.at(staged), this.at(where)));
    } catch (error) {
      if (!this.holds(where, bytes)) {
        this.unlink(staged);
        throw error;
      }
    }
    if (durable) this.flushIfThere(path.dirname(where));
    return true;
  }

  /** Whether a file holds these very bytes: an answer was lost on the way (OPS-7). */
  holds(where, bytes) {
    try {
      return this.bytes(where)?.equals(bytes) ?? false;
    } catch {
      return false;
    }
  }

  /** Make a record once; false if the name is taken (OPS-2, OPS-7). `between`: what comes before the link (ORD-1). */
  publish(where, record, durable = false, between = () => {}) {
    const staged = this.stage(records.written(record), durable);
    try {
      between();
      this.step(`link ${staged} ${where}`);
      this.placing(where, () => fs.linkSync(this.at(staged), this.at(where)));
      return true;
    } catch (error) {
      if (this.look(staged)?.nlink === 2n) return true; // an answer was lost
      if (error.cause?.code === "EEXIST") return false;
      throw error;
    } finally {
      this.unlink(staged);
      if (durable) this.flushIfThere(path.dirname(where));
    }
  }

  /** Make an empty ticket. */
  ticket(where) {
    const flags = C.O_CREAT | C.O_EXCL | C.O_WRONLY;
    if (!where.startsWith("tmp/")) this.step(`create ${where}`);
    fs.closeSync(this.placing(where, () => fs.openSync(this.at(where), flags, 0o666)));
  }

  /** One rename of a ticket or directory: true if it was moved, false if it was lost (OPS-4). */
  move(from, to) {
    const target = path.dirname(to);
    for (let left = ATTEMPTS; left; left--) {
      this.step(`rename ${from} ${to}`);
      try {
        fs.renameSync(this.at(from), this.at(to));
        return true;
      } catch (error) {
        if (!this.look(from)) return this.list(target).includes(path.basename(to));
        if (ABSENT.includes(error.code)) {
          if (!this.mayMake(target)) return false;
          this.make(target);
        } else if (error.code === "EISDIR") this.quarantine(to, "no ticket: a directory in its place");
        else throw refuse(error, `${from} to ${to}`);
      }
    }
    throw new Refused(`${to}: its directory does not stay`);
  }

  /** Move away what cannot be read, and say why beside it (FMT-3). */
  quarantine(where, why) {
    const away = `quarantine/${where.replaceAll("/", "+").slice(0, 200)}~${token()}`;
    if (!this.move(where, away)) return false;
    try {
      this.put(`${away}.why`, Buffer.from(`${where}: ${why}\n`));
    } catch {
      // a note is missing
    }
    return away;
  }

  /** Whether a ticket is a regular file; what is none is moved away (LAY-1). Absent: null. */
  isTicket(where) {
    const found = this.look(where);
    if (!found) return null;
    if (found.isFile()) return true;
    const away = this.quarantine(where, "no ticket: not a regular file");
    if (away && this.look(away)?.isFile()) this.move(away, where); // a ticket came here in between
    return false;
  }

  ring() {
    try {
      const now = new Date();
      this.placing("bell/ring", () =>
        fs.closeSync(fs.openSync(this.at("bell/ring"), C.O_CREAT | C.O_WRONLY | C.O_NOFOLLOW | C.O_NONBLOCK)),
      );
      fs.utimesSync(this.at("bell/ring"), now, now);
    } catch {
      // correct if it is never heard (OPS-11)
    }
  }

  event(peer, facts) {
    const where = `events/${peer}.jsonl`;
    try {
      if ((this.look(where)?.size ?? 0n) > 4194304n) fs.renameSync(this.at(where), this.at(`${where}.1`));
      const flags = C.O_CREAT | C.O_APPEND | C.O_WRONLY | C.O_NOFOLLOW | C.O_NONBLOCK;
      const file = this.placing(where, () => fs.openSync(this.at(where), flags, 0o666));
      try {
        fs.writeSync(file, records.line({ at: records.now(), peer, ...facts }));
      } finally {
        fs.closeSync(file);
      }
    } catch {
      // an event that cannot be written is lost (FMT-8)
    }
  }

  /** Do something under the intake mutex (OPS-12): flock(1) locks the descriptor that it inherits from us. */
  alone(work) {
    if (this.locked) return work();
    const where = "locks/intake";
    const file = this.placing(where, () => fs.openSync(this.at(where), C.O_CREAT | C.O_RDWR | C.O_NOFOLLOW, 0o666));
    try {
      for (let left = MUTEX_SECONDS * 10; ; left--) {
        const done = spawnSync("flock", ["-x", "-n", "3"], { stdio: ["ignore", "ignore", "ignore", file] });
        if (done.error) throw refuse(done.error, "flock");
        if (done.status === 0) break;
        if (!left) throw new Refused(`${where}: another program holds the mutex`);
        pause(0.1);
      }
      this.locked = true;
      return work();
    } finally {
      this.locked = false;
      fs.closeSync(file);
    }
  }

  /** The file server's time, in nanoseconds: the ctime of a file made now (TDY-3). */
  clock() {
    const staged = this.stage(Buffer.alloc(0), false);
    const found = this.look(staged);
    this.unlink(staged);
    return found?.ctimeNs ?? 0n;
  }

  /** All tickets of one round, or those of one task (OPS-9). Names that nobody makes are left alone (NAM-3, VER-4). */
  round(only = null) {
    const found = [];
    const see = (state, detail, dir, kind) => {
      for (const name of this.list(dir)) {
        const read = kind === "done" ? names.isId(name) && { task: name, epoch: 0 } : names.parse(kind, name);
        if (
          !read ||
          (only !== null && read.task !== only) ||
          (read.done && state !== "claimed" && state !== "departed")
        )
          continue;
        found.push({ state, detail, name, epoch: 0, ...read, path: `${dir}/${name}` });
      }
    };
    see("new", "", "queue/new", "new");
    for (const dep of this.list("queue/waiting").filter(names.isId))
      see("waiting", dep, `queue/waiting/${dep}`, "ticket");
    for (const level of this.list("queue/ready").filter((name) => names.parse("level", name)))
      for (const block of this.list(`queue/ready/${level}`).filter((name) => names.parse("block", name)))
        see("ready", level, `queue/ready/${level}/${block}`, "ticket");
    for (const why of names.REASONS) see("parked", why, `queue/parked/${why}`, "ticket");
    for (const who of this.list("peers").filter((name) => names.parse("incarnation", name)))
      see("claimed", who, `peers/${who}/claims`, "ticket");
    for (const gone of this.list("departed").filter((name) => names.parse("departed", name)))
      see("departed", gone, `departed/${gone}/claims`, "ticket");
    const shards =
      only === null ? this.list("queue/done").filter((name) => /^[0-9a-f]{2}$/.test(name)) : [names.shard(only)];
    for (const shard of shards) see("done", "", `queue/done/${shard}`, "done");
    return found;
  }

  /** Where the one ticket of a task is; null if LOOKS rounds did not show it (OPS-9, OPS-10). */
  find(task, nonce = null) {
    for (let left = LOOKS; left; left--) {
      const seen = this.round(task).filter((one) => one.state !== "new" || one.nonce === nonce);
      const tickets = seen.filter((one) => this.isTicket(one.path) !== false);
      if (tickets.length) return names.fold(tickets);
      pause(0.005);
    }
    return null;
  }

  /** Settle the names of a ticket whose link count is above 1 (ASM-10). */
  settle(where, task) {
    if ((this.look(where)?.nlink ?? 1n) < 2n) return;
    this.alone(() => {
      const file = this.look(where);
      if (!file || file.nlink < 2n) return;
      const sameFile = (found) => found && found.ino === file.ino && found.dev === file.dev;
      const paths = task === null ? this.leaderPaths() : this.round(task);
      const named = paths.filter((one) => sameFile(this.look(task === null ? one : one.path)));
      for (const lower of task === null ? names.surplusOfLeader(named) : names.surplus(named)) {
        const found = this.look(lower);
        if (sameFile(found) && found.nlink > 1n) this.unlink(lower);
      }
    });
  }

  /** Every name of the leader's ticket. */
  leaderPaths() {
    const of = (dir) =>
      this.list(dir)
        .filter((name) => names.parse("leader", name))
        .map((name) => `${dir}/${name}`);
    const peers = this.list("peers").filter((name) => names.parse("incarnation", name));
    const gone = this.list("departed").filter((name) => names.parse("departed", name));
    return [
      ...of("queue/leader"),
      ...peers.flatMap((who) => of(`peers/${who}`)),
      ...gone.flatMap((who) => of(`departed/${who}`)),
    ];
  }
}
