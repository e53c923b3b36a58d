// What is shown, how it comes, and how something is asked for.
let state = null;

async function act(wanted) {
  let text = "no answer", done = false;
  try {
    const headers = { "content-type": "application/json" };
    const answer = await fetch("act", { method: "POST", headers, body: JSON.stringify(wanted) });
    [text, done] = [await answer.text(), answer.ok];
  } catch {}
  $("answer").className = done ? "" : "bad";
  $("answer").textContent = text;
  return done;
}

// What cannot be taken back is asked for twice.
function onSecondClick(button, question, does) {
  const text = button.textContent;
  const ask = (asks) => { button.classList.toggle("sure", asks); button.textContent = asks ? question : text; };
  button.addEventListener("click", () => {
    const isSure = button.classList.contains("sure");
    ask(!isSure);
    if (isSure) does();
  });
  button.addEventListener("blur", () => ask(false));
}

function addMoment(moment) {
  state.moments.push(moment);
  state.moments.splice(0, state.moments.length - MOST_MOMENTS);
}

const source = new EventSource("events");
const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
source.addEventListener("error", () => { if (!state?.ending) $("badge").textContent = "no connection"; });
