// The result: what is labelled, CoS-Low, and the forecast.

import { byId, el, fill } from "./dom.js";
import { titleOf } from "./progress.js";

const count = (n, horizon) => (n === null ? `more than ${horizon.toLocaleString("en")}` : n.toLocaleString("en"));
const several = (n, word) => (n === 1 ? `${word} one` : `${n} ${word} ones`);
const decimal = (x) => x.toFixed(3).replace("-", "\u2212");
const STAGES = { loading: "Loading the model", gradients: "Gradients", saving: "Saving" };

/** Shows the result; redraws it only if more than the job's progress has changed. */
export function showResult(view) {
  const { place, state } = view;
  const { job, ...rest } = state;
  const phase = JSON.stringify([view.finished, rest.sets, rest.coslow, rest.forecast, job.state, job.message]);
  if (place.dataset.phase !== phase) {
    const hadFocus = place.contains(document.activeElement);
    const focused = document.activeElement?.id;
    const typed = [...place.querySelectorAll("input")].map((input) => [input.id, input.value]);
    place.dataset.phase = phase;
    fill(place, ...heading(view), measuring(view), forecasting(view));
    for (const [id, value] of typed) if (byId(id)) byId(id).value = value;
    if (hadFocus) (byId(focused) ?? byId("stop") ?? byId("measure") ?? byId("result-title")).focus();
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
  const counts = state.sets.find((set) => set.name === finished) ?? state.sets[0];
  const left = counts.drawn - counts.labelled;
  const title = left === 0
    ? `All ${counts.drawn} are labelled`
    : `${counts.labelled} of ${counts.drawn} are labelled`;
  const more = [];
  for (const set of state.sets) {
    const items = state.items.filter((item) => item.set === set.name);
    const next = items.find((item) => !item.labelled && !item.skipped);
    const skipped = items.find((item) => item.skipped);
    if (next) more.push([`Label the ${titleOf(set.name).toLowerCase()} examples (${set.labelled} of ${set.drawn})`, next]);
    else if (skipped) more.push([`Review the ${several(set.skipped, "skipped")}`, skipped]);
    const doubt = set.name === counts.name && items.find((item) => item.unsure);
    if (doubt) more.push([`Review the ${several(set.unsure, "unsure")}`, doubt]);
  }
  return [
    el("h1", { id: "result-title", tabIndex: -1 }, title),
    el("p", { className: "lead" }, left === 0
      ? "All answers are saved. You can still change any of them above."
      : "All answers so far are saved."),
    more.length === 0 ? null : el("div", { className: "actions" }, ...more.map(([text, item]) =>
      el("button", { type: "button", className: "quiet", onclick: () => open(item.id) }, text))),
  ];
}

function measuring({ state, send }) {
  const { job, coslow } = state;
  const low = state.sets.find((set) => set.name === "low");
  const parts = [el("h2", {}, el("span", { className: "number" }, "1"), "CoS-Low")];
  const start = (text, main) => el("button", {
    type: "button", id: "measure", className: main ? "primary" : "quiet",
    onclick: () => send("/api/measure", {}),
  }, text);
  if (!low || low.labelled < 2) {
    parts.push(el("p", {}, "CoS-Low needs labels of the low-confidence examples."));
    return el("section", { className: "card" }, ...parts);
  }
  if (job.state === "running") {
    parts.push(
      el("p", { id: "job-stage", attrs: { role: "status" } }, "Starting …"),
      el("progress", { id: "job-progress", attrs: { "aria-labelledby": "job-stage" } }),
      el("div", { className: "actions" }, el("button", {
        type: "button", id: "stop", className: "quiet", onclick: () => send("/api/stop", {}),
      }, "Stop")));
    return el("section", { className: "card" }, ...parts);
  }
  if (job.state === "failed") parts.push(el("p", { className: "warning", attrs: { role: "alert" } }, `The measurement failed: ${job.message}`));
  if (job.state === "stopped") parts.push(el("p", {}, "The measurement was stopped; nothing was changed."));
  if (coslow) {
    parts.push(el("p", { className: "figure" }, decimal(coslow.coslow), el("span", {},
      `90% interval ${decimal(coslow.low)} to ${decimal(coslow.high)}, from ${coslow.examples} examples`)));
    if (coslow.stale) parts.push(el("p", { className: "warning" }, "Labels have changed since CoS-Low was measured."));
    parts.push(el("div", { className: "actions" }, start("Measure again", coslow.stale)));
  } else {
    parts.push(el("p", {}, `How similar are the gradients of the ${low.labelled} labelled examples? ` +
      "The model is loaded and run on each of them. You can keep using this page."),
    low.labelled < low.drawn ? el("p", { className: "warning" },
      `Only ${low.labelled} of ${low.drawn} are labelled, so CoS-Low will be less certain.`) : "",
    el("div", { className: "actions" }, start("Measure CoS-Low", true)));
  }
  return el("section", { className: "card" }, ...parts);
}

function forecasting(view) {
  const { state, task, send } = view;
  if (!state.coslow || state.job.state === "running") return null;
  const asked = state.forecast?.asked ?? {};
  const field = (id, label, value, hint, props) => el("label", { htmlFor: id }, label, el("input", {
    id, value: value ?? "", placeholder: hint, ...props,
  }));
  const share = { type: "number", min: 0, max: 1, step: "any", inputMode: "decimal" };
  const whole = { type: "number", min: 0, step: 1, inputMode: "numeric" };
  const message = el("p", { className: "warning", id: "forecast-message", hidden: true, attrs: { role: "alert" } });
  const value = (id) => (byId(id).value === "" ? null : Number(byId(id).value));
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      const button = byId("forecast");
      button.disabled = true;
      button.textContent = "Forecasting …";
      const score = value("target-score");
      const response = await send("/api/forecast", {
        target: score === null ? value("target") ?? 0.9 : null, target_score: score,
        zero_shot: value("zero-shot"), ceiling: value("ceiling"),
        scores: byId("scores").value, observe_size: value("observe-size"), budget: value("budget"),
      });
      if (response.status !== 200) {
        button.disabled = false;
        button.textContent = "Forecast";
        const note = byId("forecast-message");
        fill(note, response.data.message ?? "The server did not respond.");
        note.hidden = false;
      } else byId("forecast-sentence")?.focus();
    },
  },
  field("target", "Target (share of gain)", asked.target_score == null ? asked.target ?? 0.9 : "", "0.9", share),
  field("target-score", "or target score", asked.target_score, "none", share),
  field("zero-shot", "Score without labels", asked.zero_shot, "unknown", share),
  field("ceiling", "Best possible score", asked.ceiling ?? task.ceiling, "unknown", share),
  field("scores", "Measured scores", asked.scores, "50=0.71, 200=0.79", { type: "text", autocomplete: "off" }),
  field("observe-size", "Test examples", asked.observe_size, "500", { ...whole, min: 1 }),
  field("budget", "Budget to check", asked.budget, "none", whole),
  el("button", { type: "submit", id: "forecast", className: state.forecast ? "quiet" : "primary" }, "Forecast"));
  return el("section", { className: "card" },
    el("h2", {}, el("span", { className: "number" }, "2"), "Forecast"), form, message,
    state.forecast ? forecastResult(state.forecast) : null);
}

/** The report's chart; it comes as SVG from our own server, without a text from data. */
function chart(svg, className) {
  const parsed = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
  return el("div", { className: `curve ${className}` }, document.importNode(parsed, true));
}

function forecastResult(forecast) {
  const needed = forecast.labels_needed;
  const labels = (n) => count(n, forecast.horizon);
  const rows = [
    ["Labels needed", labels(needed.point)],
    [`${Math.round(100 * forecast.level)}% interval`, `${labels(needed.low)} to ${labels(needed.high)}`],
    ["Next budget to try", forecast.next_budget === null ? "none" : labels(forecast.next_budget)],
    ["Calibration", forecast.calibration ?? "none"],
    ["Based on", forecast.basis],
  ];
  return el("div", { className: "forecast-result" },
    el("p", { id: "forecast-sentence", className: "sentence", tabIndex: -1 }, forecast.headline),
    ...forecast.details.map((text) => el("p", { className: "details" }, text)),
    chart(forecast.charts.curve_wide, "wide"),
    chart(forecast.charts.curve_narrow, "narrow"),
    el("dl", {}, ...rows.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text)))),
    forecast.warnings.length === 0 ? null : el("div", { className: "warning" },
      el("h3", {}, "Warnings"), el("ul", {}, ...forecast.warnings.map((text) => el("li", {}, text)))),
    el("p", { className: "report-link" }, el("a", { href: "/report", target: "_blank", rel: "noopener" }, "Open the full report")));
}
