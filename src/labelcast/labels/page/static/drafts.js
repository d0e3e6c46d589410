// What was typed and not yet taken, so that a reload does not lose it. Of this tab alone.

const key = (kind, id) => `labelcast ${kind} ${id}`;

export const draft = (kind, id) => sessionStorage.getItem(key(kind, id)) ?? "";

export function keep(kind, id, text) {
  try {
    if (text) sessionStorage.setItem(key(kind, id), text);
    else sessionStorage.removeItem(key(kind, id));
  } catch {
    // The store is full: what is typed stays in its field.
  }
}
