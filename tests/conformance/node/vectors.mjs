// Run the vectors that concern a task peer: apply each rule to what is given, and compare (vectors/v1/README.md).

import fs from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Silence, byProcess, together, watched } from "./liveness.mjs";
import * as names from "./names.mjs";
import * as records from "./records.mjs";

const RULES = {
  parse: ({ kind, name }) => ({ parsed: names.parse(kind, name) }),
  shard: ({ id }) => ({ shard: names.shard(id) }),
  block: ({ order }) => ({ block: names.block(order) }),
  public: ({ id }) => ({ json: names.shown(id) }),
  id: ({ value }) => ({ id: names.idOf(value) }),
  place: ({ definition, standing }) => {
    const [state, detail] = records.belongs(definition, (id) => standing[id]);
    return { state, detail };
  },
  results: ({ task, names: listed }) => {
    const { attempts, highest } = names.tally(task, listed);
    return { attempts, highest_epoch: highest };
  },
  cycle: ({ dependencies, start }) => ({ cycle: names.cycle(start, (id) => dependencies[id] ?? []) }),
  level: ({ priority }) => ({ level: names.level(priority) }),
  "in-order": ({ names: listed }) => ({ tickets: names.inOrder(listed) }),
  tries: ({ names: listed, seed }) => ({ tickets: names.tries(listed, seed) }),
  claimed: ({ ticket }) => {
    const { task, epoch } = names.parse("ticket", ticket);
    return { ticket: `${task}~${epoch + 1}` };
  },
  completed: ({ ticket }) => ({ ticket: `${ticket}~done` }),
  progress: ({ definition, steps_done: done }) => ({ progress: records.share(definition, done) }),
  fold: ({ sightings }) => {
    const tasks = [...new Set(sightings.map(({ task }) => task))];
    return {
      states: Object.fromEntries(
        tasks.map((task) => [task, names.fold(sightings.filter((one) => one.task === task)).path]),
      ),
    };
  },
  surplus: ({ sightings }) => ({ goes: names.surplus(sightings) }),
  "leader-surplus": ({ names: listed }) => ({ goes: names.surplusOfLeader(listed) }),
  process: ({ record, here, running, stopped }) => {
    const isStopped = (one) => stopped.some(({ pid, start }) => pid === one.pid && start === one.start);
    const look = (pid) =>
      running
        .filter((one) => one.pid === pid)
        .map((one) => ({ start: one.start, state: isStopped(one) ? "T" : "S" }))[0];
    return { verdict: byProcess(record, here, look) };
  },
  activity: ({ looks, interval, ttl, patience, me, challenged_at: challenged }) => {
    const silence = new Silence(me, interval, ttl, patience);
    for (const { at, entries } of looks) {
      silence.look(entries, at);
      if (at === challenged) silence.challenged(at);
    }
    return { verdict: silence.verdict };
  },
  combined: ({ process, activity, session_runs: session }) => ({ verdict: together(process, session, activity) }),
  watched: ({ me, peers, leader }) => ({ watched: watched(me, peers, leader) }),
};

/** Whether every key that is wanted is there. */
const agrees = (wanted, found) => Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(found[key], value));

/** Run the vectors of some files; say what disagrees, and how many there were of each rule. */
export function runVectors(files) {
  const counts = {};
  let wrong = 0;
  for (const { rule, description, given, then } of files.flatMap(
    (file) => JSON.parse(fs.readFileSync(file, "utf8")).vectors,
  )) {
    if (!Object.hasOwn(RULES, rule)) continue; // of the memory bank, the mailbox, the views; crashes
    counts[rule] = (counts[rule] ?? 0) + 1;
    const found = RULES[rule](given);
    if (agrees(then, found)) continue;
    wrong++;
    console.log(`wrong: ${rule}, ${description}: ${JSON.stringify(found)}, not ${JSON.stringify(then)}`);
  }
  console.log(JSON.stringify(counts));
  return wrong ? 1 : 0;
}
