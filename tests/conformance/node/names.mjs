// Names (NAM), their order (CLM-6, ASM-10) and what is computed from names alone.

const MOST = 15; // digits of a number

export const isId = (text) => typeof text === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
const isNumber = (text) => /^(0|[1-9][0-9]{0,14})$/.test(text);
export const OUTCOMES = ["done", "failed", "evicted", "released"];
export const REASONS = ["blocked", "review", "deferred", "cancelled", "failed", "held", "unreadable"]; // LAY-4
export const LEVELS = ["critical", "high", "medium", "low", "lowest"];

/** Read a name as one kind of name; null if it is none (NAM-3). */
export function parse(kind, name) {
  const words = name.split("~");
  switch (kind) {
    case "ticket": {
      const [task, epoch, mark, more] = words;
      if (!isId(task) || !isNumber(epoch ?? "") || more !== undefined) return null;
      return mark === undefined || mark === "done" ? { task, epoch: Number(epoch), done: mark === "done" } : null;
    }
    case "new":
      return words.length === 2 && words.every(isId) ? { task: words[0], nonce: words[1] } : null;
    case "incarnation": {
      const found = words.length === 2 && isId(words[0]) && /^([0-9]+)\.([A-Za-z0-9]+)$/.exec(words[1]);
      return found && isNumber(found[1]) ? { peer: words[0], number: Number(found[1]), suffix: found[2] } : null;
    }
    case "departed": {
      const [who, by] = [words.slice(0, 2), words.slice(2)].map((half) => parse("incarnation", half.join("~")));
      return who && by ? { who, by } : null;
    }
    case "beat": {
      if (words[0] !== "beat" || !isNumber(words[1] ?? "")) return null;
      const by = words.length > 2 ? parse("incarnation", words.slice(2).join("~")) : null;
      return words.length === 2 || by ? { seq: Number(words[1]), by } : null;
    }
    case "leader":
      return words.length === 2 && words[0] === "leader" && isNumber(words[1]) ? { term: Number(words[1]) } : null;
    case "result": {
      const found = /^(.*)\.([a-z]+)\.json$/s.exec(name);
      const ticket = found && OUTCOMES.includes(found[2]) ? parse("ticket", found[1]) : null;
      return ticket && !ticket.done ? { task: ticket.task, epoch: ticket.epoch, outcome: found[2] } : null;
    }
    case "record":
      return name.endsWith(".json") && isId(name.slice(0, -5)) ? { task: name.slice(0, -5) } : null;
    case "level":
      return /^[0-4]$/.test(name) ? { level: Number(name) } : null;
    case "block":
      return /^([0-9]{6}|[1-9][0-9]{6,14})$/.test(name) ? { number: Number(name) } : null;
  }
  throw new Error(`no kind of name: ${kind}`);
}

export const textOf = ({ peer, number, suffix }) => `${peer}~${number}.${suffix}`;

/** The number that POSIX cksum prints. */
export function cksum(bytes) {
  const length = [];
  for (let left = bytes.length; left; left = Math.floor(left / 256)) length.push(left % 256);
  let crc = 0;
  for (const byte of [...bytes, ...length]) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  return ~crc >>> 0;
}

export const shard = (id) => (cksum(Buffer.from(id.toLowerCase())) & 255).toString(16).padStart(2, "0"); // NAM-6
export const block = (order) => String(Math.floor(order / 256)).padStart(6, "0"); // NAM-7
export const shown = (id) => (isNumber(id) ? Number(id) : id); // NAM-2

/** The id that a value of JSON means, or null (NAM-1, NAM-2). */
export function idOf(value) {
  if (typeof value === "number")
    return Number.isInteger(value) && value >= 0 && value < 10 ** MOST ? String(value) : null;
  return isId(value) ? value : null;
}

const BLANK = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // FMT-6
const PRIORITY = new RegExp(`^[${BLANK}]*(critical|high|medium|low|lowest|0*[0-4])[${BLANK}]*$`, "i");
export const TITLE = new RegExp(`^[^\\r\\n]*[^${BLANK}][^\\r\\n]*$`);

/** The level of a priority, or null if it is none. */
export function level(priority) {
  if (typeof priority === "number")
    return Number.isInteger(priority) && priority >= 0 && priority <= 4 ? priority : null;
  const found = typeof priority === "string" ? PRIORITY.exec(priority) : null;
  if (!found) return null;
  const word = LEVELS.indexOf(found[1].toLowerCase());
  return word >= 0 ? word : Number(found[1]);
}

const bytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Compare two ids in natural order (CLM-6). */
export function natural(a, b) {
  const [left, right] = [a, b].map((id) => id.match(/[0-9]+|[^0-9]+/g) ?? []);
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const [x, y] = [left[at], right[at]];
    const [dx, dy] = [/^[0-9]/.test(x), /^[0-9]/.test(y)];
    if (dx !== dy) return dx ? -1 : 1;
    const value = dx ? BigInt(x) - BigInt(y) : 0n;
    const differ = value ? (value < 0n ? -1 : 1) : bytes(x, y);
    if (differ) return differ;
  }
  return left.length - right.length;
}

/** The tickets of a ready block in order. */
export function inOrder(names) {
  const tickets = names.filter((name) => parse("ticket", name)?.done === false);
  return tickets.sort((a, b) => {
    const [x, y] = [parse("ticket", a), parse("ticket", b)];
    return natural(x.task, y.task) || x.epoch - y.epoch;
  });
}

/** The order in which a peer tries them. */
export function tries(names, seed) {
  const [first, ...rest] = inOrder(names);
  return first === undefined ? [] : [first, ...rest.map((_, k) => rest[(seed + k) % rest.length])];
}

export const byIncarnation = (a, b) => bytes(a.peer, b.peer) || a.number - b.number || bytes(a.suffix, b.suffix);

/** Attempts (END-3) and highest epoch (CLM-3) of the results of a task. */
export function tally(task, names) {
  const results = names.map((name) => parse("result", name)).filter((result) => result?.task === task);
  const failed = results.filter(({ outcome }) => outcome === "failed" || outcome === "evicted");
  return {
    attempts: new Set(failed.map(({ epoch }) => epoch)).size,
    highest: Math.max(0, ...results.map(({ epoch }) => epoch)),
    results,
  };
}

const held = (one) => one.state === "claimed" || one.state === "departed";
const marked = (one) => held(one) && one.path.endsWith("~done");
const holder = (one) =>
  one.state === "claimed" ? parse("incarnation", one.detail) : parse("departed", one.detail).who;

/** Of several sightings of one task, the one that counts (OPS-10). */
export function fold(sightings) {
  const rank = (one) => [one.state === "done" ? 1 : 0, one.epoch, held(one) ? 1 : 0];
  return sightings.reduce((best, one) => {
    const [x, y] = [rank(best), rank(one)];
    const at = x.findIndex((value, k) => value !== y[k]);
    return at >= 0 && y[at] > x[at] ? one : best;
  });
}

/** Which of two names of one ticket stays: above 0 the first, below 0 the second, 0 both (ASM-10). */
function stays(a, b) {
  const rank = (one) => [
    one.state === "done" ? 1 : 0,
    marked(one) ? 1 : 0,
    one.state === "new" ? -1 : one.epoch,
    held(one) ? 0 : 1,
  ];
  const [x, y] = [rank(a), rank(b)];
  const at = x.findIndex((value, k) => value !== y[k]);
  if (at >= 0) return x[at] - y[at];
  return held(a) ? byIncarnation(holder(a), holder(b)) : 0;
}

/** The names of one ticket that are to go. */
export const surplus = (sightings) =>
  sightings.filter((one) => sightings.some((other) => stays(other, one) > 0)).map(({ path }) => path);

/** Read the path of a leader's ticket; null if it is none. */
function leading(path) {
  const words = path.split("/");
  const term = parse("leader", words.at(-1))?.term;
  if (term === undefined) return null;
  if (path === `queue/leader/${words.at(-1)}`) return { term, who: null };
  if (words.length !== 3) return null;
  const who = words[0] === "peers" ? parse("incarnation", words[1]) : parse("departed", words[1])?.who;
  return who && ["peers", "departed"].includes(words[0]) ? { term, who } : null;
}

/** The names of the leader's ticket that are to go. */
export function surplusOfLeader(paths) {
  const names = paths.map((path) => ({ path, ...leading(path) })).filter(({ term }) => term !== undefined);
  const above = (a, b) =>
    a.term - b.term || (!a.who || !b.who ? (a.who ? 0 : 1) - (b.who ? 0 : 1) : byIncarnation(a.who, b.who));
  return names.filter((one) => names.some((other) => above(other, one) > 0)).map(({ path }) => path);
}

/** A cycle of dependencies through a task, or null (ADD-6). `needs` gives the dependencies of an id. */
export function cycle(start, needs) {
  const seen = new Set();
  const way = [[start, null]];
  for (let at = 0; at < way.length; at++) {
    for (const next of needs(way[at][0])) {
      if (next === start) {
        const back = [start];
        for (let step = at; step !== null; step = way[step][1]) back.unshift(way[step][0]);
        return back;
      }
      if (seen.has(next)) continue;
      seen.add(next);
      way.push([next, at]);
    }
  }
  return null;
}
