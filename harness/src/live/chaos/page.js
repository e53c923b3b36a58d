// Shows a story while one thing after the other breaks.
const MOST_ROWS = 60;
$("stop").textContent = "Stop after this step";

// With a space that breaks no line.
const seen = (at) => (at === null ? "" : `${at.toFixed(1)}\u00a0s`);
const spans = () => state.faults.filter((fault) => fault.from_s !== null)
  .map((fault) => ({ from: fault.from_s, to: fault.to_s, name: fault.what }));

function showStory() {
  const { about, phase, steps, faults, judged, search, is_stopped: isStopped } = state;
  const { name, text, begun } = phase;
  $("about").textContent = about.title;
  $("detail").textContent = about.command;
  const isBreaking = name === "breaking";
  const isCut = isStopped && begun < steps;
  showState(isBreaking ? `step ${begun} of ${steps}` : text,
    isCut ? ["Stopped by hand: steps are left out, and only the others are judged."] : []);
  name === "searching" ? showProgress(search.length, about.search_runs) : showProgress(begun, steps);
  $("stop").disabled = Boolean(state.ending) || isStopped || !isBreaking || begun === steps;
  const now = state.moments.at(-1);
  const of = (wanted) => faults.filter((fault) => fault.state === wanted).length;
  const active = faults.filter((fault) => fault.state === "active").map((fault) => fault.what);
  $("tiles").replaceChildren(
    tile("acknowledged per second", now ? rate(perSecond(now, now.acked)) : "–", "messages"),
    tile("delivered per second", now ? rate(perSecond(now, now.delivered)) : "–", "to each recipient"),
    tile("users online", now ? number(now.online) : "–", `of ${number(about.users)}`),
    tile("broken now", `${active.length}`, active.join(" and "), active.length ? "bad" : ""),
    tile("faults healed", `${of("healed")}`, `of ${faults.length}, ${of("coming")} to come`),
    tile("seed", `${about.seed}`, ""));
  const lists = [];
  if (judged)
    lists.push(section("What the story came to", judged.verdict, element("div", "", element("p", "mix", judged.summary),
      table(["promise", "judged", "open", "broken"], judged.promises.map((one) =>
        [one.violated ? "active" : "", one.name, number(one.judged), number(one.open), number(one.violated)])))));
  if (search.length)
    lists.push(section("Looking for the fewest steps that fail", `at most ${about.search_runs} runs`,
      table(["run", "steps", "came to"], search.map((run, place) =>
        [run.came_to === null ? "coming" : "", `${place + 1}`, run.steps, run.came_to ?? "under way"]))));
  // Of a long schedule the part around what happens now.
  const first = faults.findIndex((fault) => fault.state !== "healed");
  const from = Math.max(0, Math.min((first < 0 ? faults.length : first) - MOST_ROWS / 2, faults.length - MOST_ROWS));
  const rows = faults.slice(from, from + MOST_ROWS);
  const shown = rows.length < faults.length ? `, of which ${rows.length} are shown` : "";
  const heads = ["step", "fault", "state", "after", "for", "broken at", "healed at"];
  const cells = (fault) => [
    fault.state, `${fault.step}`, fault.what, fault.state.replace("_", " "), seen(fault.after_s), seen(fault.lasting_s),
    seen(fault.from_s), seen(fault.to_s)];
  lists.push(section("The schedule", `${faults.length} faults${shown}`, table(heads, rows.map(cells))));
  $("lists").replaceChildren(...lists);
}

function showCurves() {
  curve("Messages", "per second, with faults shaded", [
    ["acknowledged", "acked", (moment) => perSecond(moment, moment.acked)],
    ["delivered", "delivered", (moment) => perSecond(moment, moment.delivered)]], spans());
  curve("Users online", "at the end of each second", [["users online", "online", (moment) => moment.online]], spans());
}

function showAll() {
  showStory();
  showCurves();
}

onSecondClick($("stop"), "Really stop?", () => act({ act: "stop" }));
on("all", (all) => { state = all; showAll(); });
on("moment", (moment) => { addMoment(moment); showAll(); });
on("fault", ({ place, fault }) => { state.faults[place] = fault; showAll(); });
onParts(["faults"], showAll);
onParts(["phase", "judged", "search", "is_stopped"], showStory);
on("end", (ending) => { state.ending = ending; source.close(); showStory(); });
