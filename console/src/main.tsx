// The supervisors' page: https://preactjs.com for what is seen, signals for what is known, the engine's API for all else.
import { effect } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Call } from "./call.tsx";
import { Help, helping } from "./dialog.tsx";
import { Frame } from "./frame.tsx";
import * as keys from "./keys.ts";
import { listening, stop } from "./listen.ts";
import { Live } from "./live.tsx";
import { Login } from "./login.tsx";
import { Past } from "./past.tsx";
import * as routing from "./route.ts";
import * as store from "./store.ts";
import { apply } from "./theme.ts";

const TITLES = { live: "Live calls", call: "Call", past: "Past calls" } as const;

function App() {
  const session = store.session.value;
  const at = routing.route.value;
  const before = useRef(at);
  useEffect(() => {
    if (before.current.page !== at.page) focus(before.current);
    before.current = at;
  }, [at]);
  useEffect(() => {
    document.title = session === null ? "Log in · Hookflash" : `${TITLES[at.page]} · Hookflash`;
  }, [at.page, session]);
  if (session === undefined) return <main class="login">{store.told.value && <p class="notice bad">{store.told.value.text}</p>}</main>;
  if (session === null) return <Login />;
  return (
    <Frame>
      {at.page === "live" && <Live />}
      {at.page === "call" && <Call key={at.id} id={at.id} />}
      {at.page === "past" && <Past query={at.query} />}
      {helping.value && <Help />}
    </Frame>
  );
}

/** Who works with keys or a screen reader goes on in the new view; back in the list, at the call that was left. */
function focus(before: routing.Route): void {
  const left = before.page === "call" ? `[data-call="${CSS.escape(before.id)}"] a` : "";
  const at = (left && document.querySelector<HTMLElement>(left)) || document.getElementById("main");
  at?.focus({ preventScroll: !left });
}

apply();
routing.start();
keys.start();
keys.bind({ "?": () => (helping.value = true) });
// Who leaves a call does not listen to it any more.
effect(() => {
  const at = routing.route.value;
  const call = listening.peek()?.call;
  if (call !== undefined && (!store.session.value || at.page !== "call" || at.id !== call)) stop();
});
render(<App />, document.getElementById("page")!);
void store.start();
