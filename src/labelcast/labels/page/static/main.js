// The label page: one example at a time. What is shown as taken is on disk.

import { keysOf, showAnswers, wayOf } from "./answers.js";
import { secondsSpent, startClock } from "./clock.js";
import { byId, el, fill, keyButton, shown, textBlock, types } from "./dom.js";
import { draft, keep } from "./drafts.js";
import { showResult } from "./result.js";
import { TITLES, showStrip } from "./strip.js";
import { GONE, get, post } from "./talk.js";

const CALM = 4000;
const LIVELY = 700;

let task = null;
let state = null;
let item = null; // the example on show; null while the result is
let busy = false;
let seesModel = false;

// ---------------------------------------------------------------- talking

/** Asks, and says so where nobody answers. */
async function talk(request) {
  const answer = await request;
  const gone = answer.status === GONE;
  const stranger = answer.status === 403;
  const banner = byId("banner");
  if (gone || stranger) {
    const words = gone
      ? "The server has stopped. What was taken is kept, and what you typed stays here. Start it " +
        "again in the terminal and open the link that it prints:"
      : "This page was started anew. Open the new link from the terminal; then this window goes " +
        "on as well. What you typed stays here.";
    if (banner.dataset.why !== String(answer.status)) {
      fill(banner, el("p", {}, words), gone ? el("code", {}, `labelcast label ${task?.run ?? "RUN"}`) : null);
      banner.dataset.why = answer.status;
    }
    banner.hidden = false;
  } else if (answer.status < 500 || answer.data.message === undefined) {
    banner.hidden = true;
    delete banner.dataset.why;
  } else {
    fill(banner, answer.data.message);
    banner.hidden = false;
  }
  return answer;
}

/** Tells in a low voice; screen readers read it out. */
function tell(words) {
  fill(byId("saved"), words);
}

function notice(...children) {
  const place = byId("notice");
  fill(place, ...children);
  place.hidden = children.length === 0;
}

async function refresh() {
  const answer = await talk(get("/api/state"));
  if (answer.status !== 200 || busy) return;
  const before = state;
  state = answer.data;
  if (item) {
    const now = state.items.find((one) => one.id === item.id);
    if (!now) await go();
    else if (now.version !== item.version && !byId("notice").querySelector("button")) await open(item.id, false);
    else showProgress();
  } else if (before) {
    showProgress();
    showResult(resultPlace());
  }
}

function showProgress() {
  showStrip(state, item, (id) => open(id));
  const low = state.sets.find((set) => set.name === "low");
  byId("to-result").hidden = !item || !low || low.labelled < 2;
}

// ---------------------------------------------------------------- an example

async function open(id, focus = true) {
  const answer = await talk(get(`/api/example?id=${encodeURIComponent(id)}`));
  if (answer.status !== 200) return;
  show(answer.data, focus);
}

function show(example, focus = true) {
  const other = example.id !== item?.id;
  item = example;
  if (other) {
    startClock();
    seesModel = false;
    fill(byId("beside"));
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
  const field = showAnswers(byId("answers"), task, item, take);
  if (!other && typed && field?.id === "find") {
    field.value = typed;
    field.dispatchEvent(new Event("input"));
  }
  showActions();
  showProgress();
  if (focus) {
    (field ?? byId("example-title")).focus({ preventScroll: true });
    if (other) window.scrollTo(0, 0);
  }
}

function showMarks() {
  const { answer, unsure, skipped, note } = item.entry;
  const marks = [el("span", { className: "mark set" }, TITLES[item.set])];
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
  const off = { b: place === 0, u: state.undo === null, m: item.set === "test" };
  const focused = document.activeElement?.closest?.("#actions button")?.dataset.key;
  fill(byId("actions"), ...ACTIONS.filter(({ key }) => key !== "m" || !off.m).map(({ key, name, act, title }) => {
    const button = keyButton(name, key, {
      className: key === "m" ? "quiet model" : "quiet", onclick: act, disabled: off[key] === true, title: title ?? "",
      attrs: key === "?" ? { "aria-pressed": String(item.entry.unsure) } : {},
    });
    button.dataset.key = key;
    return button;
  }));
  if (focused) byId("actions").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// ---------------------------------------------------------------- actions

/** Sends one change; nothing else is sent meanwhile. */
async function change(path, body) {
  if (busy) return null;
  busy = true;
  byId("example").setAttribute("aria-busy", "true");
  const answer = await talk(post(path, body));
  busy = false;
  byId("example").removeAttribute("aria-busy");
  if (answer.status === 200) {
    if (answer.data.items) state = { ...state, ...answer.data };
    return answer.data;
  }
  if (answer.status === 409) return conflict(answer.data, path, body);
  if (answer.data.message && answer.status !== 403) notice(el("p", {}, answer.data.message));
  return null;
}

function about() {
  return { id: item.id, seen: item.version };
}

async function take(answer) {
  const done = await change("/api/take", { ...about(), answer, seconds: secondsSpent() });
  if (!done) return;
  taken(done, answer);
}

function taken(done, answer) {
  keep("text", done.item.id, "");
  tell(`Saved: ${shorten(answer)}`);
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
  tell(done.item.entry.skipped ? "Skipped." : "Kept as it is.");
  follow(done);
}

async function unsure() {
  const done = await change("/api/unsure", { ...about(), unsure: !item.entry.unsure });
  if (!done) return;
  tell(done.item.entry.unsure ? "Marked as unsure." : "No longer unsure.");
  show(done.item, false);
}

async function undo() {
  if (!state.undo) return;
  const done = await change("/api/undo", { step: state.undo });
  if (!done) return;
  tell(done.item ? "Taken back." : "There is nothing to take back.");
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
    fill(byId("beside"));
    byId("example-title").focus();
  };
  const save = async () => {
    const done = await change("/api/note", { ...about(), note: area.value });
    if (!done) return;
    tell("Note saved.");
    show(done.item, false);
    close();
  };
  area.addEventListener("input", () => keep("note", id, area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) save();
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  fill(byId("beside"), el("div", { className: "note-desk" }, area,
    keyButton("Save note", "Enter", { className: "primary", onclick: save }),
    keyButton("Cancel", "Esc", { className: "quiet", onclick: close })));
  area.focus();
}

async function showModel() {
  if (item.set === "test" || seesModel) return;
  const { id } = item;
  const answer = await talk(post("/api/model", { id }));
  if (answer.status !== 200 || item?.id !== id) return;
  seesModel = true;
  const said = answer.data.answer;
  fill(byId("beside"), el("div", { className: "model-said", attrs: { role: "status" } },
    el("h2", {}, "The model's answer"),
    textBlock(said === null || said === "" ? "It gave none." : said, "The model's answer")));
}

/** Another window or command was faster: shows what stands there now, and asks. */
function conflict(data, path, body) {
  if (!data.item || data.item.id !== item?.id) {
    tell("Changed meanwhile; nothing was done.");
    refresh();
    return null;
  }
  const now = data.item.entry.answer;
  const mine = body.answer;
  show(data.item, false);
  const stands = now === null ? "It has no answer now" : `It is labelled “${shorten(now)}” now`;
  const keepIt = el("button", { type: "button", className: "primary",
    onclick: () => { notice(); keep("text", data.item.id, ""); show(data.item); } },
  now === null ? "Leave it open" : `Keep “${shorten(now)}”`);
  const again = mine === undefined || mine === now ? null : el("button", {
    type: "button", className: "quiet", onclick: () => { notice(); take(mine); },
  }, `Take “${shorten(mine)}”`);
  notice(el("p", {}, `This example was changed meanwhile, in another window or by another command. ${stands}` +
    (mine === undefined ? "." : `; you chose “${shorten(mine)}”.`)),
  el("div", { className: "actions" }, keepIt, again));
  keepIt.focus();
  refresh();
  return null;
}

const shorten = (text) => (text.length > 60 ? `${shown(text).slice(0, 60)}…` : shown(text));

// ---------------------------------------------------------------- the result

/** To the next open example, or to the result where none is left in the set just finished. */
async function go() {
  if (state.first) return open(state.first);
  const name = item?.set;
  item = null;
  await refresh();
  byId("result").dataset.phase = "";
  showProgress();
  showResult(resultPlace(name));
  // Only now, so that the page is never blank in between.
  byId("example").hidden = true;
  byId("result").hidden = false;
  tell("");
  byId("result-title")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  return undefined;
}

let finished = "low";

function resultPlace(name = finished) {
  finished = name;
  return {
    place: byId("result"), task, state, finished, open,
    ask: async (path, body) => {
      const answer = await talk(post(path, body));
      await refresh();
      return answer;
    },
  };
}

byId("to-result").addEventListener("click", () => {
  state.first = null;
  go();
});

// ---------------------------------------------------------------- keys

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  // A question that stands must be answered first.
  if (!item || busy || types(event.target) || byId("notice").querySelector("button")) return;
  if (["Enter", " "].includes(event.key) && event.target.closest("button, summary, a")) return;
  const place = wayOf(task.answers) === "buttons" ? keysOf(task.answers).indexOf(event.key) : -1;
  const action = ACTIONS.find(({ key }) => key === event.key.toLowerCase());
  const field = byId("find") ?? byId("free");
  if (place >= 0) take(task.answers[place]);
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

// ---------------------------------------------------------------- the start

async function followServer() {
  const running = state?.job?.state === "running";
  setTimeout(async () => {
    if (!document.hidden) await (state ? refresh() : start());
    followServer();
  }, running ? LIVELY : CALM);
}

async function start() {
  const [asked, now] = [await talk(get("/api/task")), await talk(get("/api/state"))];
  if (asked.status !== 200 || now.status !== 200) return;
  task = asked.data;
  state = now.data;
  const lines = task.instruction.split("\n").length;
  byId("instruction").hidden = !task.instruction;
  const roomy = window.matchMedia("(min-width: 34rem)").matches;
  byId("instruction").open = roomy && lines <= 8 && task.instruction.length <= 700;
  fill(byId("instruction-text"), task.instruction);
  await go();
}

await start();
followServer();
