// Draws what the server has worked out: one card for each panel, drawn anew whenever there is something new.
"use strict";

const COLOURS = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#06b6d4", "#ec4899", "#84cc16", "#f97316", "#64748b"];
const OVER_TIME = new Set(["lines", "stacked"]);
const dark = matchMedia("(prefers-color-scheme: dark)");

let description;
let chosen;
let cards = [];

function element(name, text, classes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

function shown(value, unit, brief = false) {
  if (value === null || value === undefined) return "no data";
  const round = (number) => Number(number.toPrecision(3)).toLocaleString("en", {maximumFractionDigits: 4});
  const scaled = (steps, suffix) => {
    let number = value, step = 0;
    while (Math.abs(number) >= 1024 && step < steps.length - 1) { number /= 1024; step += 1; }
    return `${round(number)} ${steps[step]}${suffix}`;
  };
  switch (unit) {
    case "share": return `${round(100 * value)} %`;
    case "bytes": return scaled(["B", "KiB", "MiB", "GiB", "TiB"], "");
    case "bytes/s": return scaled(["B", "KiB", "MiB", "GiB"], "/s");
    case "state": return value === 1 ? "well" : "not well";
    case "seconds":
      if (value === 0) return "0 s";
      if (value < 1) return `${round(value * 1000)} ms`;
      return value < 120 ? `${round(value)} s` : value < 7200 ? `${round(value / 60)} min` : `${round(value / 3600)} h`;
    case "per minute": return `${round(value)} /min`;
    case "count": case "score": return round(value);
    default: return `${round(value)} ${brief ? unit.replace(/^[a-z]+(?=\/)/, "") : unit}`;
  }
}

function judged(value, panel) {
  if (value === null || value === undefined) return "none";
  if (panel.form === "states") return value === 1 ? "well" : "bad";
  if (!panel.limits || Object.keys(panel.queries).length > 1) return ""; // of several lines, not all are meant
  const {above, warning, critical} = panel.limits;
  const past = (limit) => (above ? value >= limit : value < limit);
  return past(critical) ? "bad" : past(warning) ? "look" : "well";
}

const last = (values) => values[values.length - 1];

function card(panel) {
  const section = element("section");
  section.append(element("h2", panel.question), element("p", panel.about));
  const body = element("div");
  section.append(body);
  return {section, body, panel, plot: null, names: ""};
}

function draw(card, data) {
  const names = Object.keys(data.lines);
  if (OVER_TIME.has(card.panel.form)) return drawLines(card, data, names);
  card.body.replaceChildren(card.panel.form === "number" ? numbers(card.panel, data, names) : table(card.panel, data, names));
}

function numbers(panel, data, names) {
  const all = element("div");
  for (const name of names.length ? names : [null]) {
    const value = name === null ? null : last(data.lines[name]);
    const one = element("div", shown(value, panel.unit), `number ${judged(value, panel)}`);
    if (name) one.append(element("small", name));
    all.append(one);
  }
  return all;
}

function table(panel, data, names, colours) {
  const rows = element("table");
  const values = names.map((name) => [name, last(data.lines[name])]);
  const most = Math.max(...values.map(([, value]) => value ?? 0), 0) || 1;
  values.forEach(([name, value], number) => {
    const row = rows.insertRow();
    const cell = row.insertCell();
    if (colours) {
      const swatch = element("span", "", "swatch");
      swatch.style.background = colours[number];
      cell.append(swatch);
    }
    cell.append(name);
    if (!colours && panel.form !== "states") {
      const bar = element("div", "", `bar ${judged(value, panel)}`);
      bar.style.width = `${100 * (value ?? 0) / most}%`;
      cell.append(bar);
    }
    row.append(element("td", shown(value, panel.unit), judged(value, panel)));
  });
  if (!names.length) rows.insertRow().append(element("td", "no data", "none"));
  return rows;
}

function drawLines(card, data, names) {
  const {panel, body} = card;
  const colours = names.map((_, number) => COLOURS[number % COLOURS.length]);
  const series = names.map((name) => data.lines[name]);
  if (!card.plot || card.names !== names.join("\n")) {
    card.names = names.join("\n");
    card.plot?.destroy();
    body.replaceChildren();
    card.plot = new uPlot(options(panel, names, colours, body.clientWidth), [data.at_s, ...series], body);
  } else {
    card.plot.setData([data.at_s, ...series]);
  }
  const legend = body.querySelector(".legend") ?? body.appendChild(element("div", undefined, "legend"));
  legend.replaceChildren(table(panel, data, names, colours));
}

function options(panel, names, colours, width) {
  const [quiet, line] = dark.matches ? ["#98a2b0", "#2f363f"] : ["#5c6675", "#dde1e6"]; // --quiet and --line of page.css
  const axis = {stroke: quiet, grid: {stroke: line, width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif"};
  return {
    width, height: 150,
    legend: {show: false},
    cursor: {y: false},
    scales: {y: {range: (plot, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1]}},
    axes: [
      {...axis, size: 26, space: 80, values: (plot, moments) => moments.map((moment) => new Date(moment * 1000).toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit", second: "2-digit"}))},
      {...axis, size: 68, values: (plot, values) => values.map((value) => shown(value, panel.unit, true))},
    ],
    series: [{}, ...names.map((name, number) => ({label: name, stroke: colours[number], width: 2, points: {show: false}}))],
  };
}

function choose(dashboard) {
  chosen = dashboard;
  history.replaceState(null, "", `#${dashboard.name}`);
  for (const button of document.querySelectorAll("nav button")) {
    button.setAttribute("aria-current", button.textContent === dashboard.title ? "page" : "false");
  }
  cards.forEach((each) => each.plot?.destroy());
  cards = dashboard.panels.map(card);
  document.getElementById("panels").replaceChildren(...cards.map((each) => each.section));
  return refresh();
}

async function refresh() {
  const asked = chosen;
  const state = document.getElementById("state");
  try {
    const answer = await fetch(`/shown/${asked.name}.json`);
    const found = await answer.json();
    if (asked !== chosen) return;
    found.panels.forEach((data, number) => draw(cards[number], data));
    state.textContent = found.answers ? `live: ${description.url}` : `${description.url} does not answer`;
    state.className = found.answers ? "" : "bad";
  } catch (error) {
    state.textContent = "the server of this page does not answer";
    state.className = "bad";
  }
}

async function start() {
  description = await (await fetch("/panels.json")).json();
  const nav = document.getElementById("dashboards");
  for (const dashboard of description.dashboards) {
    const button = element("button", dashboard.title);
    button.onclick = () => choose(dashboard);
    nav.append(button);
  }
  const wanted = description.dashboards.find((each) => `#${each.name}` === location.hash);
  await choose(wanted ?? description.dashboards[0]);
  setInterval(refresh, description.period_s * 1000);
  addEventListener("resize", () => cards.forEach((each) => each.plot?.setSize({width: each.body.clientWidth, height: 150})));
  dark.addEventListener("change", () => choose(chosen));
}

start();
