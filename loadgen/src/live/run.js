// Shows what the run tells, and asks it for what the buttons say.
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
    draw($("plots").children[place].lastChild,
      { title: `${title}, ${detail}`, series, log, show, from, to, spans: state.marks.spans }));
}

function showTiles() {
  const now = state.moments.at(-1);
  // Also where somebody else has changed it; not while it is being written.
  if (now?.asked_for && document.activeElement !== $("per-second")) $("per-second").value = now.asked_for;
  const isShown = ([name]) => ["same", "cross", "direct", "group_last"].includes(name);
  const known = Object.entries(now?.paths ?? {}).filter(isShown);
  const slowest = known.sort((one, other) => other[1].p99 - one[1].p99)[0];
  const wrong = now ? now.duplicated + now.reordered + now.strange : 0;
  const tiles = [
    tile("sent per second", now ? rate(perSecond(now, now.sent)) : "–",
      now?.asked_for != null ? `of ${rate(now.asked_for)} asked for` : ""),
    tile("delivered per second", now ? rate(perSecond(now, now.delivered)) : "–", "to each recipient"),
    tile("p99, slowest path", slowest ? duration(slowest[1].p99) : "–",
      slowest ? state.paths.find((path) => path.name === slowest[0]).title : ""),
    tile("users online", now ? number(now.online) : "–", `of ${number(state.about.users)}`),
    tile("messages open", now ? number(now.open) : "–", "not yet acknowledged and received"),
    tile("violations", now ? number(wrong) : "–",
      wrong ? `${now.duplicated} doubled, ${now.reordered} out of order, ${now.strange} strange`
        : "what is lost shows at the end",
      wrong ? "bad" : "good"),
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
  $("notes").replaceChildren(
    ...notes(ending?.reasons, ending?.verdict === "unknown" ? "unknown" : "bad"), ...notes(ending?.notes, "note"));
  const measuring = !ending && name === "measuring";
  for (const control of document.querySelectorAll("#rate button, #rate input"))
    control.disabled = !measuring || state.about.rate === null;
  for (const control of document.querySelectorAll("#storm button, #storm input")) control.disabled = !measuring;
  for (const control of document.querySelectorAll("#nodes button")) control.disabled = !measuring;
  const canBeStopped = ["measuring", "accounts", "logins", "friends and groups", "waiting to start"].includes(name);
  $("stop").disabled = Boolean(ending) || !canBeStopped;
}

const lasts = (name) => state.marks.spans.some((span) => span.name === name && span.to === null);
const isPaused = () => lasts("paused");
const isDown = (node) => lasts(`node ${node} is down`);

function showMarks() {
  $("pause").textContent = isPaused() ? "Resume" : "Pause";
  [...$("nodes").children].forEach((button, place) => {
    button.textContent = `${isDown(place + 1) ? "Start" : "Stop"} node ${place + 1}`;
  });
  $("steered").hidden = !state.marks.done.length;
  $("done").replaceChildren(...state.marks.done.map((text) => element("li", "", text)));
}

function showAll() {
  $("about").textContent = state.about.title;
  $("detail").textContent = state.about.mix;
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
$("storm").addEventListener("submit", (event) => {
  event.preventDefault();
  act({ act: "storm", users: Number($("users").value) });
});
onSecondClick($("stop"), "Really stop?", () => act({ act: "stop" }));

on("all", (all) => { state = all; showAll(); });
on("phase", (phase) => { state.phase = phase; showPhase(); });
on("moment", (moment) => { addMoment(moment); showTiles(); showPlots(); });
on("marks", (marks) => { state.marks = marks; showMarks(); showPlots(); });
on("end", (ending) => { state.ending = ending; source.close(); showPhase(); });
