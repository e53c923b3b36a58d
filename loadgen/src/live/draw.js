// Figures, elements and plots, drawn as in the report. Whatever comes from outside is set as text.
"use strict";
const $ = (id) => document.getElementById(id);

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

// Of a moment: its end in seconds, and how much a second a count of it is.
const end = (moment) => (moment.at_ms + moment.length_ms) / 1e3;
const perSecond = (moment, count) => (count * 1e3) / moment.length_ms;

function element(name, classes, ...children) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

const tile = (name, figure, detail, classes = "") =>
  element("div", `tile ${classes}`, element("span", "", name), element("b", "", figure), element("small", "", detail));

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

function draw(figure, { title, series, log, show, from, to, spans, gap = GAP }) {
  series = series.filter(({ points }) => points.length);
  const values = series.flatMap(({ points }) => points.map((point) => point[1]));
  if (!values.length) return figure.replaceChildren(element("p", "empty", "Nothing was measured yet."));
  const y = range(values, log);
  const xOf = (at) => LEFT + (Math.min(Math.max(at - from, 0), to - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const yOf = (value) => HEIGHT - BOTTOM - ((y.of(value) - y.from) / (y.to - y.from)) * (HEIGHT - TOP - BOTTOM);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const span of spans.filter((one) => (one.to ?? to) >= from)) {
    const [left, right] = [xOf(span.from), xOf(span.to ?? to)];
    const size = { width: Math.max(right - left, 1), height: HEIGHT - TOP - BOTTOM };
    const shade = svg("rect", { class: "shade", x: left, y: TOP, ...size });
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
      path += `${path && at - last <= gap ? "L" : "M"}${xOf(at).toFixed(1)} ${yOf(value).toFixed(1)}h0`;
      last = at;
    }
    drawn.append(svg("path", { class: classes, d: path }));
  }
  const legend = series.map(({ name, classes, points }) =>
    element("span", classes, element("i"), name, element("b", "", show(points.at(-1)[1]))));
  figure.replaceChildren(element("figcaption", "", ...legend), drawn);
}
