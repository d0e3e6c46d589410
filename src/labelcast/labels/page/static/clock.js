// How long a person looks at an example. A long pause counts in part, a hidden window not at all.

const IDLE = 120;
const LONGEST = 3600;

let lastMove = 0;
let spent = 0;

/** A new example is on show. */
export function startClock() {
  lastMove = performance.now();
  spent = 0;
}

/** Seconds since it was asked last. */
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
// While the window was hidden nothing is seen; until it is hidden, it was.
document.addEventListener("visibilitychange", () => pass(document.hidden));
