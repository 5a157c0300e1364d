// Small pieces that several views show.
import type { ComponentChildren } from "preact";
import type { CallSummary, State } from "./contract.ts";
import { brief, money, pace, words } from "./format.ts";
import { Icon, type IconName } from "./icons.tsx";

const STATES: Record<State, { label: string; tone: string; icon: IconName }> = {
  starting: { label: "Starting", tone: "", icon: "phone" },
  in_flow: { label: "In the flow", tone: "", icon: "step" },
  listening: { label: "AI waits", tone: "ai", icon: "ai" },
  caller_speaking: { label: "Caller speaks", tone: "caller", icon: "caller" },
  thinking: { label: "AI thinks", tone: "think", icon: "think" },
  ai_speaking: { label: "AI speaks", tone: "ai", icon: "ai" },
  ringing_target: { label: "Ringing", tone: "ring", icon: "ring" },
  with_person: { label: "With a person", tone: "person", icon: "person" },
  ended: { label: "Ended", tone: "", icon: "hangup" },
};

/** What a call does now, as colour, sign and word; whom it rings or talks to beside it. */
export function StateBadge({ call }: { call: CallSummary }) {
  // A state of a newer engine is shown by its own name.
  const { label, tone, icon } = STATES[call.state] ?? { label: words(call.state), tone: "", icon: "phone" as const };
  const rings = call.target && call.state !== "with_person" && call.state !== "ringing_target";
  return (
    <>
      <span class={`badge ${tone}`} data-state={call.state}>
        <Icon name={icon} />
        {label}
      </span>
      {call.target && <small>{rings ? `ringing ${call.target}` : call.target}</small>}
    </>
  );
}

const GOOD = new Set(["completed", "handed_off"]);
const BAD = new Set(["failed", "lost"]);

export function OutcomeBadge({ outcome }: { outcome: string }) {
  const tone = GOOD.has(outcome) ? "good" : BAD.has(outcome) ? "bad" : "";
  return (
    <span class={`badge ${tone}`}>
      {tone === "bad" && <Icon name="alert" />}
      {words(outcome)}
    </span>
  );
}

export function Caller({ number, name }: { number: string; name?: string }) {
  if (name) return <>{name}</>;
  if (!number) return <>Withheld</>;
  if (!number.includes("•")) return <span class="number">{number}</span>;
  return <span class="number masked">{number}</span>;
}

/** The response time of a call's last turn; colour and word say how that feels. */
export function Response({ ms }: { ms: number | null }) {
  if (ms === null) return <span class="muted">–</span>;
  const how = pace(ms);
  return (
    <span class={`pace ${how}`}>
      {brief(ms)}
      {how !== "good" && <span class="hidden"> ({how})</span>}
    </span>
  );
}

export function Cost({ amount, currency }: { amount: number | null; currency: string }) {
  return amount === null ? <span class="muted">–</span> : <span class="number">{money(amount, currency)}</span>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Field({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  );
}
