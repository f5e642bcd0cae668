// What the bridge's page does: it shows the snapshots that come once a second,
// and the messages of one topic. It holds no state but what is on the screen.
"use strict";

const $ = id => document.getElementById(id);
const historyLength = 180; // seconds
const leastOctave = -22;   // latency_buckets[0] ends at 2^-22 s
const mostMessages = 300;

const state = {
  snapshot: null, selected: "", sort: "published_per_s", descending: true, paused: false,
  times: [], rates: new Map(), tail: null, lines: [], lost: 0, publish: false,
};

// Numbers

function scaled(v, units, base) {
  let i = 0;
  while (v >= 999.5 && i < units.length - 1) { v /= base; i++; }
  return (i === 0 && Number.isInteger(v) || v >= 99.95 ? v.toFixed(0) : v.toFixed(1)) + units[i];
}
const count = v => v < 0.05 ? "0" : scaled(v, ["", "k", "M", "G", "T"], 1000);
const size = v => scaled(v, [" B", " KiB", " MiB", " GiB", " TiB"], 1024);
const time = ns => scaled(ns, [" ns", " µs", " ms", " s"], 1000);
const latency = (l, q) => l.count ? time(l[q]) : "-";
const share = v => (100 * v).toFixed(0) + " %";
const label = p => p.name || "#" + p.slot;

function element(name, text, attributes = {}) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

function meter(v) {
  const m = element("meter", share(v), { min: 0, max: 1, high: 0.9 });
  m.value = v;
  m.title = share(v);
  return m;
}

// Tables: a column is [key, title, cell, class]; cell gives text or an element.

const topicColumns = [
  ["topic", "Topic", t => {
    const b = element("button", t.topic, { type: "button" });
    b.addEventListener("click", () => select(t.topic));
    return b;
  }],
  ["published_per_s", "msg/s", t => count(t.published_per_s)],
  ["bytes_per_s", "bytes/s", t => size(t.bytes_per_s), "wide"],
  ["delivered_per_s", "delivered/s", t => count(t.delivered_per_s), "wide"],
  ["p50", "p50", t => latency(t.latency, "p50_ns"), "wide"],
  ["p99", "p99", t => latency(t.latency, "p99_ns")],
  ["lag", "lag", t => count(t.lag)],
  ["used", "ring", t => meter(t.used_bytes / t.capacity_bytes), "wide"],
  ["lost_per_s", "lost/s", t => count(t.lost_per_s)],
  ["people", "pub / sub", t => t.publishers.length + " / " + t.subscribers.length, "wide"],
  ["gating", "gates", t => t.gating, "wide"],
];
const publisherColumns = [
  ["name", "Name", label], ["published_per_s", "msg/s", p => count(p.published_per_s)], ["bytes_per_s", "bytes/s", p => size(p.bytes_per_s), "wide"],
  ["blocked", "blocked", p => share(p.blocked_share)], ["refused", "refused", p => count(p.refused)], ["dropped", "dropped", p => count(p.dropped)],
  ["revocations", "lock taken/s", p => count(p.revocations_per_s), "wide"],
];
const subscriberColumns = [
  ["name", "Name", s => label(s) + (s.gates ? " (gates)" : "")], ["mode", "mode", s => s.mode], ["delivered_per_s", "msg/s", s => count(s.delivered_per_s)],
  ["lag", "lag", s => count(s.lag)], ["behind", "behind", s => meter(s.behind_share), "wide"], ["lost", "lost", s => count(s.lost)],
  ["p50", "p50", s => latency(s.latency, "p50_ns"), "wide"], ["p99", "p99", s => latency(s.latency, "p99_ns")],
];

const sortValue = {
  topic: t => t.topic, gating: t => t.gating, p50: t => t.latency.p50_ns, p99: t => t.latency.p99_ns,
  used: t => t.used_bytes / t.capacity_bytes, people: t => t.publishers.length + t.subscribers.length,
};

function heads(table, columns, onSort) {
  const row = table.tHead.rows[0];
  for (const [key, title, , kind] of columns) {
    const th = element("th", onSort ? undefined : title, { scope: "col" });
    if (kind) th.className = kind;
    if (onSort) {
      const b = element("button", title, { type: "button" });
      b.addEventListener("click", () => onSort(key));
      th.append(b);
      th.dataset.key = key;
    }
    row.append(th);
  }
}

// rows changes cells in place, so that focus and selection stay where they are.
function rows(table, columns, list, keyOf) {
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map(r => [r.dataset.key, r]));
  list.forEach((item, i) => {
    const key = keyOf(item);
    let row = old.get(key);
    old.delete(key);
    if (!row) {
      row = element("tr");
      row.dataset.key = key;
      for (const [, , , kind] of columns) {
        const td = element("td");
        if (kind) td.className = kind;
        row.append(td);
      }
    }
    columns.forEach(([, , cell], c) => {
      const v = cell(item), td = row.cells[c];
      if (typeof v === "string") { if (td.textContent !== v) td.textContent = v; }
      else if (td.firstChild && td.firstChild.nodeName === v.nodeName && v.nodeName === "METER") { td.firstChild.value = v.value; td.firstChild.title = v.title; }
      else if (!td.firstChild || td.textContent !== v.textContent) td.replaceChildren(v);
    });
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] || null);
  });
  for (const r of old.values()) r.remove();
}

// Charts

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const clock = s => new Date(1000 * s).toLocaleTimeString([], { hour12: false });

// marks are the powers of ten in a range, and twice and five times those where
// there are few.
function marks(_, axis, least, most) {
  const list = [], steps = most / least > 300 ? [1] : [1, 2, 5];
  for (let v = 10 ** Math.floor(Math.log10(least)); v <= most; v *= 10) list.push(...steps.map(s => s * v));
  return list.filter(v => v >= least * 0.999 && v <= most * 1.001);
}

// chart makes a chart whose vertical axis is linear (1) or logarithmic (3).
function chart(into, names, format, distr) {
  const stroke = ["--accent", "--second", "--bad"];
  const axis = () => ({ stroke: () => css("--soft"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { stroke: () => css("--line") } });
  const u = new uPlot({
    width: 400, height: 190, cursor: { drag: { x: false } },
    scales: { x: { time: true }, y: { distr } },
    axes: [
      { ...axis(), space: 80, values: (_, vs) => vs.map(clock) },
      { ...axis(), size: 64, ...(distr === 3 ? { splits: marks, filter: (_, vs) => vs } : {}), values: (_, vs) => vs.map(v => v == null ? "" : format(v)) },
    ],
    series: [{}, ...names.map((label, i) => ({ label, stroke: () => css(stroke[i]), width: 2, value: (_, v) => v == null ? "-" : format(v) }))],
  }, [[], ...names.map(() => [])], into);
  const fit = () => u.setSize({ width: into.clientWidth || 400, height: 190 });
  new ResizeObserver(fit).observe(into);
  return u;
}

const ratesChart = chart($("rates"), ["published", "delivered", "lost"], count, 1);
const percentilesChart = chart($("percentiles"), ["p50", "p99"], time, 3);

// plot shows data, and its newest values in the legend if nothing is pointed at.
function plot(chart, data) {
  chart.setData(data);
  if (chart.cursor.idx == null) chart.setLegend({ idx: data[0].length - 1 });
}

// remember keeps what the charts show, of each topic and of all ("").
function remember(s) {
  state.times.push(Date.parse(s.time) / 1000);
  if (state.times.length > historyLength) state.times.shift();
  const points = new Map([["", { published: 0, delivered: 0, lost: 0, p50: null, p99: null, buckets: [] }]]);
  const all = points.get("");
  for (const t of s.topics) {
    const l = t.latency;
    points.set(t.topic, {
      published: t.published_per_s, delivered: t.delivered_per_s, lost: t.lost_per_s,
      p50: l.count ? Math.max(l.p50_ns, 1) : null, p99: l.count ? Math.max(l.p99_ns, 1) : null, buckets: t.latency_buckets,
    });
    all.published += t.published_per_s;
    all.delivered += t.delivered_per_s;
    all.lost += t.lost_per_s;
    if (l.count) { all.p50 = Math.max(all.p50 || 1, l.p50_ns); all.p99 = Math.max(all.p99 || 1, l.p99_ns); }
    t.latency_buckets.forEach((n, i) => all.buckets[i] = (all.buckets[i] || 0) + n);
  }
  for (const [name, p] of points) {
    let h = state.rates.get(name);
    if (!h) state.rates.set(name, h = []);
    h.push([state.times.at(-1), p]);
    if (h.length > historyLength) h.shift();
  }
  for (const name of [...state.rates.keys()]) if (!points.has(name)) state.rates.delete(name);
}

function draw() {
  const h = state.rates.get(state.selected) || state.rates.get("") || [];
  const xs = h.map(([x]) => x), column = k => h.map(([, p]) => p[k]);
  plot(ratesChart, [xs, column("published"), column("delivered"), column("lost")]);
  plot(percentilesChart, [xs, column("p50"), column("p99")]);
  heatmap(h);
  for (const e of document.querySelectorAll(".scope")) e.textContent = state.selected ? "topic " + state.selected : e.dataset.all || "all topics";
}

function heatmap(h) {
  const canvas = $("heatmap"), c = canvas.getContext("2d");
  const left = 60, bottom = 4, octaves = 27;
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  c.scale(devicePixelRatio, devicePixelRatio);
  const width = canvas.clientWidth, height = canvas.clientHeight - bottom;
  const seconds = Math.max(h.length, historyLength / 3);
  const w = (width - left) / seconds, cell = height / octaves;
  let most = 1;
  for (const [, p] of h) for (const n of p.buckets) most = Math.max(most, n || 0);
  const heat = css("--heat");
  h.forEach(([, p], i) => p.buckets.forEach((n, o) => {
    if (!n) return;
    c.fillStyle = "rgba(" + heat + "," + (0.15 + 0.85 * Math.log1p(n) / Math.log1p(most)) + ")";
    c.fillRect(left + (seconds - h.length + i) * w, height - (o + 1) * cell, Math.ceil(w), cell - 0.5);
  }));
  c.fillStyle = css("--soft");
  c.font = "11px system-ui, sans-serif";
  for (let o = 0; o < octaves - 1; o += 4) c.fillText("≤ " + time(1e9 * 2 ** (leastOctave + o)), 2, height - o * cell - 2);
}

// The page

function show() {
  const s = state.snapshot;
  if (!s) return;
  $("bus").textContent = s.bus;
  $("host").textContent = s.host ? `${s.host.program} pid ${s.host.pid}, memory ${size(s.host.memory_bytes)} of ${size(s.host.max_memory_bytes)}` : "";
  const sum = k => s.topics.reduce((n, t) => n + t[k], 0);
  $("published").textContent = count(sum("published_per_s"));
  $("delivered").textContent = count(sum("delivered_per_s"));
  $("bytes").textContent = size(sum("bytes_per_s"));
  $("lost").textContent = count(sum("lost_per_s"));
  const worst = s.topics.filter(t => t.latency.count).reduce((n, t) => Math.max(n, t.latency.p99_ns), -1);
  $("p99").textContent = worst < 0 ? "-" : time(worst);
  const want = $("filter").value;
  const value = sortValue[state.sort] || (t => t[state.sort]);
  const list = s.topics.filter(t => t.topic.includes(want)).sort((a, b) => {
    const x = value(a), y = value(b);
    const d = x < y ? -1 : x > y ? 1 : 0;
    return (state.descending ? -d : d) || (a.topic < b.topic ? -1 : 1);
  });
  rows($("table"), topicColumns, list.slice(0, 500), t => t.topic);
  for (const r of $("table").tBodies[0].rows) r.classList.toggle("selected", r.dataset.key === state.selected);
  for (const th of $("table").tHead.rows[0].cells) {
    if (th.dataset.key === state.sort) th.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  }
  $("none").hidden = list.length > 0;
  $("none").textContent = s.topics.length ? "No topic has that in its name." : "No topics. A topic is made by its first publisher.";
  const t = s.topics.find(t => t.topic === state.selected);
  if (t) details(t);
  else if (state.selected) $("notes").textContent = "This topic is gone.";
  draw();
}

function details(t) {
  const notes = [];
  if (t.stalled) notes.push("stalled: " + t.stalled);
  for (const q of t.quarantined || []) notes.push("quarantined: " + q);
  if (t.gating && t.used_bytes > 0.9 * t.capacity_bytes) notes.push(t.gating + " holds publishers back");
  $("notes").textContent = notes.join("; ");
  $("notes").className = notes.length ? "bad" : "";
  rows($("publishers"), publisherColumns, t.publishers, p => String(p.slot));
  rows($("subscribers"), subscriberColumns, t.subscribers, p => p.guest + ":" + p.slot);
}

function select(topic) {
  const before = state.selected;
  stopTail();
  state.selected = topic;
  $("details").hidden = !topic;
  $("details-title").textContent = topic ? "Topic " + topic : "";
  state.lines = [];
  $("messages").replaceChildren();
  $("tail-state").textContent = "";
  $("publish-state").textContent = "";
  $("publish").hidden = !state.publish;
  for (const id of ["publishers", "subscribers"]) $(id).tBodies[0].replaceChildren();
  show();
  // The focus goes along, so that Tab goes on from there, and returns.
  if (topic) $("details-title").focus({ preventScroll: true });
  else for (const r of $("table").tBodies[0].rows) if (r.dataset.key === before) r.querySelector("button").focus();
  if (topic) $("details").scrollIntoView({ block: "nearest" });
}

// Start

function say(text, bad) {
  $("state").textContent = text;
  $("state").className = bad ? "bad" : "";
}

async function connect() {
  try {
    state.publish = (await (await request("/v1/bridge")).json()).publish === true;
  } catch { /* the stream will say so, and try again */ }
  follow(() => "/v1/snapshots", {
    snapshot: data => {
      const s = JSON.parse(data);
      say(s.host ? "live" : "no host: " + s.problem, !s.host);
      remember(s);
      if (!state.paused || !state.snapshot) { state.snapshot = s; show(); }
    },
    broken: () => say("connection lost, trying again", true),
    refused: problem => {
      if (problem.status === 401) return askForToken();
      say(problem.detail, true);
      setTimeout(connect, retryAfter);
    },
  });
}

function askForToken() {
  say("no token", true);
  $("login").hidden = false;
  $("token").focus();
}

heads($("table"), topicColumns, key => {
  state.descending = state.sort === key ? !state.descending : key !== "topic" && key !== "gating";
  state.sort = key;
  show();
});
heads($("publishers"), publisherColumns);
heads($("subscribers"), subscriberColumns);
$("filter").addEventListener("input", show);
$("close").addEventListener("click", () => select(""));
$("tail").addEventListener("click", () => { if (state.tail) { stopTail(); $("tail-state").textContent = ""; } else startTail(); });
$("publish").addEventListener("submit", publish);
$("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  $("pause").setAttribute("aria-pressed", String(state.paused));
  $("pause").textContent = state.paused ? "Go on" : "Pause";
});
document.addEventListener("keydown", e => {
  if (e.key === "Escape" && e.target instanceof HTMLInputElement && e.target.value) {
    e.preventDefault();
    e.target.value = "";
    show();
  } else if (e.key === "Escape" && state.selected) select("");
  if (e.key === "/" && !(e.target instanceof HTMLInputElement)) { e.preventDefault(); $("filter").focus(); }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { ratesChart.redraw(); percentilesChart.redraw(); draw(); });
$("login").addEventListener("submit", e => {
  e.preventDefault();
  if (takeToken($("token").value)) location.reload();
  else $("login-state").textContent = "this holds no token";
});
if (sessionStorage.getItem(tokenKey)) connect();
else askForToken();
