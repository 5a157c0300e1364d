// What the engine's API answers: docs/api.md, as far as this page uses it. Fields may be added there at any time.

export type Right = "live" | "values" | "history" | "recordings" | "listen" | "act" | "audit";

export interface Session {
  name: string;
  role: "viewer" | "analyst" | "supervisor" | "admin";
  may: Right[];
  open: boolean; // no tokens: the engine serves its own machine alone
  csrf: string | null;
}

export interface EngineHealth {
  name: string;
  version: string;
  ready: boolean;
  reasons: string[];
  draining: boolean;
  asterisk: boolean;
  calls: number;
  capacity: number;
}

export type State =
  | "starting"
  | "in_flow"
  | "listening"
  | "caller_speaking"
  | "thinking"
  | "ai_speaking"
  | "ringing_target"
  | "with_person"
  | "ended";

export interface CallSummary {
  id: string;
  flow: string;
  direction: "inbound" | "outbound";
  caller: string;
  caller_name: string;
  did: string;
  trunk: string;
  state: State;
  step: string | null;
  verb: string | null;
  step_flow: string | null;
  step_path: string | null;
  voice: string | null;
  target: string | null;
  started: string;
  answered: string | null;
  ended: string | null;
  outcome: string;
  hangup_by: string;
  error: string;
  response_ms: number | null;
  cost: number | null;
  currency: string; // ISO 4217
  listeners: number;
}

interface EntryHead {
  id: string;
  at: string;
  step_flow: string | null;
  step_path: string | null;
}

export type Entry = EntryHead &
  (
    | { kind: "call"; event: "started" | "answered" | "ended"; by: string; cause_text: string }
    | {
        kind: "step";
        step: string | null;
        verb: string;
        line: number;
        ms: number | null;
        outcome: string | null;
        detail: string;
        data: Record<string, unknown>;
      }
    | { kind: "said"; role: "caller" | "voice" | "system"; text: string; interrupted: boolean }
    | { kind: "tool"; name: string; ms: number | null; outcome: string; arguments: Record<string, unknown> }
    | { kind: "key"; key: string }
    | {
        kind: "attempt";
        target: string;
        status: string;
        ring_ms: number;
        sip_code: number | null;
        cause_text: string;
        reason: string; // why it could not be rung at all
        by: "flow" | "supervisor";
      }
  );

export interface Variable {
  flow: string;
  name: string;
  value: unknown;
  masked: boolean;
}

export interface RecordingHead {
  number: number;
  url: string;
  started: string;
  ms: number;
  bytes: number;
  complete: boolean;
}

export interface TokenCount {
  provider: string;
  model: string;
  turns: number;
  input_text: number;
  input_audio: number;
  output_text: number;
  output_audio: number;
  cost: number;
}

export interface CallDetail {
  call: CallSummary;
  live: boolean;
  result: string;
  entries: Entry[];
  interim: { caller: string; voice: string };
  variables: Variable[];
  recordings: RecordingHead[];
  tokens: TokenCount[];
  timings: Record<string, number>;
}

export interface GraphNode {
  id: string;
  kind: "start" | "over" | "section" | "handler" | "step" | "wait" | "leave" | "disabled";
  title: string;
  detail: string;
  line: number;
}

export interface GraphEdge {
  source: string;
  target: string;
  labels: string[];
  is_call: boolean;
}

export interface FlowGraph {
  name: string;
  version: number;
  revision: string;
  current: boolean;
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export interface Target {
  name: string;
  target: string | null;
  kind: "destination" | "group";
}

export interface Targets {
  targets: Target[];
  possible: boolean;
  reasons: string[];
}

export interface History {
  calls: CallSummary[];
  next: string | null;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  reasons?: string[];
}

/** Server-sent events, by their name. */
export interface Events {
  reset: { reason: string; now: string; engine: EngineHealth; calls: CallSummary[]; detail: CallDetail | null };
  call: CallSummary;
  engine: EngineHealth;
  entry: { call: string; entry: Entry };
  interim: { call: string; caller: string; voice: string };
  variables: { call: string; variables: Variable[] };
  recordings: { call: string; recordings: RecordingHead[] };
  heartbeat: { now: string };
}
