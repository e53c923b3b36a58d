// Shows the figures under the pointer. Places and texts stand beside each plot; texts are set as text, never as markup.
"use strict";
for (const figure of document.querySelectorAll("figure.plot")) {
  const svg = figure.querySelector("svg");
  if (!svg) continue;
  const data = JSON.parse(figure.querySelector("script").textContent);
  const tip = figure.querySelector(".tip");
  const cursor = svg.querySelector(".cursor");
  cursor.setAttribute("y1", data.top);
  cursor.setAttribute("y2", data.bottom);

  const nearest = (points, x) =>
    points.reduce((best, point) => (!best || Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best), null);

  const hide = () => {
    tip.hidden = true;
    cursor.style.visibility = "hidden";
  };

  const row = (name, value, className) => {
    const line = document.createElement("div");
    if (className) {
      const swatch = document.createElement("i");
      swatch.className = className;
      line.append(swatch);
    }
    const figure = document.createElement("b");
    figure.textContent = value;
    line.append(name, figure);
    return line;
  };

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    const x = (event.clientX - box.left) / scale;
    const at = nearest(data.series.flatMap((series) => series.points), x);
    if (!at) return hide();
    const rows = data.series.flatMap((series) => {
      const point = nearest(series.points, at[0]);
      return point && Math.abs(point[0] - at[0]) < 6 ? [row(series.name, point[3], series.class)] : [];
    });
    tip.replaceChildren(row(data.title, at[2], null), ...rows);
    tip.hidden = false;
    cursor.setAttribute("x1", at[0]);
    cursor.setAttribute("x2", at[0]);
    cursor.style.visibility = "visible";
    const left = at[0] * scale;
    tip.style.left = `${left + 14 + tip.offsetWidth > box.width ? left - tip.offsetWidth - 14 : left + 14}px`;
    tip.style.top = `${svg.offsetTop || 40}px`;
  });
  svg.addEventListener("pointerleave", hide);
}
