// Text that is typed but not saved yet, kept for this tab so that a reload does not lose it.

const key = (kind, id) => `labelcast ${kind} ${id}`;

export const draft = (kind, id) => sessionStorage.getItem(key(kind, id)) ?? "";

export function keep(kind, id, text) {
  try {
    if (text) sessionStorage.setItem(key(kind, id), text);
    else sessionStorage.removeItem(key(kind, id));
  } catch {
    // The storage is full; the text stays in its field.
  }
}
