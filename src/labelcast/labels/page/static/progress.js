// The progress line at the top and the strip with one cell for each example.

import { byId, el, fill } from "./dom.js";

const TITLES = new Map([["low", "Low confidence"], ["random", "Random"], ["test", "Test set"]]);

/** The title of a set of examples. */
export const titleOf = (name) => TITLES.get(name) ?? name;

const MOST_CELLS = 240;

function minutes(seconds) {
  if (seconds === null || seconds <= 0) return "";
  return seconds < 45 ? "under a minute left" : `about ${Math.max(1, Math.round(seconds / 60))} min left`;
}

/** Shows the progress of the current example's set; `open(id)` is called when a cell is clicked. */
export function showProgress(state, current, open) {
  const name = current?.set ?? state.sets[0].name;
  const counts = state.sets.find((set) => set.name === name);
  const items = state.items.filter((item) => item.set === name);
  const left = minutes(counts.seconds_left);
  fill(byId("progress"), el("b", {}, `${counts.labelled} of ${counts.drawn}`), " labelled",
    left ? el("span", { className: "left" }, ` · ${left}`) : null);
  document.title = `${counts.labelled} of ${counts.drawn} · ${byId("run").textContent}`;
  const strip = byId("strip");
  strip.hidden = items.length > MOST_CELLS;
  if (strip.hidden) return;
  // Cells are reused, so that the focus stays where it is.
  while (strip.children.length > items.length) strip.lastChild.remove();
  while (strip.children.length < items.length) strip.append(el("button", { type: "button" }));
  items.forEach((item, place) => {
    const cell = strip.children[place];
    const word = item.labelled ? "labelled" : item.skipped ? "skipped" : "open";
    const marks = [word, ...(item.unsure ? ["unsure"] : []), ...(item.noted ? ["with a note"] : [])];
    cell.className = marks.join(" ").replace("with a note", "noted");
    cell.title = `Example ${place + 1}: ${marks.join(", ")}`;
    cell.setAttribute("aria-label", cell.title);
    cell.tabIndex = item.id === current?.id || (!current && place === 0) ? 0 : -1;
    if (item.id === current?.id) cell.setAttribute("aria-current", "true");
    else cell.removeAttribute("aria-current");
    cell.onclick = () => open(item.id);
    cell.onkeydown = (event) => {
      const other = { ArrowRight: cell.nextSibling, ArrowLeft: cell.previousSibling }[event.key];
      if (!other) return;
      event.preventDefault();
      event.stopPropagation();
      other.focus();
    };
  });
}
