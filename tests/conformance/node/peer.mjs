#!/usr/bin/env node
// A task peer in Node.js, written from the specification alone: the command interface of PEER-CLI.md.

import { isId, level, parse } from "./names.mjs";
import { Member } from "./members.mjs";
import { Answer } from "./tasks.mjs";
import { runVectors } from "./vectors.mjs";

/** A word that cannot be meant (exit code 2). */
function refuse(what) {
  throw new Answer(what, 2);
}

const WORDS = {
  me: (word) => (parse("incarnation", word) ? word : refuse("no incarnation")),
  who: (word) => (parse("incarnation", word) ? word : refuse("no incarnation")),
  id: (word) => (isId(word) ? word : refuse("no id")),
  share: (word) =>
    /^([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?$/i.test(word) && Number(word) <= 1 ? Number(word) : refuse("no share"),
  why: (word) => (["blocked", "review"].includes(word) ? word : refuse("no reason to park")),
  seconds: (word) => (/^[0-9]+(\.[0-9]+)?$/.test(word) ? Number(word) : refuse("no number of seconds")),
  priority: (word) => (level(word) !== null ? word : refuse("no priority")),
  needs: (word) => (word === "" ? [] : word.split(",").map(WORDS.id)),
  key: (word) => (["title", "priority", "dependencies"].includes(word) ? word : refuse("no such key")),
  text: (word) => word,
};

const COMMANDS = {
  join: [["id"], (peer, name) => peer.join(name)],
  beat: [["me"], (peer) => peer.beat()],
  claim: [["me"], (peer) => peer.claim()],
  report: [["me", "id", "share"], (peer, task, share) => peer.report(task, share)],
  complete: [["me", "id"], (peer, task) => peer.complete(task)],
  release: [["me", "id"], (peer, task) => peer.release(task)],
  fail: [["me", "id"], (peer, task) => peer.fail(task)],
  park: [["me", "id", "why"], (peer, task, why) => peer.park(task, why)],
  leave: [["me"], (peer) => peer.leave()],
  evict: [["me", "who"], (peer, who) => peer.evict(who)],
  look: [["me", "who", "seconds"], (peer, who, seconds) => peer.watch(who, seconds)],
  sweep: [["me"], (peer) => peer.tidy()],
  lead: [["me", "who?"], (peer, who) => peer.lead(who)],
  add: [["me", "id", "priority", "needs"], (peer, task, priority, needs) => peer.add(task, priority, needs)],
  place: [["me", "id"], (peer, task) => peer.placeByHand(task)],
  edit: [
    ["me", "id", "key", "text"],
    (peer, task, key, text) => peer.edit(task, key, key === "dependencies" ? WORDS.needs(text) : text),
  ],
  cancel: [["me", "id"], (peer, task) => peer.cancel(task)],
  reopen: [["me", "id"], (peer, task) => peer.reopen(task)],
  reassign: [["me", "id", "who"], (peer, task, who) => peer.reassign(task, who)],
};

/** Do one command; its first line. */
function run([command, root, ...words]) {
  const [kinds, work] = Object.hasOwn(COMMANDS, command ?? "") ? COMMANDS[command] : refuse("no such command");
  const least = kinds.filter((kind) => !kind.endsWith("?")).length;
  if (root === undefined || words.length < least || words.length > kinds.length) refuse("a wrong number of words");
  const read = words.map((word, at) => WORDS[kinds[at].replace("?", "")](word));
  if (!root.startsWith("/")) refuse("no absolute path");
  const me = kinds[0] === "me" ? read.shift() : null;
  const peer = new Member(root, me);
  peer.enter();
  return work(peer, ...read);
}

function main(argv) {
  if (argv[0] === "vectors") return runVectors(argv.slice(1));
  try {
    console.log(run(argv));
    return 0;
  } catch (error) {
    console.log(error.message);
    if (!(error instanceof Answer)) console.error(error.stack);
    return error instanceof Answer ? error.code : 1;
  }
}

process.exitCode = main(process.argv.slice(2));
