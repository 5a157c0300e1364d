// What a supervisor may do to a live call: listen, hand it to a person, end it. The last two are asked about first.
import { useEffect, useState } from "preact/hooks";
import * as api from "./api.ts";
import type { CallDetail, CallSummary, Target, Targets } from "./contract.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import * as keys from "./keys.ts";
import { levels, listen, listening, stop } from "./listen.ts";
import { may, tell } from "./store.ts";

type Asking = "handoff" | "hangup" | null;

export function Actions({ detail }: { detail: CallDetail }) {
  const { call } = detail;
  const [asking, ask] = useState<Asking>(null);
  const hears = listening.value?.call === call.id;
  const toggle = () => (listening.peek()?.call === call.id ? stop() : void listen(call.id));
  useEffect(
    () => keys.bind({ l: () => may("listen") && toggle(), h: () => may("act") && ask("handoff") }),
    [call.id],
  );
  return (
    <div class="rest">
      {may("listen") && (
        <button type="button" aria-pressed={hears} onClick={toggle}>
          <Icon name="listen" /> {hears ? "Stop listening" : "Listen"}
        </button>
      )}
      {may("act") && (
        <>
          <button type="button" onClick={() => ask("handoff")}>
            <Icon name="handoff" /> Hand off
          </button>
          <button type="button" class="danger" onClick={() => ask("hangup")}>
            <Icon name="hangup" /> Hang up
          </button>
        </>
      )}
      {asking === "handoff" && <HandOff call={call} close={() => ask(null)} />}
      {asking === "hangup" && <HangUp call={call} close={() => ask(null)} />}
    </div>
  );
}

const SOURCES = {
  engine: "the caller and the AI",
  bridge: "the caller and the person",
  none: "silence: nobody is connected at this moment",
} as const;

/** What one hears, with the levels of both sides. */
export function Listened({ call }: { call: CallSummary }) {
  const now = listening.value;
  if (now?.call !== call.id) return null;
  const what = now.state === "opening" ? "Connecting the sound …" : now.muted ? "Silence: something secret is being given." : `You hear ${SOURCES[now.source]}.`;
  return (
    <div class="listening">
      <span role="status" data-listening={now.state}>
        {what} Nobody hears you.{now.lost > 0 && ` ${now.lost} frames were lost on the way to you.`}
      </span>
      <div class="level">
        <Meter name="Caller" side="caller" level={levels.value[0]} />
        <Meter name={now.source === "bridge" ? "Person" : "AI"} side="other" level={levels.value[1]} />
      </div>
    </div>
  );
}

const QUIETEST = -50; // dBFS at which a meter is empty

function Meter({ name, side, level }: { name: string; side: string; level: number }) {
  const filled = level > 0 ? Math.max(0, 1 - (20 * Math.log10(level)) / QUIETEST) : 0;
  return (
    <>
      <span>{name}</span>
      <span class={`meter ${side}`} role="meter" aria-label={`Level: ${name}`} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(filled * 100)}>
        <i style={{ transform: `scaleX(${filled})` }} />
      </span>
    </>
  );
}

function named({ caller_name, caller }: CallSummary): string {
  return caller_name || caller || "the caller";
}

function HangUp({ call, close }: { call: CallSummary; close: () => void }) {
  const [busy, problem, run] = useAction(close);
  const send = () => run(() => api.act(api.callUrl(call.id, "/hangup")), "The call is being ended.");
  return (
    <Dialog label="Hang up" onClose={close}>
      <div class="body">
        <h2>End the call with {named(call)}?</h2>
        <p>
          {call.state === "with_person" ? `The caller and ${call.target ?? "the person"} are cut off` : "The caller is cut off"} at once,
          without a word. This cannot be taken back.
        </p>
        <Problem text={problem} />
        <div class="buttons">
          <button type="button" onClick={close}>
            Keep the call
          </button>
          <button type="button" class="danger primary" disabled={busy} onClick={() => void send()}>
            <Icon name="hangup" /> Hang up
          </button>
        </div>
      </div>
    </Dialog>
  );
}

function HandOff({ call, close }: { call: CallSummary; close: () => void }) {
  const [found, setFound] = useState<Targets | null>(null);
  const [chosen, choose] = useState("");
  const [busy, problem, run, setProblem] = useAction(close);
  useEffect(() => {
    api.get<Targets>(api.callUrl(call.id, "/targets")).then(setFound, (error: Error) => setProblem(error.message));
  }, [call.id]);
  const send = () =>
    run(() => api.act(api.callUrl(call.id, "/handoff"), { target: chosen }), `Ringing ${chosen} for ${named(call)}.`);
  const isPossible = found?.possible && found.targets.length > 0;
  return (
    <Dialog label="Hand off" onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <h2>Hand {named(call)} to a person?</h2>
        {isPossible && (
          <>
            <p>
              The one whom you choose is rung now, while the talk goes on. Who answers has the call: the AI leaves it and does not come back.
              If nobody answers within 30 seconds, the talk simply goes on.
            </p>
            <fieldset class="choices">
              <legend>Ring</legend>
              {found.targets.map((target) => (
                <Choice key={target.name} target={target} chosen={chosen} choose={choose} />
              ))}
            </fieldset>
          </>
        )}
        {found && !found.possible && <p class="notice">Not now: {found.reasons.join("; ")}.</p>}
        {found?.possible && !found.targets.length && (
          <p class="notice">No targets are listed: name them in resources.yaml, under destinations or groups.</p>
        )}
        {!found && !problem && <p class="muted">Asking whom it can be handed to …</p>}
        <Problem text={problem} />
        <div class="buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy || !chosen || !isPossible}>
            <Icon name="ring" /> {chosen ? `Ring ${chosen}` : "Choose whom to ring"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Choice({ target, chosen, choose }: { target: Target; chosen: string; choose: (name: string) => void }) {
  return (
    <label>
      <input type="radio" name="target" checked={chosen === target.name} onChange={() => choose(target.name)} />
      <span>
        {target.name} <small class="muted">{target.kind === "group" ? "all of the group; the first who answers" : target.target}</small>
      </span>
    </label>
  );
}

function Problem({ text }: { text: string }) {
  return <div role="alert">{text && <p class="notice bad">{text}</p>}</div>;
}

/** Do something once: whether it is under way, why it failed, and how to begin it. */
function useAction(close: () => void): [boolean, string, (action: () => Promise<unknown>, done: string) => Promise<void>, (text: string) => void] {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  async function run(action: () => Promise<unknown>, done: string): Promise<void> {
    setBusy(true);
    setProblem("");
    try {
      await action();
      tell(done);
      close();
    } catch (error) {
      setProblem((error as Error).message);
      setBusy(false);
    }
  }
  return [busy, problem, run, setProblem];
}
