// The flow of a call as a drawing: the way that was taken, and the step that it is in.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import * as api from "./api.ts";
import { chart, labelOf, type Chart, type PlacedNode } from "./chart.ts";
import type { CallDetail, Entry, FlowGraph } from "./contract.ts";
import { words } from "./format.ts";
import { wayOf, type Way } from "./way.ts";

type Step = Extract<Entry, { kind: "step" }>;

export function Flow({ detail }: { detail: CallDetail }) {
  const { call, live } = detail;
  const at = call.step_flow ?? call.flow;
  const [graphs, problem] = useGraphs(call.id, live ? at : "");
  const [chosen, choose] = useState("");
  const [fits, fit] = useState(false);
  const steps = detail.entries.filter((entry): entry is Step => entry.kind === "step");
  const graph = graphs.find(({ name }) => name === (chosen || (live ? at : call.flow))) ?? graphs[0];
  return (
    <section class="card" aria-label="Flow">
      <header>
        <h2>{graph ? graph.name : "Flow"}</h2>
        {graph && !graph.current && <span class="muted">has changed since</span>}
        <button type="button" aria-pressed={fits} onClick={() => fit(!fits)}>
          Whole flow
        </button>
        {graphs.length > 1 && (
          <select aria-label="Flow that is drawn" value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">{live ? "The one it is in" : "The call's own"}</option>
            {graphs.map(({ name }) => (
              <option value={name}>{name}</option>
            ))}
          </select>
        )}
      </header>
      {graph ? <Drawn graph={graph} steps={steps} detail={detail} fits={fits} /> : <p class="empty">{problem || "The flow is fetched."}</p>}
    </section>
  );
}

/** The graphs of a call's flows, asked for again when it enters one that is not among them. */
function useGraphs(call: string, at: string): [FlowGraph[], string] {
  const [graphs, setGraphs] = useState<FlowGraph[]>([]);
  const [problem, setProblem] = useState("");
  const isKnown = graphs.some(({ name }) => name === at) || (graphs.length > 0 && at === "");
  useEffect(() => {
    if (isKnown) return;
    let left = false;
    api.get<{ flows: FlowGraph[] }>(api.callUrl(call, "/graph")).then(
      ({ flows }) => {
        if (left) return;
        setGraphs(flows);
        if (!flows.length) setProblem("This flow is not in use any more.");
      },
      (error: Error) => left || setProblem(error.message),
    );
    return () => void (left = true);
  }, [call, at]);
  return [graphs, problem];
}

function Drawn({ graph, steps, detail, fits }: { graph: FlowGraph; steps: Step[]; detail: CallDetail; fits: boolean }) {
  const { call, live } = detail;
  const drawn = useMemo(() => chart(graph), [graph]);
  const own = steps.filter(({ step_flow }) => step_flow === null || step_flow === graph.name);
  const ran = own.flatMap(({ step_path: path, outcome, detail }) => (path === null ? [] : [{ path, over: outcome !== null, detail }]));
  const way = wayOf(graph, ran);
  if (!live) way.live = null;
  else if (call.step_flow === graph.name && call.step_path) way.live = call.step_path;
  const node = drawn.nodes.find(({ id }) => id === way.live);
  const told = `Flow ${graph.name}: ${way.taken.size} of ${graph.nodes.length} places passed${node ? `, now at ${node.title}` : ""}.`;
  return (
    <>
      <Drawing drawn={drawn} way={way} told={told} fits={fits} />
      <details class="text">
        <summary>The way as text</summary>
        <ol class="steps">
          {own.map(({ id, step, verb, outcome, step_path }) => (
            <li key={id} aria-current={outcome === null && step_path === way.live ? "step" : undefined}>
              {step ? `${step} (${verb})` : verb}
              {outcome === null ? (live ? ": now" : "") : ` → ${words(outcome)}`}
            </li>
          ))}
        </ol>
      </details>
    </>
  );
}

function Drawing({ drawn, way, told, fits }: { drawn: Chart; way: Way; told: string; fits: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const middle = box.current?.querySelector<SVGElement>(".node.live") ?? box.current?.querySelector<SVGElement>(".node.start");
    if (!middle || !box.current) return;
    const [outer, inner] = [box.current.getBoundingClientRect(), middle.getBoundingClientRect()];
    box.current.scrollBy({
      top: inner.top + inner.height / 2 - outer.top - outer.height / 2,
      left: inner.left + inner.width / 2 - outer.left - outer.width / 2,
    });
  }, [way.live, drawn, fits]);
  const { width, height, nodes, edges } = drawn;
  const ordered = [...edges].sort((a, b) => Number(way.edges.has(a.key)) - Number(way.edges.has(b.key)));
  return (
    <div class={`drawing ${fits ? "fits" : ""}`} ref={box} role="region" aria-label="Drawing of the flow" tabIndex={0}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={told}>
        <defs>
          <Tip id="tip" />
          <Tip id="tip-taken" />
        </defs>
        {ordered.map(({ key, path, is_call }) => (
          <path key={key} class={`edge ${is_call ? "calls" : ""} ${way.edges.has(key) ? "taken" : ""}`} d={path} />
        ))}
        {nodes.map((node) => (
          <Node key={node.id} node={node} taken={way.taken.has(node.id)} live={way.live === node.id} />
        ))}
        {edges.map((edge) => edge.at && (
          <text key={edge.key} class="label" x={edge.at.x} y={edge.at.y + 4}>
            {labelOf(edge)}
          </text>
        ))}
      </svg>
    </div>
  );
}

function Tip({ id }: { id: string }) {
  return (
    <marker id={id} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">
      <path d="M0,0 8,4 0,8z" />
    </marker>
  );
}

function Node({ node, taken, live }: { node: PlacedNode; taken: boolean; live: boolean }) {
  const { x, y, width, height, lines, kind } = node;
  const [left, top] = [x - width / 2, y - height / 2];
  const rounded = kind === "start" || kind === "over" ? height / 2 : 7;
  return (
    <g class={`node ${kind} ${taken ? "taken" : ""} ${live ? "live" : ""}`} data-step={node.id}>
      <title>{[node.title, node.detail, node.line ? `line ${node.line}` : ""].filter(Boolean).join("\n")}</title>
      {live && <rect class="halo" x={left - 4} y={top - 4} width={width + 8} height={height + 8} rx={rounded + 4} />}
      <rect x={left} y={top} width={width} height={height} rx={rounded} />
      <text x={x} y={lines[1] ? y - 3 : y + 4.5}>
        {lines[0]}
      </text>
      {lines[1] && (
        <text class="detail" x={x} y={y + 13}>
          {lines[1]}
        </text>
      )}
    </g>
  );
}
