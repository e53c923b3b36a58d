// What is shown, how it comes, and how something is asked for.
let state = null;

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

const source = new EventSource("events");
const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
source.addEventListener("error", () => { if (!state?.ending) $("badge").textContent = "no connection"; });
