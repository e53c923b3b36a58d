// Shows what the run tells, and asks it for what the buttons say. Whatever comes from outside is set as text.
"use strict";
const $ = (id) => document.getElementById(id);
let state = null;

// Figures, written as in the report.
const number = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
const rate = (value) => (value < 10 && !Number.isInteger(value) ? value.toFixed(1) : number(value));
const duration = (micros) => {
  if (micros < 1e3) return `${Math.round(micros)} µs`;
  if (micros < 1e4) return `${(micros / 1e3).toFixed(2)} ms`;
  return micros < 1e6 ? `${(micros / 1e3).toFixed(1)} ms` : `${(micros / 1e6).toFixed(2)} s`;
};
const seconds = (value) => `${value.toFixed(1)} s`.replace(".0 s", " s");
const short = (text) => text.replace(".00 ", " ").replace(".0 ", " ");

function element(name, classes, ...children) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

// Plots: the same measures, scales and classes as in the report.
const WIDTH = 600, HEIGHT = 280, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 40, GAP = 1.6;

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function range(values, log) {
  if (!log) {
    const most = Math.max(0, ...values);
    return { from: 0, to: most > 0 ? most * 1.08 : 1, of: (value) => value };
  }
  const of = (value) => Math.log10(Math.max(value, 1));
  const all = values.map(of);
  const from = Math.min(...all) - 0.08;
  return { from, to: Math.max(Math.max(...all) + 0.08, from + 0.38), of };
}

function ticks({ from, to }, log, about) {
  if (log) {
    const steps = to - from > 3 ? [1] : [1, 2, 5];
    const found = [];
    for (let decade = Math.floor(from); decade <= Math.ceil(to); decade++)
      for (const step of steps) found.push(step * 10 ** decade);
    return found.filter((value) => Math.log10(value) >= from && Math.log10(value) <= to);
  }
  const rough = (to - from) / about;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * decade).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step) found.push(value);
  return found;
}

function draw(figure, { title, series, log, show, from, to, spans }) {
  series = series.filter(({ points }) => points.length);
  const values = series.flatMap(({ points }) => points.map((point) => point[1]));
  if (!values.length) return figure.replaceChildren(element("p", "empty", "Nothing was measured yet."));
  const y = range(values, log);
  const xOf = (at) => LEFT + (Math.min(Math.max(at - from, 0), to - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const yOf = (value) => HEIGHT - BOTTOM - ((y.of(value) - y.from) / (y.to - y.from)) * (HEIGHT - TOP - BOTTOM);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const span of spans.filter((one) => (one.to ?? to) >= from)) {
    const [left, right] = [xOf(span.from), xOf(span.to ?? to)];
    const shade = svg("rect", { class: "shade", x: left, y: TOP, width: Math.max(right - left, 1), height: HEIGHT - TOP - BOTTOM });
    shade.append(svg("title", {}, span.name));
    drawn.append(shade);
  }
  const bottom = HEIGHT - BOTTOM;
  for (const value of ticks(y, log, 5)) {
    const at = yOf(value).toFixed(1);
    drawn.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at }));
    drawn.append(svg("text", { class: "end", x: LEFT - 7, y: Number(at) + 4 }, short(show(value))));
  }
  for (const value of ticks({ from, to }, false, 8)) {
    const at = xOf(value).toFixed(1);
    drawn.append(svg("line", { class: "tick", x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
    drawn.append(svg("text", { class: "middle", x: at, y: bottom + 17 }, seconds(value)));
  }
  drawn.append(svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: bottom, y2: bottom }));
  for (const { points, classes } of [...series].reverse()) {
    let path = "", last = -Infinity;
    for (const [at, value] of points) {
      path += `${at - last <= GAP ? "L" : "M"}${xOf(at).toFixed(1)} ${yOf(value).toFixed(1)}h0`;
      last = at;
    }
    drawn.append(svg("path", { class: classes, d: path }));
  }
  const legend = series.map(({ name, classes, points }) =>
    element("span", classes, element("i"), name, element("b", "", show(points.at(-1)[1]))));
  figure.replaceChildren(element("figcaption", "", ...legend), drawn);
}

const end = (moment) => (moment.at_ms + moment.length_ms) / 1e3;
const perSecond = (moment, count) => (count * 1e3) / moment.length_ms;

function plots() {
  const moments = state.moments.filter((moment) => moment.length_ms >= 250);
  const of = (name, classes, value) =>
    ({ name, classes, points: moments.map((one) => [end(one), value(one)]).filter((point) => point[1] !== undefined) });
  const paths = (value) => state.paths.map(({ name, title, class: classes }) =>
    of(title, classes, (moment) => moment.paths[name] && value(moment.paths[name])));
  const asked = of("asked for", "asked-for", (moment) => moment.asked_for ?? undefined);
  return [
    ["Throughput", "messages per second", false, rate, [
      of("sent", "sent", (moment) => perSecond(moment, moment.sent)),
      of("delivered", "delivered", (moment) => perSecond(moment, moment.delivered)), asked]],
    ["Latency", "p99 of each second", true, duration, paths((point) => point.p99)],
    ["Latency", "p50 of each second", true, duration, paths((point) => point.p50)],
    ["Users and messages", "at the end of each second", false, number, [
      of("users online", "online", (moment) => moment.online), of("messages open", "open", (moment) => moment.open)]],
  ];
}

function showPlots() {
  const all = plots();
  if (!$("plots").children.length)
    $("plots").append(...all.map(([title, detail]) =>
      element("article", "", element("h2", "", `${title} `, element("small", "", detail)), element("figure", "plot"))));
  const from = state.moments.length ? state.moments[0].at_ms / 1e3 : 0;
  const to = state.moments.length ? Math.max(end(state.moments.at(-1)), from + 10) : 10;
  all.forEach(([title, detail, log, show, series], place) =>
    draw($("plots").children[place].lastChild, { title: `${title}, ${detail}`, series, log, show, from, to, spans: state.marks.spans }));
}

function showTiles() {
  const now = state.moments.at(-1);
  // Also where somebody else has changed it; not while it is being written.
  if (now?.asked_for && document.activeElement !== $("per-second")) $("per-second").value = now.asked_for;
  const known = Object.entries(now?.paths ?? {}).filter(([name]) => ["same", "cross", "direct", "group_last"].includes(name));
  const slowest = known.sort((one, other) => other[1].p99 - one[1].p99)[0];
  const wrong = now ? now.duplicated + now.reordered + now.strange : 0;
  const tile = (name, figure, detail, classes = "") =>
    element("div", `tile ${classes}`, element("span", "", name), element("b", "", figure), element("small", "", detail));
  const tiles = [
    tile("sent per second", now ? rate(perSecond(now, now.sent)) : "–", now?.asked_for != null ? `of ${rate(now.asked_for)} asked for` : ""),
    tile("delivered per second", now ? rate(perSecond(now, now.delivered)) : "–", "to each recipient"),
    tile("p99, slowest path", slowest ? duration(slowest[1].p99) : "–", slowest ? state.paths.find((path) => path.name === slowest[0]).title : ""),
    tile("users online", now ? number(now.online) : "–", `of ${number(state.about.users)}`),
    tile("messages open", now ? number(now.open) : "–", "not yet acknowledged and received"),
    tile("violations", now ? number(wrong) : "–",
      wrong ? `${now.duplicated} doubled, ${now.reordered} out of order, ${now.strange} strange` : "what is lost shows at the end", wrong ? "bad" : "good"),
    tile("errors", now ? number(now.errors) : "–", now?.unsent ? `${number(now.unsent)} messages unsent` : ""),
  ];
  $("tiles").replaceChildren(...tiles);
}

function showPhase() {
  const { name, done, steps } = state.phase;
  const ending = state.ending;
  $("badge").className = `badge ${ending?.verdict ?? ""}`;
  $("badge").textContent = ending ? ending.verdict : name || "starting";
  document.title = `loadgen: ${$("badge").textContent}`;
  $("progress").hidden = Boolean(ending) || !steps;
  if (steps) [$("progress").max, $("progress").value] = [steps, Math.min(done, steps)];
  const notes = (texts, classes) => (texts ?? []).map((text) => element("li", classes, text));
  $("notes").replaceChildren(...notes(ending?.reasons, ending?.verdict === "unknown" ? "unknown" : "bad"), ...notes(ending?.notes, "note"));
  const measuring = !ending && name === "measuring";
  for (const control of document.querySelectorAll("#rate button, #rate input")) control.disabled = !measuring || state.about.rate === null;
  for (const control of document.querySelectorAll("#storm button, #storm input")) control.disabled = !measuring;
  for (const control of document.querySelectorAll("#nodes button")) control.disabled = !measuring;
  $("stop").disabled = Boolean(ending) || !["measuring", "accounts", "logins", "friends and groups", "waiting to start"].includes(name);
}

const lasts = (name) => state.marks.spans.some((span) => span.name === name && span.to === null);
const isPaused = () => lasts("paused");
const isDown = (node) => lasts(`node ${node} is down`);

function showMarks() {
  $("pause").textContent = isPaused() ? "Resume" : "Pause";
  [...$("nodes").children].forEach((button, place) => { button.textContent = `${isDown(place + 1) ? "Start" : "Stop"} node ${place + 1}`; });
  $("steered").hidden = !state.marks.done.length;
  $("done").replaceChildren(...state.marks.done.map((text) => element("li", "", text)));
}

function showAll() {
  $("about").textContent = state.about.title;
  $("mix").textContent = state.about.mix;
  if (!$("per-second").value && state.about.rate) $("per-second").value = state.about.rate;
  if (!$("users").value) $("users").value = Math.max(1, Math.round(state.about.users / 10));
  for (let node = $("nodes").children.length + 1; node <= state.about.nodes; node++) {
    const button = element("button");
    button.type = "button";
    button.addEventListener("click", () => act({ act: isDown(node) ? "start_node" : "stop_node", node }));
    $("nodes").append(button);
  }
  showPhase();
  showTiles();
  showPlots();
  showMarks();
}

async function act(wanted) {
  let text = "loadgen does not answer", done = false;
  try {
    const answer = await fetch("act", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wanted) });
    [text, done] = [await answer.text(), answer.ok];
  } catch {}
  $("answer").className = done ? "" : "bad";
  $("answer").textContent = text;
  return done;
}

const setRate = (perSecond) => {
  if (!(perSecond > 0)) return;
  $("per-second").value = perSecond;
  return act({ act: "rate", per_second: perSecond });
};
const times = (factor) => setRate(Math.max(1, Math.round(Number($("per-second").value) * factor)));

$("rate").addEventListener("submit", (event) => { event.preventDefault(); setRate(Number($("per-second").value)); });
$("slower").addEventListener("click", () => times(0.75));
$("faster").addEventListener("click", () => times(1.25));
$("pause").addEventListener("click", () => act({ act: isPaused() ? "resume" : "pause" }));
$("storm").addEventListener("submit", (event) => { event.preventDefault(); act({ act: "storm", users: Number($("users").value) }); });
// The end is asked for twice.
$("stop").addEventListener("click", () => {
  const sure = $("stop").classList.toggle("sure");
  $("stop").textContent = sure ? "Really stop?" : "Stop the run";
  if (!sure) act({ act: "stop" });
});
$("stop").addEventListener("blur", () => { $("stop").classList.remove("sure"); $("stop").textContent = "Stop the run"; });

const MOST_MOMENTS = 600;
const source = new EventSource("events");
const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
on("all", (all) => { state = all; showAll(); });
on("phase", (phase) => { state.phase = phase; showPhase(); });
on("moment", (moment) => { state.moments.push(moment); state.moments.splice(0, state.moments.length - MOST_MOMENTS); showTiles(); showPlots(); });
on("marks", (marks) => { state.marks = marks; showMarks(); showPlots(); });
on("end", (ending) => { state.ending = ending; source.close(); showPhase(); });
source.addEventListener("error", () => { if (!state?.ending) $("badge").textContent = "no connection"; });
