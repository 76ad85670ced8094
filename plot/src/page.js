// The pointer shows the values at a moment, and that moment in every chart.
const tip = document.getElementById("tip");
const charts = [...document.querySelectorAll("figure")].map((figure) => ({
  svg: figure.querySelector("svg"),
  cursor: figure.querySelector(".cursor"),
  ...JSON.parse(figure.querySelector("script").textContent),
}));
const unit = times.at(-1) < 7200 ? 1 : 60;
const clock = (s) => `${Math.floor(s / unit / 60)}:${String(Math.floor(s / unit) % 60).padStart(2, "0")}`;
for (const chart of charts) {
  const { width } = chart.svg.viewBox.baseVal;
  const left = +chart.svg.dataset.left;
  const inner = width - left - chart.svg.dataset.right;
  chart.svg.addEventListener("pointermove", (event) => {
    const box = chart.svg.getBoundingClientRect();
    const end = times.at(-1);
    const at = (((event.clientX - box.left) / box.width) * width - left) / inner * end;
    const i = times.reduce((best, t, n) => (Math.abs(t - at) < Math.abs(times[best] - at) ? n : best), 0);
    const x = left + (times[i] / end) * inner;
    for (const { cursor } of charts) {
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      cursor.style.visibility = "visible";
    }
    const lines = chart.series
      .filter(({ values }) => values[i] !== null)
      .map(({ name, color, values }) => `<div><i style="background:var(${color})"></i>${name} <b>${+values[i].toFixed(1)}</b></div>`);
    tip.innerHTML = `<div>${clock(times[i])}</div>${lines.join("")}`;
    tip.hidden = false;
    tip.style.left = `${Math.min(event.pageX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${event.pageY + 14}px`;
  });
  chart.svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    for (const { cursor } of charts) cursor.style.visibility = "hidden";
  });
}
