// Dialogs: the browser's own, which keeps the focus inside and gives it back.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import * as keys from "./keys.ts";

export const helping = signal(false);

export function Dialog({ label, onClose, children }: { label: string; onClose: () => void; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    box.current!.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog ref={box} aria-label={label} onClose={onClose}>
      {children}
    </dialog>
  );
}

const KEYS: [string[], string][] = [
  [["j", "↓"], "Next call of the list"],
  [["k", "↑"], "Previous call"],
  [["Enter"], "Open the call"],
  [["l"], "Listen, or stop listening"],
  [["h"], "Hand the open call to a person"],
  [["/"], "Search"],
  [["p"], "Pause updates, or go on"],
  [["Esc"], "Back to the list; close a dialog"],
  [["?"], "These keys"],
];

export function Help() {
  const close = () => (helping.value = false);
  return (
    <Dialog label="Keys" onClose={close}>
      <div class="body">
        <h2>Keys</h2>
        <dl class="keys">
          {KEYS.map(([signs, what]) => (
            <>
              <dt>{signs.map((sign) => <><kbd>{sign}</kbd> </>)}</dt>
              <dd>{what}</dd>
            </>
          ))}
        </dl>
        <div class="choices">
          <label>
            <input type="checkbox" checked={keys.on.value} onChange={(event) => keys.set(event.currentTarget.checked)} />
            Single letters are keys (switch off if you dictate)
          </label>
        </div>
        <div class="buttons">
          <button type="button" class="primary" onClick={close}>
            Close
          </button>
        </div>
      </div>
    </Dialog>
  );
}
