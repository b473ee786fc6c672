// Who is dead (LIV): processes, observed silence, and both together.

import fs from "node:fs";
import os from "node:os";
import { byIncarnation, cksum, parse, textOf } from "./names.mjs";

const PATIENCE = 75; // seconds (LIV-5)
const GAP = 1.5; // heartbeat intervals between two looks (LIV-4)
const LOCAL = // filesystems of one machine (platforms.md)
  "ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs tmpfs ramfs overlay aufs rootfs fuseblk apfs hfs ufs ffs hammer2".split(
    " ",
  );

function told(read) {
  try {
    return read();
  } catch {
    return "";
  }
}

/** What peer.json says of where its pids are valid (LIV-2). */
export function identity() {
  const machine = told(() => fs.readFileSync("/etc/machine-id", "utf8").trim());
  return {
    host: os.hostname(),
    machine: machine && cksum(Buffer.from(machine)).toString(16).padStart(8, "0"),
    boot_id: told(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    pid_ns: told(() => fs.readlinkSync("/proc/self/ns/pid")),
    time_ns: told(() => fs.readlinkSync("/proc/self/ns/time")),
  };
}

/** Whether the root may be reached from other machines: the type of the filesystem that it lies on. */
export function isShared(root) {
  let best = ["", ""];
  for (const row of told(() => fs.readFileSync("/proc/self/mountinfo", "utf8")).split("\n")) {
    const [mount, rest] = row.split(" - ").map((half) => half.split(" "));
    const at = mount[4]
      ?.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))
      .replace(/\/$/, "");
    if (rest && `${root}/`.startsWith(`${at}/`) && at.length >= best[0].length) best = [at, rest[0]];
  }
  return !LOCAL.includes(best[1]);
}

/** State and start of a process here; null if it is gone or a zombie (LIV-2). */
export function processOf(pid) {
  const stat = told(() => fs.readFileSync(`/proc/${pid}/stat`, "latin1"));
  const words = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return !stat || "ZX".includes(words[0]) ? null : { state: words[0], start: Number(words[19]) };
}

const isProcess = (one) => Number.isInteger(one?.pid) && one.pid > 0 && typeof one.start === "number";
const same = (a, b) => a.pid === b.pid && a.start === b.start;
const sessionsOf = (record) =>
  [record.session, ...(Array.isArray(record.sessions) ? record.sessions : [])].filter(isProcess);

/** Whether pids of a record may be judged here: "here", "restarted" or "elsewhere" (LIV-3). */
function place(record, here) {
  const [one, other] = [record.machine || "", here.machine || ""];
  if (!record.boot_id) return "elsewhere"; // nothing says where its pids are valid
  if (record.boot_id !== here.boot_id) {
    const host = one || other ? one === other : (record.host || "") === here.host;
    return host && !here.shared ? "restarted" : "elsewhere";
  }
  if (one && other && one !== other) return "elsewhere";
  const spaces = ["pid_ns", "time_ns"].every((key) => (record[key] ?? "") === (here[key] ?? ""));
  return spaces ? "here" : "elsewhere";
}

/** The verdict by process. `look` gives state and start of a pid, or null. */
export function byProcess(record, here, look) {
  const at = record ? place(record, here) : "elsewhere";
  if (at !== "here") return at === "restarted" ? "dead" : "unknown";
  const named = [...sessionsOf(record), ...[record.agent].filter(isProcess)];
  if (!named.length) return "unknown";
  const found = named.map((one) => [one, look(one.pid)]).filter(([one, seen]) => seen?.start === one.start);
  if (!found.length) return "dead";
  return found.every(([, seen]) => seen.state === "T") ? "suspect" : "alive";
}

/** Whether a session of the peer is seen running here (LIV-6). */
export function sessionRuns(record, here, look) {
  if (!record || place(record, here) !== "here") return false;
  const sessions = sessionsOf(record).filter((one) => !isProcess(record.agent) || !same(one, record.agent));
  return sessions.some((one) => look(one.pid)?.start === one.start);
}

/** The silence of one peer, as one observer sees it (LIV-4, LIV-5). */
export class Silence {
  constructor(me, interval, ttl, patience = Math.min(PATIENCE, interval)) {
    Object.assign(this, { me, interval, ttl, patience });
    this.again();
  }

  again() {
    Object.assign(this, { first: null, last: null, looks: 0, seq: null, challenge: null, mine: null });
  }

  /** I challenged it by a rename at this moment. */
  challenged(at) {
    this.mine = at;
  }

  /** A listing that began at one moment and was there at another: what is unsure shortens the silence. */
  look(names, began, ended = began) {
    if (this.last !== null && ended - this.last > GAP * this.interval) this.again();
    const beats = names.map((name) => parse("beat", name)).filter(Boolean);
    const top = beats.reduce((best, one) => (!best || one.seq > best.seq ? one : best), null);
    if (this.first === null || (top && top.seq !== this.seq)) {
      this.again();
      Object.assign(this, { first: ended, seq: top?.seq ?? null });
    }
    this.last = began;
    this.looks++;
    if (!top) return; // a listing without a heartbeat means unchanged
    const by = top.by && textOf(top.by);
    if (!by) this.challenge = null;
    else if (this.challenge?.by === by) this.challenge.until = began;
    else this.challenge = { by, since: by === this.me && this.mine !== null ? this.mine : ended, until: began };
  }

  get proven() {
    return this.looks >= 3 && this.last - this.first >= this.ttl;
  }

  get verdict() {
    if (!this.proven) return "alive";
    return this.challenge && this.challenge.until - this.challenge.since >= this.patience ? "dead" : "suspect";
  }
}

/** Process and activity together (LIV-6). */
export function together(process, session, activity) {
  if (process === "dead") return "dead";
  if (session) return process === "alive" && activity !== "alive" ? "suspect" : process;
  if (activity === "alive") return process;
  return activity;
}

/** Whom a peer watches (LIV-10). */
export function watched(me, peers, leader) {
  const ring = peers
    .map((name) => parse("incarnation", name))
    .sort(byIncarnation)
    .map(textOf);
  const at = ring.indexOf(me);
  const next = [...ring.slice(at + 1), ...ring.slice(0, at)].slice(0, 2);
  return leader === null || leader === me || next.includes(leader) ? next : [...next, leader];
}
