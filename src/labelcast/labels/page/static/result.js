// When a set is labelled: CoS-Low and the forecast, started here and followed here.

import { curve } from "./chart.js";
import { byId, el, fill } from "./dom.js";
import { TITLES } from "./strip.js";

const count = (n, horizon) => (n === null ? `more than ${horizon.toLocaleString("en")}` : n.toLocaleString("en"));
const several = (n, word) => (n === 1 ? `${word} one` : `${n} ${word} ones`);
const decimal = (x) => x.toFixed(3).replace("-", "\u2212");
const STAGES = { loading: "Loading the model", gradients: "Gradients", saving: "Saving" };

/** Draws the result, anew only where more than the progress has changed. */
export function showResult(view) {
  const { place, state } = view;
  const { job, ...rest } = state;
  const phase = JSON.stringify([view.finished, rest.sets, rest.coslow, rest.forecast, job.state, job.message]);
  if (place.dataset.phase !== phase) {
    const inside = place.contains(document.activeElement);
    const held = document.activeElement?.id;
    const typed = [...place.querySelectorAll("input")].map((input) => [input.id, input.value]);
    place.dataset.phase = phase;
    fill(place, ...heading(view), measuring(view), forecasting(view));
    for (const [id, value] of typed) if (byId(id)) byId(id).value = value;
    if (inside) (byId(held) ?? byId("stop") ?? byId("measure") ?? byId("result-title")).focus();
  }
  const bar = byId("job-progress");
  if (bar && job.state === "running") {
    const counted = job.stage === "gradients" && job.total > 0;
    if (counted) Object.assign(bar, { max: job.total, value: job.done });
    else bar.removeAttribute("value");
    fill(byId("job-stage"), counted ? `Gradients: ${job.done} of ${job.total}` : `${STAGES[job.stage] ?? "Working"} …`);
  }
}

function heading({ state, finished, open }) {
  const tally = state.sets.find((set) => set.name === finished) ?? state.sets[0];
  const left = tally.drawn - tally.labelled;
  const title = left === 0
    ? `All ${tally.drawn} are labelled`
    : `${tally.labelled} of ${tally.drawn} are labelled`;
  const further = [];
  for (const set of state.sets) {
    const items = state.items.filter((item) => item.set === set.name);
    const next = items.find((item) => !item.labelled && !item.skipped);
    const skipped = items.find((item) => item.skipped);
    if (next) further.push([`Label the ${TITLES[set.name].toLowerCase()} examples (${set.labelled} of ${set.drawn})`, next]);
    else if (skipped) further.push([`Look at the ${several(set.skipped, "skipped")}`, skipped]);
    const doubt = set.name === tally.name && items.find((item) => item.unsure);
    if (doubt) further.push([`Look at the ${several(set.unsure, "unsure")}`, doubt]);
  }
  return [
    el("h1", { id: "result-title", tabIndex: -1 }, title),
    el("p", { className: "lead" }, left === 0
      ? "Every answer is on disk. You may still go back to any of them above."
      : "Every answer so far is on disk."),
    further.length === 0 ? null : el("div", { className: "actions" }, ...further.map(([words, item]) =>
      el("button", { type: "button", className: "quiet", onclick: () => open(item.id) }, words))),
  ];
}

function measuring({ state, ask }) {
  const { job, coslow } = state;
  const low = state.sets.find((set) => set.name === "low");
  const parts = [el("h2", {}, el("span", { className: "number" }, "1"), "CoS-Low")];
  const start = (words, main) => el("button", {
    type: "button", id: "measure", className: main ? "primary" : "quiet",
    onclick: () => ask("/api/measure", {}),
  }, words);
  if (!low || low.labelled < 2) {
    parts.push(el("p", {}, "It needs labels of the low-confidence examples."));
    return el("section", { className: "card" }, ...parts);
  }
  if (job.state === "running") {
    parts.push(
      el("p", { id: "job-stage", attrs: { role: "status" } }, "Starting …"),
      el("progress", { id: "job-progress", attrs: { "aria-labelledby": "job-stage" } }),
      el("div", { className: "actions" }, el("button", {
        type: "button", id: "stop", className: "quiet", onclick: () => ask("/api/stop", {}),
      }, "Stop")));
    return el("section", { className: "card" }, ...parts);
  }
  if (job.state === "failed") parts.push(el("p", { className: "warning", attrs: { role: "alert" } }, `It failed: ${job.message}`));
  if (job.state === "stopped") parts.push(el("p", {}, "It was stopped; nothing was changed."));
  if (coslow) {
    parts.push(el("p", { className: "figure" }, decimal(coslow.coslow), el("span", {},
      `90% interval ${decimal(coslow.low)} to ${decimal(coslow.high)}, from ${coslow.examples} examples`)));
    if (coslow.stale) parts.push(el("p", { className: "warning" }, "Labels have changed since it was measured."));
    parts.push(el("div", { className: "actions" }, start("Measure again", coslow.stale)));
  } else {
    parts.push(el("p", {}, `How alike are the gradients of the ${low.labelled} labelled examples? ` +
      "The model is loaded and run on each; meanwhile this page stays usable."),
    low.labelled < low.drawn ? el("p", { className: "warning" },
      `${low.labelled} of ${low.drawn} are labelled: the answer will be less sure than with all.`) : "",
    el("div", { className: "actions" }, start("Measure CoS-Low", true)));
  }
  return el("section", { className: "card" }, ...parts);
}

function forecasting(view) {
  const { state, task, ask } = view;
  if (!state.coslow || state.job.state === "running") return null;
  const asked = state.forecast?.asked ?? {};
  const number = (id, label, value, hint) => el("label", { htmlFor: id }, label, el("input", {
    id, type: "number", min: 0, max: 1, step: "any", inputMode: "decimal",
    value: value ?? "", placeholder: hint,
  }));
  const message = el("p", { className: "warning", id: "forecast-message", hidden: true, attrs: { role: "alert" } });
  const value = (id) => (byId(id).value === "" ? null : Number(byId(id).value));
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      const button = byId("forecast");
      button.disabled = true;
      button.textContent = "Forecasting …";
      const answer = await ask("/api/forecast", {
        target: value("target") ?? 0.9, zero_shot: value("zero-shot"), ceiling: value("ceiling"),
      });
      if (answer.status !== 200) {
        button.disabled = false;
        button.textContent = "Forecast";
        const shown = byId("forecast-message");
        fill(shown, answer.data.message ?? "Nobody answered.");
        shown.hidden = false;
      } else byId("answer-sentence")?.focus();
    },
  },
  number("target", "Target (share of gain)", asked.target ?? 0.9, "0.9"),
  number("zero-shot", "Score without labels", asked.zero_shot, "unknown"),
  number("ceiling", "Best score to hope for", asked.ceiling ?? task.ceiling, "unknown"),
  el("button", { type: "submit", id: "forecast", className: state.forecast ? "quiet" : "primary" }, "Forecast"));
  return el("section", { className: "card" },
    el("h2", {}, el("span", { className: "number" }, "2"), "Forecast"), form, message,
    state.forecast ? answer(state.forecast, task) : null);
}

function answer(forecast, task) {
  const needed = forecast.labels_needed;
  const labels = (n) => count(n, forecast.horizon);
  const rows = [
    ["Labels needed", labels(needed.point)],
    [`${Math.round(100 * forecast.level)}% interval`, `${labels(needed.low)} to ${labels(needed.high)}`],
    ["Next budget to try", forecast.next_budget === null ? "none" : labels(forecast.next_budget)],
    ["Calibration", forecast.calibration ?? "none"],
    ["Rests on", forecast.basis],
  ];
  return el("div", { className: "answer-given" },
    el("p", { id: "answer-sentence", className: "sentence", tabIndex: -1 }, forecast.sentence),
    curve(forecast),
    el("dl", {}, ...rows.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text)))),
    forecast.warnings.length === 0 ? null : el("div", { className: "warning" },
      el("h3", {}, "Take care"), el("ul", {}, ...forecast.warnings.map((words) => el("li", {}, words)))),
    el("p", { className: "hint" }, "The whole report, as one file: ", el("code", {}, `labelcast report ${task.run}`)));
}
