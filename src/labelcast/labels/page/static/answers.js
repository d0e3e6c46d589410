// The ways to answer: buttons with number keys, type-to-find among many, free text.

import { el, fill, keyButton, shown } from "./dom.js";
import { draft, keep } from "./drafts.js";

const FEW = 9;
const DIGITS = /^\d+$/;

/** The way that fits the allowed answers: "buttons", "find" or "free". */
export function wayOf(answers) {
  if (answers.length === 0) return "free";
  // Where answers are numbers of several digits, a digit key could not mean one of them.
  const numbers = answers.every((answer) => DIGITS.test(answer));
  const long = numbers && answers.some((answer) => answer.length > 1);
  return answers.length > FEW || long ? "find" : "buttons";
}

/** The key of each answer: its place, or the answer itself where all are single digits. */
export function keysOf(answers) {
  const own = answers.every((answer) => /^\d$/.test(answer));
  return answers.map((answer, place) => (own ? answer : String(place + 1)));
}

/** Fills `place` with the way to answer; `take(answer)` is called with what was chosen. */
export function showAnswers(place, task, item, take) {
  const way = wayOf(task.answers);
  place.className = `answers ${way}`;
  if (way === "buttons") return buttons(place, task, item, take);
  return way === "find" ? find(place, task, item, take) : free(place, task, item, take);
}

function buttons(place, task, item, take) {
  const keys = keysOf(task.answers);
  const longest = Math.max(...task.answers.map((answer) => (answer + (task.glosses[answer] ?? "")).length));
  place.classList.toggle("short", longest <= 18 && task.answers.length > 3);
  place.classList.toggle("long", longest > 22);
  fill(place, ...task.answers.map((answer, number) => keyButton(
    task.glosses[answer] ? `${answer}  ${task.glosses[answer]}` : answer, keys[number], {
      className: "answer",
      onclick: () => take(answer),
      attrs: { "aria-pressed": String(item.entry.answer === answer) },
    })));
}

function find(place, task, item, take) {
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
      onclick: () => take(answer), attrs: { role: "option" },
    }, el("b", { dir: "auto" }, answer),
      task.glosses[answer] ? el("span", { dir: "auto" }, task.glosses[answer]) : null,
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
    else if (event.key === "Enter" && !event.isComposing && options[active]) take(options[active].answer);
    else if (event.key === "Escape") leave(input);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  fill(place, input, list, nothing, hint("Arrows and Enter choose. Esc, then the keys below."));
  refill();
  return input;
}

/** The allowed answers that hold every word that was typed; those that begin with it come first. */
export function matching(task, typed) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return task.answers;
  const words = wanted.split(/\s+/);
  const of = (answer) => `${answer} ${task.glosses[answer] ?? ""}`.toLowerCase();
  const found = task.answers.filter((answer) => words.every((word) => of(answer).includes(word)));
  const rank = (answer) => (answer.toLowerCase() === wanted ? 0 : of(answer).startsWith(wanted) ? 1 : 2);
  return found.sort((one, other) => rank(one) - rank(other));
}

function free(place, task, item, take) {
  const area = el("textarea", {
    id: "free", rows: 3, value: draft("text", item.id) || (item.entry.answer ?? ""),
    spellcheck: true, attrs: { "aria-label": `Answer: ${shown(task.answer)}`, dir: "auto" },
  });
  const send = () => { if (area.value.trim()) take(area.value); };
  area.addEventListener("input", () => keep("text", item.id, area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send();
    else if (event.key === "Escape") leave(area);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  fill(place, area, keyButton("Take this answer", "Enter", { className: "primary", onclick: send }),
    hint("Shift+Enter begins a new line. Esc, then the keys below."));
  return area;
}

const hint = (words) => el("p", { className: "hint keys" }, words);

/** From a field to the page, where the keys of the actions work. */
export function leave(field) {
  field.blur();
  document.getElementById("example-title").focus();
}
