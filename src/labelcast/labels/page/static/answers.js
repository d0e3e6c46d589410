// The controls for an answer: buttons with number keys, a search field, or free text.

import { composing, el, fill, keyButton, shown } from "./dom.js";
import { draft, keep } from "./drafts.js";

const FEW = 9;
const DIGITS = /^\d+$/;

/** The control for the allowed answers: "buttons", "find" or "free". */
export function controlFor(answers) {
  if (answers.length === 0) return "free";
  // With answers of several digits, one digit key cannot stand for an answer.
  const numbers = answers.every((answer) => DIGITS.test(answer));
  const long = numbers && answers.some((answer) => answer.length > 1);
  return answers.length > FEW || long ? "find" : "buttons";
}

/** The key of each answer: the answer itself if it is one digit, else the next digit that is free. */
export function keysOf(answers) {
  const own = new Set(answers.filter((answer) => /^\d$/.test(answer)));
  const others = [..."1234567890"].filter((digit) => !own.has(digit));
  return answers.map((answer) => (own.has(answer) ? answer : others.shift()));
}

// A double click must not also answer the next example, which nobody has read yet.
const SETTLED = 350;
let current = null;
let since = 0;

// A key that presses a button has no count of clicks.
export const settled = (event) => event.detail === 0 || event.timeStamp - since >= SETTLED;

/** Fills `place` with the control; `choose(answer)` is called with the answer. */
export function showAnswers(place, task, item, choose) {
  if (item.id !== current) [current, since] = [item.id, performance.now()];
  const control = controlFor(task.answers);
  place.className = `answers ${control}`;
  if (control === "buttons") return buttons(place, task, item, choose);
  return control === "find" ? find(place, task, item, choose) : free(place, task, item, choose);
}

function buttons(place, task, item, choose) {
  const keys = keysOf(task.answers);
  const longest = Math.max(...task.answers.map((answer) => (answer + (task.meanings.get(answer) ?? "")).length));
  place.classList.toggle("short", longest <= 18 && task.answers.length > 3);
  place.classList.toggle("long", longest > 22);
  place.classList.toggle("four", task.answers.length === 4);
  fill(place, ...task.answers.map((answer, number) => keyButton(
    task.meanings.get(answer) ? `${answer}  ${task.meanings.get(answer)}` : answer, keys[number], {
      className: "answer",
      onclick: (event) => { if (settled(event)) choose(answer); },
      attrs: { "aria-pressed": String(item.entry.answer === answer) },
    })));
}

function find(place, task, item, choose) {
  const chosen = item.entry.answer;
  const list = el("ul", { id: "found", attrs: { role: "listbox", "aria-label": "Allowed answers" } });
  const input = el("input", {
    type: "text", id: "find", autocomplete: "off", spellcheck: false,
    placeholder: `Type to find one of ${task.answers.length} answers`,
    attrs: {
      role: "combobox", "aria-expanded": "true", "aria-controls": "found",
      "aria-autocomplete": "list", "aria-label": "Find an answer", dir: "auto",
    },
  });
  let active = 0;
  let options = [];
  const mark = (number) => {
    active = Math.max(0, Math.min(number, options.length - 1));
    options.forEach((option, place) => option.classList.toggle("active", place === active));
    options.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
    const now = options[active];
    if (now) {
      input.setAttribute("aria-activedescendant", now.id);
      now.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const refill = () => {
    const found = matching(task, input.value);
    options = found.map((answer, number) => el("li", {
      id: `found-${number}`, className: answer === chosen ? "option chosen" : "option",
      onclick: (event) => { if (settled(event)) choose(answer); }, attrs: { role: "option" },
    }, el("b", { dir: "auto" }, answer),
      task.meanings.get(answer) ? el("span", { dir: "auto" }, task.meanings.get(answer)) : null,
      answer === chosen ? el("em", {}, "chosen") : null));
    options.forEach((option, number) => { option.answer = found[number]; });
    fill(list, ...options);
    list.hidden = options.length === 0;
    nothing.hidden = options.length > 0;
    mark(input.value || !chosen ? 0 : found.indexOf(chosen));
  };
  const nothing = el("p", { className: "hint", hidden: true }, "No allowed answer matches.");
  input.addEventListener("input", refill);
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + 8, PageUp: active - 8 };
    if (event.key in moves) mark(moves[event.key]);
    else if (event.key === "Enter" && !composing(event) && options[active]) choose(options[active].answer);
    else if (event.key === "Escape") leave(input);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  fill(place, input, list, nothing, hint("Choose with the arrow keys and Enter. Press Esc to use the keys below."));
  refill();
  return input;
}

/** The allowed answers that contain every typed word; those that begin with the text come first. */
function matching(task, typed) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return task.answers;
  const words = wanted.split(/\s+/);
  const of = (answer) => `${answer} ${task.meanings.get(answer) ?? ""}`.toLowerCase();
  const found = task.answers.filter((answer) => words.every((word) => of(answer).includes(word)));
  const rank = (answer) => (answer.toLowerCase() === wanted ? 0 : of(answer).startsWith(wanted) ? 1 : 2);
  return found.sort((one, other) => rank(one) - rank(other));
}

function free(place, task, item, choose) {
  const area = el("textarea", {
    id: "free", rows: 3, value: draft("text", item.id) || (item.entry.answer ?? ""),
    spellcheck: true, attrs: { "aria-label": `Answer: ${shown(task.answer)}`, dir: "auto" },
  });
  const send = () => { if (area.value.trim()) choose(area.value); };
  area.addEventListener("input", () => keep("text", item.id, area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !composing(event)) send();
    else if (event.key === "Escape") leave(area);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const click = (event) => { if (settled(event)) send(); };
  fill(place, area, keyButton("Save answer", "Enter", { className: "primary", onclick: click }),
    hint("Shift+Enter starts a new line. Press Esc to use the keys below."));
  return area;
}

const hint = (text) => el("p", { className: "hint keys" }, text);

/** Moves the focus from a field to the page, where the keys of the actions work. */
function leave(field) {
  field.blur();
  document.getElementById("example-title").focus();
}
