// What the harness's pages have in common. Whatever comes from outside is set as text.

// One curve of each moment's figures: each with a name, classes and what to take of a moment.
function curve(title, detail, curves, spans) {
  if (![...$("plots").children].some((article) => article.dataset.title === title)) {
    const head = element("h2", "", `${title} `, element("small", "", detail));
    const article = element("article", "", head, element("figure", "plot"));
    article.dataset.title = title;
    $("plots").append(article);
  }
  const figure = [...$("plots").children].find((article) => article.dataset.title === title).lastChild;
  const { moments } = state;
  const series = curves.map(([name, classes, value]) =>
    ({ name, classes, points: moments.map((one) => [end(one), value(one)]) }));
  const from = moments.length ? moments[0].at_ms / 1e3 : 0;
  const to = moments.length ? Math.max(end(moments.at(-1)), from + 10) : 10;
  draw(figure, { title: `${title}, ${detail}`, series, log: false, show: rate, from, to, spans, gap: Infinity });
}

function section(title, detail, content) {
  return element("section", "", element("h2", "", `${title} `, element("small", "", detail)), content);
}

// Each row: its classes, and the texts of its cells.
function table(heads, rows) {
  const cells = (name, texts) => texts.map((text) => element(name, "", text));
  const body = rows.map(([classes, ...texts]) => element("tr", classes, ...cells("td", texts)));
  const head = element("thead", "", element("tr", "", ...cells("th", heads)));
  return element("div", "wide", element("table", "", head, element("tbody", "", ...body)));
}

// How it ended, or what is under way.
function showState(underWay, notes) {
  const ending = state.ending;
  $("badge").className = `badge ${ending?.verdict ?? ""}`;
  $("badge").textContent = ending ? ending.verdict : underWay;
  document.title = `harness: ${$("badge").textContent}`;
  const lines = (texts, classes) => (texts ?? []).map((text) => element("li", classes, text));
  $("notes").replaceChildren(
    ...lines(ending?.reasons, ending?.verdict === "unknown" ? "unknown" : "bad"),
    ...lines(ending?.notes, "note"),
    ...lines(notes, "unknown"));
}

function showProgress(done, of) {
  $("progress").hidden = Boolean(state.ending) || !of;
  if (of) [$("progress").max, $("progress").value] = [of, Math.min(done, of)];
}

// Takes events that each bring a part of the state anew.
const onParts = (names, show) => names.forEach((name) => on(name, (part) => { state[name] = part; show(); }));
