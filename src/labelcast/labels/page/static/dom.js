// Creates elements. Text from data is always inserted as text, never as HTML.

/** Text to show: null bytes are replaced. */
export const shown = (text) => String(text).replaceAll("\0", "\uFFFD");

/** An element with properties, event handlers (onclick, ...), attributes in `attrs`, children. */
export function el(name, { attrs = {}, ...props } = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, props);
  for (const [key, value] of Object.entries(attrs)) element.setAttribute(key, value);
  element.append(...nodes(children));
  return element;
}

const nodes = (children) => children.filter((child) => child !== null)
  .map((child) => (typeof child === "string" ? shown(child) : child));

export const byId = (id) => document.getElementById(id);

/** Replaces the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** A text block that scrolls if it is long, and then can be focused by keyboard. */
export function textBlock(text, label) {
  const block = el("div", { className: "text", dir: "auto" }, text);
  new ResizeObserver(() => {
    if (block.scrollHeight > block.clientHeight + 1) {
      block.tabIndex = 0;
      block.setAttribute("role", "region");
      block.setAttribute("aria-label", shown(label));
    }
  }).observe(block);
  return block;
}

/** A button that shows its key. */
export function keyButton(text, key, props) {
  const hint = key ? el("kbd", { attrs: { "aria-hidden": "true" } }, key) : null;
  const attrs = { ...(key ? { "aria-keyshortcuts": key } : {}), ...(props.attrs ?? {}) };
  return el("button", { type: "button", ...props, attrs },
    el("span", { dir: "auto" }, text), hint);
}

/** Whether keys type into this element. */
export function types(element) {
  return element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement ||
    (element instanceof HTMLInputElement && !["checkbox", "button"].includes(element.type));
}

/** Whether a key belongs to an input method that composes text. */
export function composing(event) {
  // Safari ends the composition before the Enter that confirms it; only the code tells.
  return event.isComposing || event.keyCode === 229;
}
