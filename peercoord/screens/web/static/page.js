// What the page does beyond links and forms: keys, ages, zoom, and the two drawings. Nothing here makes HTML of text.
"use strict";
(() => {
  const svgns = "http://www.w3.org/2000/svg";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const node = (name, attributes, text) => {
    const made = document.createElementNS(svgns, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // -- ages ------------------------------------------------------------------------------------------------------
  const age = (seconds) => {
    for (const [size, letter] of [[86400, "d"], [3600, "h"], [60, "m"]])
      if (seconds >= size) return Math.floor(seconds / size) + letter;
    return Math.max(0, Math.floor(seconds)) + "s";
  };
  const tick = () => {
    if (document.body.classList.contains("report")) return;  // its ages are those of its moment
    const now = Date.now() / 1000;
    for (const one of all("time[data-age]")) {
      const said = age(now - Date.parse(one.dateTime) / 1000);
      if (one.textContent !== said) one.textContent = said;
    }
  };

  // -- keys ------------------------------------------------------------------------------------------------------
  let before = "";
  const move = (by) => {
    const items = all("[data-item]").filter((one) => one.offsetParent !== null);
    const at = items.indexOf(document.activeElement);
    const next = items[at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(items.length - 1, Math.max(0, at + by))];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  const middle = (one) => { const r = one.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
  const rove = (box, right, down) => {  // to the nearest in that direction; what lies across counts for more
    const items = all("[tabindex]", box), from = items.includes(document.activeElement) ? document.activeElement : null;
    const [x, y] = from ? middle(from) : [0, 0];
    let next = from ? null : items[0], least = Infinity;
    for (const one of from ? items : []) {
      const [at, level] = middle(one), along = (at - x) * right + (level - y) * down, across = Math.abs(right ? level - y : at - x);
      if (along > 1 && along + 4 * across < least) { least = along + 4 * across; next = one; }
    }
    if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  };
  const tell = (event) => {  // pointing and focus tell the same
    const one = event.target.closest?.("[data-roving] [tabindex]");
    const told = one?.closest(".page")?.querySelector(".told");
    if (told) told.textContent = one.getAttribute("aria-label") ?? one.querySelector("title").textContent;
  };
  document.addEventListener("pointerover", tell);
  document.addEventListener("focusin", tell);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest("input, select, textarea, dialog")) return;
    const box = target.closest("[data-roving]");
    const along = { ArrowRight: [1, 0], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowUp: [0, -1] }[event.key];
    if (box && along) { event.preventDefault(); rove(box, ...along); return; }
    if (before === "g") {
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      before = "";
      if (link) { event.preventDefault(); link.click(); return; }
    }
    if (event.key === "j" || event.key === "ArrowDown") { event.preventDefault(); move(1); }
    else if (event.key === "k" || event.key === "ArrowUp") { event.preventDefault(); move(-1); }
    else if (event.key === "Enter" && target.matches("li[data-item]")) target.querySelector("a")?.click();
    else if (event.key === "/") {
      event.preventDefault();
      const filter = document.querySelector("input[type=search]");
      if (filter) filter.focus(); else document.querySelector('[data-go="a"]')?.click();
    }
    else if (event.key === "?") document.getElementById("help")?.showModal();
    before = event.key;
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener) document.getElementById(opener.dataset.open)?.showModal();
    const zoom = event.target.closest("[data-zoom]");
    const size = event.target.closest("[data-scale]");
    if (size) {
      scale = Number(size.dataset.scale);
      for (const one of all("[data-scale]")) one.setAttribute("aria-pressed", String(one === size));
      drawnGraph = "";
      graph();
    }
    if (zoom) { span = Number(zoom.dataset.zoom); timeline(true); }
  });

  // -- filter ----------------------------------------------------------------------------------------------------
  const filter = () => {
    for (const field of all("[data-filter]")) {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of all(field.dataset.filter)) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    }
  };
  document.addEventListener("input", (event) => { if (event.target.matches("[data-filter]")) filter(); });

  // -- timeline --------------------------------------------------------------------------------------------------
  let span = 0;
  const steps = [60, 300, 900, 3600, 10800, 21600, 86400, 604800];
  const timeline = (moved) => {
    for (const drawn of all("svg.time")) {
      const scroll = drawn.parentElement, wide = scroll.clientWidth;
      if (!wide) continue;
      const begin = Number(drawn.dataset.begin), end = Number(drawn.dataset.end), whole = end - begin;
      const width = span ? Math.max(wide, Math.min(4e6, wide * whole / span)) : wide;
      drawn.setAttribute("width", width);
      const step = steps.find((one) => width * one / whole >= 90) ?? steps.at(-1);
      const zone = new Date(begin * 1000).getTimezoneOffset() * 60;
      const axis = drawn.querySelector(".axis"), ticks = [];
      const first = Math.ceil((begin - zone) / step) * step + zone;
      const from = Math.max(0, Math.floor((end - first) / step) - 4000);
      for (let at = first + from * step; at < end; at += step) {
        const x = (at - begin) / whole * width, when = new Date(at * 1000);
        ticks.push(node("line", { x1: x, x2: x, y1: 20, y2: drawn.getAttribute("height") }));
        const clock = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
        const day = when.toLocaleDateString([], { month: "short", day: "numeric" });
        if (x < width - 40) ticks.push(node("text", { x: x + 4, y: 16 }, step >= 86400 ? day : clock));
      }
      axis.replaceChildren(...ticks);
      for (const one of all("[data-bar]", drawn)) {  // a number that would be cut is left out
        const bar = one.querySelector("svg"), text = bar.querySelector("text");
        const room = parseFloat(bar.getAttribute("width")) / 100 * width;
        text.setAttribute("visibility", room < 10 + 7.5 * text.textContent.length ? "hidden" : "visible");
      }
      for (const one of all("[data-left]", drawn)) one.setAttribute("x", Math.min(width - 10, Math.max(10, one.dataset.left / 100 * width)));
      for (const one of all("[data-zoom]")) one.setAttribute("aria-pressed", String(Number(one.dataset.zoom) === span));
      if (moved) scroll.scrollLeft = scroll.scrollWidth;
    }
  };

  // -- charts ----------------------------------------------------------------------------------------------------
  const plots = new Map(), marks = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200].map((one) => one * 60);
  const last = (plot) => {  // where nothing is pointed at, the legend has the newest values
    const cells = all(".u-value", plot.root), at = plot.data[0].length - 1;
    plot.series.forEach((one, index) => {
      const value = plot.data[index][at];
      if (cells[index]) cells[index].textContent = index ? value : one.value(plot, value);
    });
  };
  const chart = (box, series, data, extra, least = 60) => {  // least: seconds between two marks of the axis
    const known = plots.get(box.id);
    if (known?.box === box && known.data === box.dataset.figures) return;
    known?.plot.destroy();
    box.replaceChildren();
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const plot = new uPlot({
      width: Math.max(280, box.clientWidth), height: 240, series: [{ label: "at", value: (_, at) => (at == null ? "" : new Date(at * 1000).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false })) }, ...series], legend: { show: true, live: true },
      axes: [{ ...axis, space: 90, incrs: marks.filter((one) => one >= least), values: (_, at) => at.map((one) => new Date(one * 1000).toLocaleString([], at.at(-1) - at[0] > 129600 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false })) },
             { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] }],
      scales: { y: { range: (_, low, high) => [0, Math.max(1, Math.ceil(high * 1.05))] } }, cursor: { drag: { x: true, y: false } },
      hooks: { setLegend: [(u) => { if (u.cursor.idx == null) last(u); }], ready: [last] }, ...extra,
    }, data, box);
    plots.set(box.id, { plot, box, data: box.dataset.figures });
  };
  const charts = () => {
    if (typeof uPlot === "undefined") return;
    const burn = document.getElementById("burn-up"), hourly = document.getElementById("throughput");
    const line = (label, name, width = 2) => ({ label, stroke: colour(name), width, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } });
    if (burn?.clientWidth) {
      const f = JSON.parse(burn.dataset.figures);
      chart(burn, [line("total", "--dim"), line("done", "--good"), line("in hand", "--accent"), line("reopened", "--ask", 1)],
        [f.times, f.total, f.done, f.in_hand, f.reopened], {});
    }
    if (hourly?.clientWidth) {
      const f = JSON.parse(hourly.dataset.figures);
      chart(hourly, [{ label: "finished", stroke: colour("--accent"), fill: colour("--c0"), width: 1, paths: uPlot.paths.bars({ size: [0.8, 96], align: 1 }), points: { show: false } }],
        [f.hours, f.finished], { scales: { x: { range: () => [Math.min(f.hours[0], f.hours.at(-1) - 18000), f.hours.at(-1) + 3600] }, y: { range: (_, low, high) => [0, Math.max(1, Math.ceil(high * 1.05))] } } }, 3600);
    }
  };

  // -- graph -----------------------------------------------------------------------------------------------------
  let drawnGraph = "", scale = 1;
  const signs = { ready: "○", "in-progress": "●", done: "✓", blocked: "!", review: "!", failed: "!", missing: "!", unreadable: "!" };
  const curve = (points) => {  // smooth, through the middle of each pair of points
    const at = (p) => `${p.x.toFixed(1)},${p.y.toFixed(1)}`, middle = (p, q) => ({ x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 });
    let path = `M${at(points[0])}`;
    for (let i = 1; i < points.length - 1; i++) path += `Q${at(points[i])} ${at(i < points.length - 2 ? middle(points[i], points[i + 1]) : points.at(-1))}`;
    return points.length > 2 ? path : `${path}L${at(points.at(-1))}`;
  };
  const graph = () => {
    const box = document.getElementById("drawn-graph");
    if (!box || typeof dagre === "undefined" || !box.clientWidth || (box.dataset.graph === drawnGraph && box.firstChild)) return;
    drawnGraph = box.dataset.graph;
    const { nodes, edges } = JSON.parse(drawnGraph);
    const made = new dagre.graphlib.Graph();
    made.setGraph({ rankdir: "LR", nodesep: 8, ranksep: 44, marginx: 16, marginy: 16, ranker: "network-simplex" });
    made.setDefaultEdgeLabel(() => ({}));
    const width = 184, height = 32, critical = new Set(nodes.filter((one) => one.critical).map((one) => one.id));
    for (const one of nodes) made.setNode(one.id, { width, height });
    for (const [from, to] of edges) made.setEdge(from, to);
    dagre.layout(made);
    const size = made.graph(), canvas = node("svg", { width: size.width * scale, height: size.height * scale, viewBox: `0 0 ${size.width} ${size.height}`, role: "group", "aria-label": "tasks" });
    for (const [from, to] of edges) {
      const points = made.edge(from, to).points;
      const heavy = critical.has(from) && critical.has(to);
      canvas.append(node("path", { class: heavy ? "edge critical" : "edge", d: curve(points), "aria-hidden": "true" }));
    }
    for (const one of nodes) {
      const at = made.node(one.id);
      const sign = signs[one.status] ?? "", name = `#${one.id}`, room = 24 - name.length - 3 * sign.length, short = one.label.length > room ? one.label.slice(0, room - 1) + "…" : one.label;
      const title = (text) => `\u2068${text}\u2069`;  // isolated: it may run from right to left
      const said = `${one.href ? `${name} ` : ""}${title(one.label)}: ${one.status.replace("-", " ")}${one.critical ? ", on the critical path" : ""}`;
      const link = node("a", { class: `node ${one.status}${one.critical ? " critical" : ""}`, tabindex: "-1", role: "link", transform: `translate(${at.x - width / 2},${at.y - height / 2})` });
      if (one.href) link.setAttribute("href", one.href);
      const text = node("text", { x: 8, y: 20, "aria-hidden": "true" });
      text.append(node("tspan", { class: "no" }, one.href ? name + " " : ""), node("tspan", {}, title(short)));
      link.append(node("title", {}, said), node("rect", { class: "box", width, height, rx: 4 }), text);
      if (one.critical) link.append(node("rect", { class: "spine", width: 5, height, rx: 2 }));
      if (sign) link.append(node("text", { x: width - 8, y: 20, "text-anchor": "end", "aria-hidden": "true" }, sign));
      canvas.append(link);
    }
    box.replaceChildren(canvas);
    const first = nodes.find((one) => one.critical) ?? nodes.find((one) => one.status !== "done");
    if (first) {
      const at = made.node(first.id);
      box.scrollTo(Math.max(0, (at.x - width) * scale), Math.max(0, at.y * scale - box.clientHeight / 2));
    }
  };

  // -- live ------------------------------------------------------------------------------------------------------
  const draw = () => {
    const strip = document.querySelector("[data-needs]"), name = document.title.replace(/^\(\d+\) /, "");
    const wanted = Number(strip?.dataset.needs ?? 0), title = wanted ? `(${wanted}) ${name}` : name;
    if (document.title !== title) document.title = title;
    tick(); filter(); timeline(false); charts(); graph();
  };
  const connection = (word, kind) => {
    const shown = document.getElementById("connection");
    if (shown && shown.textContent !== word) { shown.textContent = word; shown.className = `connection ${kind}`; }
  };
  const lost = { 401: "signed out: load the page again", 503: "not live: too many pages are open" };
  const connected = (status) => {
    if (status === 200) connection("live", "live"); else connection(lost[status] ?? "connection lost, trying again", "lost");
  };
  document.addEventListener("htmx:sse:after:connection", (event) => connected(event.detail?.connection?.status ?? 200));
  document.addEventListener("htmx:sse:error", (event) => connected(event.detail?.status));
  for (const name of ["htmx:response:error", "htmx:error"]) document.addEventListener(name, () => {  // it never began
    const stream = document.getElementById("stream");
    connected(0);
    setTimeout(() => htmx.ajax("GET", stream.getAttribute("hx-sse:connect"), { source: stream }), 4000);
  });
  document.addEventListener("htmx:sse:after:message", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const one of plots.values()) one.data = ""; draw(); });
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => { for (const one of plots.values()) one.data = ""; draw(); }, 150); });
  addEventListener("hashchange", draw);
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  document.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "center" });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", draw); else draw();
})();
