// What this tab can undo: its own changes, not those that others make meanwhile.

const MOST = 200;

let key = "";
let steps = [];
let earlier = null; // the last change from before this tab, for when it has none of its own

/** Starts with what a reload left; `undo` is the run's last change. */
export function startSteps(run, undo) {
  key = `labelcast steps ${run}`;
  const kept = sessionStorage.getItem(key);
  [steps, earlier] = kept === null ? [[], undo] : JSON.parse(kept);
  save();
}

function save() {
  try {
    sessionStorage.setItem(key, JSON.stringify([steps, earlier]));
  } catch {
    // The storage is full; the steps are kept until a reload.
  }
}

/** Remembers a change of this tab. */
export function madeStep(step) {
  steps = [...steps, step].slice(-MOST);
  save();
}

/** Forgets a change that was undone or cannot be; `undo` is the run's last change now. */
export function forgetStep(step, undo) {
  if (step === earlier) earlier = undo;
  steps = steps.filter((one) => one !== step);
  save();
}

/** The change to undo, null if there is none. */
export const stepToUndo = (undo) => steps.at(-1) ?? (undo === earlier ? undo : null);
