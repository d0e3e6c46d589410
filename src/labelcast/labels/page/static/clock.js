// Time spent on an example. A long pause counts in part, a hidden window not at all.

const IDLE = 120;
const LONGEST = 3600;

let lastMove = 0;
let spent = 0;

/** Starts the time of a new example. */
export function startClock() {
  lastMove = performance.now();
  spent = 0;
}

/** Seconds since the last call or the start. */
export function secondsSpent() {
  pass(true);
  const now = Math.min(spent, LONGEST);
  spent = 0;
  return now;
}

function pass(seen) {
  const now = performance.now();
  if (seen) spent += Math.min((now - lastMove) / 1000, IDLE);
  lastMove = now;
}

const moved = () => pass(!document.hidden);
document.addEventListener("keydown", moved, true);
document.addEventListener("pointerdown", moved);
// When the window is hidden, the time until now counts; when it is shown again, it does not.
document.addEventListener("visibilitychange", () => pass(document.hidden));
