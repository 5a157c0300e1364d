// A call as it happened: what was said, and between it the steps, tools, keys and people who were rung.
import { useEffect, useRef, useState } from "preact/hooks";
import type { CallDetail, Entry } from "./contract.ts";
import { brief, clock, shown, words } from "./format.ts";
import { Icon } from "./icons.tsx";

const NEAR = 40; // pixels from the end that still count as being there

interface Props {
  detail: CallDetail;
  /** The moment of the recording that plays, in ms since 1970; null: none does. */
  playing: number | null;
  /** Let the recording play from a moment; null: there is none. */
  seek: ((at: number) => void) | null;
}

export function Transcript({ detail, playing, seek }: Props) {
  const { entries, interim, live, call } = detail;
  const box = useRef<HTMLDivElement>(null);
  const [follows, setFollows] = useState(live);
  const current = playing === null ? null : entries.findLast((entry) => heardFrom(entry) <= playing)?.id ?? null;
  useEffect(() => {
    if (live && follows && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [entries, interim, follows, live]);
  useEffect(() => {
    if (current) document.getElementById(`entry-${current}`)?.scrollIntoView({ block: "nearest" });
  }, [current]);
  const scrolled = ({ currentTarget }: { currentTarget: HTMLElement }) => {
    const { scrollTop, scrollHeight, clientHeight } = currentTarget;
    setFollows(scrollHeight - scrollTop - clientHeight < NEAR);
  };
  const began = Date.parse(call.started);
  return (
    <section class="card" aria-label="Transcript">
      <header>
        <h2>What happens</h2>
        {live && !follows && (
          <button type="button" onClick={() => setFollows(true)}>
            To what is said now
          </button>
        )}
      </header>
      <div class="talk" ref={box} role="log" aria-label="What was said and done" tabIndex={0} onScroll={scrolled}>
        {entries.map((entry) => (
          <div key={entry.id} id={`entry-${entry.id}`} class={`line ${entry.id === current ? "now" : ""}`} data-kind={entry.kind}>
            <At entry={entry} began={began} seek={seek} />
            <What entry={entry} />
          </div>
        ))}
        {live && interim.caller && <Interim role="caller" text={interim.caller} />}
        {live && interim.voice && <Interim role="voice" text={interim.voice} />}
        {!entries.length && <p class="empty">Nothing was said yet.</p>}
      </div>
    </section>
  );
}

function At({ entry, began, seek }: { entry: Entry; began: number; seek: Props["seek"] }) {
  const text = clock(Date.parse(entry.at) - began);
  if (!seek) return <time dateTime={entry.at}>{text}</time>;
  return (
    <button type="button" class="at" aria-label={`Play from ${text}`} onClick={() => seek(heardFrom(entry))}>
      {text}
    </button>
  );
}

const LETTER = 70; // ms: people say about 14 letters a second
const LONGEST = 15_000; // ms that one looks back

/** When one hears it. The engine writes down a caller's words when they are over, so these began before that. */
export function heardFrom(entry: Entry): number {
  const at = Date.parse(entry.at);
  const isCaller = entry.kind === "said" && entry.role === "caller";
  return isCaller ? at - Math.min(entry.text.length * LETTER, LONGEST) : at;
}

const ROLES = { caller: "Caller", voice: "AI", system: "Hookflash" } as const;

function Interim({ role, text }: { role: "caller" | "voice"; text: string }) {
  return (
    <div class="line" data-kind="interim" aria-hidden="true">
      <time />
      <div class={`said ${role}`}>
        <b>
          {ROLES[role]} <i>speaking</i>
        </b>
        <p>{text} …</p>
      </div>
    </div>
  );
}

function What({ entry }: { entry: Entry }) {
  switch (entry.kind) {
    case "said":
      return entry.role === "system" ? <Note text={entry.text} /> : <Said {...entry} />;
    case "step":
      return <Step {...entry} />;
    case "tool":
      return (
        <div class="event">
          <Icon name="tool" />
          <div>
            The AI uses <b>{entry.name}</b> <Outcome outcome={entry.outcome || null} ms={entry.ms} good={["ok", "late"]} />
            <Values values={entry.arguments} one="argument" />
          </div>
        </div>
      );
    case "key":
      return (
        <div class="event">
          <Icon name="key" />
          <div>
            Key <kbd>{entry.key}</kbd>
          </div>
        </div>
      );
    case "attempt":
      return <Attempt {...entry} />;
    case "call":
      return <CallEvent {...entry} />;
    default:
      return null; // a kind that a newer engine tells
  }
}

type Kind<K extends Entry["kind"]> = Extract<Entry, { kind: K }>;

function Said({ role, text, interrupted }: Kind<"said">) {
  return (
    <div class={`said ${role} ${interrupted ? "cut" : ""}`}>
      <b>
        {ROLES[role]} {interrupted && <i>interrupted: not all of it was heard</i>}
      </b>
      <p>{text}</p>
    </div>
  );
}

function Note({ text }: { text: string }) {
  return (
    <div class="event">
      <Icon name="note" />
      <div>{text}</div>
    </div>
  );
}

function Step({ step, verb, line, ms, outcome, detail, data, step_flow }: Kind<"step">) {
  const place = line > 0 && step_flow ? ` · ${step_flow}, line ${line}` : "";
  return (
    <div class="event">
      <Icon name="step" />
      <div>
        <b>{step ?? verb}</b> {step && verb} <Outcome outcome={outcome} ms={ms} good={null} />
        {detail && <> · {detail}</>}
        <Values values={data} one="value" place={place} />
      </div>
    </div>
  );
}

/** Values by their names, for who asks. */
function Values({ values, one, place = "" }: { values: Record<string, unknown>; one: string; place?: string }) {
  const all = Object.entries(values);
  if (!all.length) return null;
  return (
    <details>
      <summary>
        {all.length} {all.length === 1 ? one : `${one}s`}
        {place}
      </summary>
      <pre>{all.map(([name, value]) => `${name}: ${shown(value)}`).join("\n")}</pre>
    </details>
  );
}

const NO_ANSWER = ["no_answer", "busy", "declined", "machine", "unavailable", "failed"];

function Attempt({ target, status, ring_ms, sip_code, cause_text, reason, by }: Kind<"attempt">) {
  const tone = status === "answered" ? "good" : NO_ANSWER.includes(status) ? "bad" : "";
  const code = [sip_code === null ? "" : `SIP ${sip_code}`, tone === "bad" ? cause_text : ""].filter(Boolean).join(", ");
  return (
    <div class="event" data-status={status}>
      <Icon name={status === "answered" ? "person" : "ring"} />
      <div>
        {by === "supervisor" ? "A supervisor rings" : "Rings"} <b>{target}</b>: <span class={tone}>{words(status)}</span>
        {status !== "ringing" && ring_ms > 0 && ` after ${brief(ring_ms)}`}
        {code && ` (${code})`}
        {reason && `: ${reason}`}
      </div>
    </div>
  );
}

function CallEvent({ event, by, cause_text }: Kind<"call">) {
  const end = [by ? `by ${by === "engine" ? "the engine" : `the ${by}`}` : "", cause_text ? `(${cause_text})` : ""];
  return (
    <div class="event">
      <Icon name={event === "ended" ? "hangup" : "phone"} />
      <div>
        <b>{{ started: "The call comes in", answered: "Answered", ended: "The call ends" }[event] ?? event}</b>{" "}
        {event === "ended" && end.filter(Boolean).join(" ")}
      </div>
    </div>
  );
}

const FINE = ["ok", "connected", "done", "completed", "answered"];
const WRONG = ["failed", "error", "provider_error", "timeout", "invalid"];

/** How a step or tool ended and after how long. ``good``: the outcomes that are good, where the others are not. */
function Outcome({ outcome, ms, good }: { outcome: string | null; ms: number | null; good: string[] | null }) {
  if (outcome === null) return <>…</>;
  const isBad = good ? !good.includes(outcome) : WRONG.includes(outcome);
  return (
    <>
      → <span class={isBad ? "bad" : FINE.includes(outcome) ? "good" : ""}>{words(outcome)}</span>
      {ms !== null && ms >= 100 && ` after ${brief(ms)}`}
    </>
  );
}
