// The label page: one example at a time. An answer that is shown as saved is on disk.

import { controlFor, keysOf, settled, showAnswers } from "./answers.js";
import { GONE, get, post } from "./api.js";
import { secondsSpent, startClock } from "./clock.js";
import { byId, composing, el, fill, keyButton, shown, textBlock, types } from "./dom.js";
import { draft, keep } from "./drafts.js";
import { showProgress, titleOf } from "./progress.js";
import { showResult } from "./result.js";
import { forgetStep, madeStep, startSteps, stepToUndo } from "./steps.js";

// Milliseconds between two refreshes, without and with a running job.
const [SLOW, FAST] = [4000, 700];

let task = null;
let state = null;
let item = null; // the example that is shown; null while the result is shown
let busy = false;
let modelShown = false;

// ---------------------------------------------------------------- the server

/** Waits for a response; shows a banner if the server is gone, or refuses what is `needed`. */
async function ask(request, needed = false) {
  const response = await request;
  const gone = response.status === GONE;
  const refused = response.status === 403;
  const banner = byId("banner");
  if (gone || refused) {
    const text = gone
      ? "The server has stopped. All saved answers are kept, and what you typed stays here. Start " +
        "it again in the terminal and open the link that it prints:"
      : "The server was restarted. Open the new link from the terminal; then this window works " +
        "again too. What you typed stays here.";
    if (banner.dataset.why !== String(response.status)) {
      fill(banner, el("p", {}, text), gone ? el("code", {}, `labelcast label ${task?.run ?? "RUN"}`) : null);
      banner.dataset.why = response.status;
    }
    banner.hidden = false;
  } else if (response.status < (needed ? 400 : 500) || response.data.message === undefined) {
    banner.hidden = true;
    delete banner.dataset.why;
  } else {
    fill(banner, response.data.message);
    delete banner.dataset.why;
    banner.hidden = false;
  }
  return response;
}

/** Shows a short status message, which screen readers read out. */
function say(text) {
  fill(byId("status"), text);
}

function notice(...children) {
  const place = byId("notice");
  fill(place, ...children);
  place.hidden = children.length === 0;
}

async function refresh() {
  const response = await ask(get("/api/state"), true);
  if (response.status !== 200 || busy) return;
  const before = state;
  state = response.data;
  if (item) {
    const now = state.items.find((one) => one.id === item.id);
    if (!now) await go();
    else if (now.version !== item.version && !typed() && !byId("notice").querySelector("button")) {
      await open(item.id, byId("answers").contains(document.activeElement));
    } else updateProgress();
  } else if (before) {
    updateProgress();
    showResult(resultPlace());
  }
}

/** Whether an answer or a search is typed: its field stays until it is sent. */
function typed() {
  const field = byId("find") ?? byId("free");
  return field !== null && field.value !== (field.id === "free" ? item.entry.answer ?? "" : "");
}

function updateProgress() {
  showProgress(state, item, (id) => open(id));
  const low = state.sets.find((set) => set.name === "low");
  byId("to-result").hidden = !item || !low || low.labelled < 2;
}

// ---------------------------------------------------------------- an example

async function open(id, focus = true) {
  const response = await ask(get(`/api/example?id=${encodeURIComponent(id)}`));
  if (response.status === 200) show(response.data, focus);
}

function show(example, focus = true) {
  const other = example.id !== item?.id;
  item = example;
  if (other) {
    startClock();
    modelShown = false;
    fill(byId("extra"));
  }
  notice();
  byId("result").hidden = true;
  byId("example").hidden = false;
  const peers = state.items.filter((one) => one.set === item.set);
  const place = peers.findIndex((one) => one.id === item.id) + 1;
  fill(byId("example-title"), `Example ${place}`, el("span", {}, ` of ${peers.length}`));
  showMarks();
  if (other) {
    fill(byId("fields"), ...task.fields.map(({ name, label }) => el("div", { className: "field" },
      task.fields.length > 1 || label !== name ? el("h2", { dir: "auto" }, label) : null,
      textBlock(item.fields[name], label))));
  }
  const typed = byId("find")?.value;
  const field = showAnswers(byId("answers"), task, item, label);
  if (!other && typed && field?.id === "find") {
    field.value = typed;
    field.dispatchEvent(new Event("input"));
  }
  showActions();
  updateProgress();
  if (focus) {
    (field ?? byId("example-title")).focus({ preventScroll: true });
    if (other) window.scrollTo(0, 0);
  }
}

function showMarks() {
  const { answer, unsure, skipped, note } = item.entry;
  const marks = [el("span", { className: "mark set" }, titleOf(item.set))];
  if (answer !== null) marks.push(el("span", { className: "mark done" }, "labelled"));
  if (skipped) marks.push(el("span", { className: "mark" }, "skipped"));
  if (unsure) marks.push(el("span", { className: "mark unsure" }, "unsure"));
  if (note) marks.push(el("span", { className: "mark note", dir: "auto" }, `Note: ${note}`));
  fill(byId("marks"), ...marks);
}

const ACTIONS = [
  { key: "b", name: "Back", act: () => step(-1) },
  { key: "s", name: "Skip", act: skip },
  { key: "u", name: "Undo", act: undo },
  { key: "?", name: "Unsure", act: unsure },
  { key: "n", name: "Note", act: editNote },
  { key: "m", name: "Model", act: showModel, title: "Show the model's own answer" },
];

function showActions() {
  const place = state.items.findIndex((one) => one.id === item.id);
  const off = { b: place === 0, u: stepToUndo(state.undo) === null, m: item.set === "test" };
  const focused = document.activeElement?.closest?.("#actions button")?.dataset.key;
  fill(byId("actions"), ...ACTIONS.filter(({ key }) => key !== "m" || !off.m).map(({ key, name, act, title }) => {
    const press = (event) => { if (!["s", "u"].includes(key) || settled(event)) act(); };
    const button = keyButton(name, key, {
      className: key === "m" ? "quiet model" : "quiet", onclick: press, disabled: off[key] === true, title: title ?? "",
      attrs: key === "?" ? { "aria-pressed": String(item.entry.unsure) } : {},
    });
    button.dataset.key = key;
    return button;
  }));
  if (focused) byId("actions").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// ---------------------------------------------------------------- actions

/** Sends one change; nothing else is sent until its response is here. */
async function change(path, body) {
  if (busy) return null;
  busy = true;
  byId("example").setAttribute("aria-busy", "true");
  const response = await ask(post(path, body));
  busy = false;
  byId("example").removeAttribute("aria-busy");
  if (response.status === 200) {
    if (response.data.items) state = { ...state, ...response.data };
    if (response.data.step) madeStep(response.data.step);
    return response.data;
  }
  if (response.status === 409) return conflict(response.data, body);
  if (response.data.message && response.status !== 403) notice(el("p", {}, response.data.message));
  return null;
}

const about = () => ({ id: item.id, seen: item.version });

async function label(answer) {
  const done = await change("/api/label", { ...about(), answer, seconds: secondsSpent() });
  if (!done) return;
  keep("text", done.item.id, "");
  say(`Saved: ${shorten(answer)}`);
  follow(done);
}

async function follow(done) {
  item = { ...done.item };
  if (done.next) await open(done.next);
  else {
    state.first = null;
    await go();
  }
}

async function skip() {
  const done = await change("/api/skip", { ...about(), seconds: secondsSpent() });
  if (!done) return;
  say(done.item.entry.skipped ? "Skipped." : "The answer is kept.");
  follow(done);
}

async function unsure() {
  const done = await change("/api/unsure", { ...about(), unsure: !item.entry.unsure });
  if (!done) return;
  say(done.item.entry.unsure ? "Marked as unsure." : "No longer unsure.");
  show(done.item, false);
}

async function undo() {
  const step = stepToUndo(state.undo);
  if (!step) return;
  const done = await change("/api/undo", { step });
  if (!done) return;
  forgetStep(step, done.undo);
  say(done.item ? "Undone." : "There is nothing to undo.");
  if (done.item) show(done.item);
}

function step(by) {
  const place = state.items.findIndex((one) => one.id === item.id) + by;
  if (state.items[place]) open(state.items[place].id);
}

function editNote() {
  const { id } = item;
  const area = el("textarea", {
    id: "note", rows: 2, value: draft("note", id) || item.entry.note,
    attrs: { "aria-label": "Note on this example", dir: "auto" },
  });
  const close = () => {
    keep("note", id, "");
    fill(byId("extra"));
    byId("example-title").focus();
  };
  const save = async () => {
    const done = await change("/api/note", { ...about(), note: area.value });
    if (!done) return;
    say("Note saved.");
    show(done.item, false);
    close();
  };
  area.addEventListener("input", () => keep("note", id, area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !composing(event)) save();
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  fill(byId("extra"), el("div", { className: "note-editor" }, area,
    keyButton("Save note", "Enter", { className: "primary", onclick: save }),
    keyButton("Cancel", "Esc", { className: "quiet", onclick: close })));
  area.focus();
}

async function showModel() {
  if (item.set === "test" || modelShown) return;
  const { id } = item;
  const response = await ask(post("/api/model", { id }));
  if (response.status !== 200 || item?.id !== id) return;
  modelShown = true;
  const { answer } = response.data;
  fill(byId("extra"), el("div", { className: "model-answer", attrs: { role: "status" } },
    el("h2", {}, "The model's answer"),
    textBlock(answer === null || answer === "" ? "The model gave no answer." : answer, "The model's answer")));
}

/** The example was changed elsewhere: shows its current state and asks which answer to keep. */
function conflict(data, body) {
  if (body.step) forgetStep(body.step, null);
  if (!data.item || data.item.id !== item?.id) {
    say("Changed in the meantime; nothing was done.");
    refresh();
    return null;
  }
  const now = data.item.entry.answer;
  const mine = body.answer;
  show(data.item, false);
  const current = now === null ? "It has no answer now" : `It is labelled “${shorten(now)}” now`;
  const keepIt = el("button", { type: "button", className: "primary",
    onclick: () => { notice(); keep("text", data.item.id, ""); show(data.item); } },
  now === null ? "Leave it open" : `Keep “${shorten(now)}”`);
  const again = mine === undefined || mine === now ? null : el("button", {
    type: "button", className: "quiet", onclick: () => { notice(); label(mine); },
  }, `Use “${shorten(mine)}”`);
  notice(el("p", {}, `This example was changed in another window or by another command. ${current}` +
    (mine === undefined ? "." : `; you chose “${shorten(mine)}”.`)),
  el("div", { className: "actions" }, keepIt, again));
  keepIt.focus();
  refresh();
  return null;
}

const shorten = (text) => (text.length > 60 ? `${shown(text).slice(0, 60)}…` : shown(text));

// ---------------------------------------------------------------- the result

/** Goes to the next open example, or to the result if there is none. */
async function go() {
  if (state.first) return open(state.first);
  const name = item?.set;
  item = null;
  await refresh();
  byId("result").dataset.phase = "";
  updateProgress();
  showResult(resultPlace(name));
  // Hidden last, so that the page is never blank.
  byId("example").hidden = true;
  byId("result").hidden = false;
  say("");
  byId("result-title")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  return undefined;
}

let finished = "low";

function resultPlace(name = finished) {
  finished = name;
  return {
    place: byId("result"), task, state, finished, open,
    send: async (path, body) => {
      const response = await ask(post(path, body));
      await refresh();
      return response;
    },
  };
}

byId("to-result").addEventListener("click", () => {
  state.first = null;
  go();
});

// ---------------------------------------------------------------- keys

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || composing(event)) return;
  // An open question must be answered first.
  if (!item || busy || types(event.target) || byId("notice").querySelector("button")) return;
  if (["Enter", " "].includes(event.key) && event.target.closest("button, summary, a")) return;
  const place = controlFor(task.answers) === "buttons" ? keysOf(task.answers).indexOf(event.key) : -1;
  const action = ACTIONS.find(({ key }) => key === event.key.toLowerCase());
  const field = byId("find") ?? byId("free");
  if (place >= 0) label(task.answers[place]);
  else if (action && !byId("actions").querySelector(`[data-key="${CSS.escape(action.key)}"]`)?.disabled) action.act();
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (field && ["/", "Enter"].includes(event.key)) field.focus();
  else return;
  event.preventDefault();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

// ---------------------------------------------------------------- start

async function followServer() {
  const running = state?.job?.state === "running";
  setTimeout(async () => {
    if (!document.hidden) await (state ? refresh() : start());
    followServer();
  }, running ? FAST : SLOW);
}

async function start() {
  const [given, now] = [await ask(get("/api/task"), true), await ask(get("/api/state"), true)];
  if (given.status !== 200 || now.status !== 200) return;
  // A Map: an answer may be called `constructor`.
  task = { ...given.data, meanings: new Map(Object.entries(given.data.meanings)) };
  state = now.data;
  startSteps(task.run, state.undo);
  const lines = task.instruction.split("\n").length;
  byId("instruction").hidden = !task.instruction;
  const roomy = window.matchMedia("(min-width: 34rem)").matches;
  byId("instruction").open = roomy && lines <= 8 && task.instruction.length <= 700;
  fill(byId("instruction-text"), task.instruction);
  await go();
}

await start();
followServer();
