// Shows seed after seed.
$("stop").textContent = "Stop after the seeds under way";

function showSeeds() {
  const { about, standing, search, is_stopped: isStopped, failed } = state;
  $("about").textContent =
    about.seeds === null ? `as many seeds as fit into ${about.minutes} minutes` : `${number(about.seeds)} seeds`;
  $("detail").textContent = about.command;
  const isStarting = !standing.schedules && !failed.length;
  const atSeeds = isStopped ? "ending" : isStarting ? "starting the simulator" : "living through seeds";
  // Only in the end it is known whether a seed was left out.
  const comesOfIt = state.ending ? "what is judged is less than was asked for" : "no further seed begins";
  showState(search ? "looking for a smaller schedule" : atSeeds, isStopped ? [`Stopped by hand: ${comesOfIt}.`] : []);
  search ? showProgress(search.runs, search.most) : showProgress(standing.schedules, about.seeds);
  $("stop").disabled = Boolean(state.ending) || isStopped || Boolean(search);
  const now = state.moments.at(-1);
  const reached = standing.to_reach - standing.missing.length;
  $("tiles").replaceChildren(
    tile("seeds", number(standing.schedules), about.seeds === null ? "as many as fit" : `of ${number(about.seeds)}`),
    tile("seeds per second", now ? rate(perSecond(now, now.schedules)) : "–",
      `${standing.virtual_hours.toFixed(1)} hours of virtual time`),
    tile("faults struck", number(standing.faults), `${number(standing.deliveries)} deliveries judged`),
    tile("rare states reached", `${reached}`, `of ${standing.to_reach}`),
    tile("lived through twice", number(standing.twice), "with the same trace"),
    tile("failed", number(standing.failed), "", failed.length ? "bad" : "good"));
  const lists = [];
  if (search)
    lists.push(section("Looking for a smaller schedule", `that fails as seed ${search.seed} does`,
      table(["runs", "at most", "left of it"], [["", number(search.runs), number(search.most), search.left]])));
  if (failed.length) {
    const detail = failed.length < standing.failed ? `${failed.length} of ${number(standing.failed)} are shown` : "";
    lists.push(section("What failed", detail, table(["seed", "what", "made small", "to see it again"],
      failed.map((one) => ["active", `${one.seed}`, one.what, one.left ?? "", one.again]))));
  }
  if (standing.missing.length)
    lists.push(section("Not reached yet", `${standing.missing.length} of ${standing.to_reach} rare states`,
      element("article", "", element("ul", "names", ...standing.missing.map((name) => element("li", "", name))))));
  $("lists").replaceChildren(...lists);
}

function showCurves() {
  curve("Seeds", "lived through per second", [["seeds", "seeds", (moment) => perSecond(moment, moment.schedules)]], []);
  curve("Faults", "that struck, per second", [["faults", "faults", (moment) => perSecond(moment, moment.faults)]], []);
}

onSecondClick($("stop"), "Really stop?", () => act({ act: "stop" }));
on("all", (all) => { state = all; showSeeds(); showCurves(); });
on("moment", (moment) => { addMoment(moment); showCurves(); });
onParts(["standing", "failed", "search", "is_stopped"], showSeeds);
on("end", (ending) => { state.ending = ending; source.close(); showSeeds(); });
