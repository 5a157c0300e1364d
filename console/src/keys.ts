// Single keys for who works without a mouse. They can be switched off: a speech recogniser types letters, too (WCAG 2.1.4).
import { signal } from "@preact/signals";

const STORED = "hookflash.keys";
export const on = signal(stored());

type Action = (event: KeyboardEvent) => void;
const actions = new Map<string, Action>();

/** Let a key do something; gives what takes that back. */
export function bind(keys: Record<string, Action>): () => void {
  for (const [key, action] of Object.entries(keys)) actions.set(key, action);
  return () => {
    for (const [key, action] of Object.entries(keys)) if (actions.get(key) === action) actions.delete(key);
  };
}

export function start(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const at = event.target as HTMLElement;
    const isTyping = at.matches("input, select, textarea, [contenteditable]");
    if (event.key === "Escape" && isTyping) at.blur();
    if (isTyping || (event.key.length === 1 && !on.value)) return;
    const action = actions.get(event.key);
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}

export function set(value: boolean): void {
  on.value = value;
  try {
    localStorage.setItem(STORED, value ? "on" : "off");
  } catch {
    // As with the theme: it lasts as long as the page.
  }
}

/** Move the focus among the calls of a list. */
export function step(by: number): void {
  const links = [...document.querySelectorAll<HTMLElement>("table.calls a")];
  const at = links.indexOf(document.activeElement as HTMLElement);
  const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function stored(): boolean {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}
