// The live calls.
import { computed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { GROUPS, lasted, matches } from "./board.ts";
import type { CallSummary } from "./contract.ts";
import { clock, percentile, spokenClock } from "./format.ts";
import { Icon } from "./icons.tsx";
import * as keys from "./keys.ts";
import { listen } from "./listen.ts";
import { Caller, Cost, Field, Response, StateBadge } from "./parts.tsx";
import { callPath, go } from "./route.ts";
import * as store from "./store.ts";

const all = computed(() => [...store.shownBoard.value.calls.values()]);
const listed = computed(() => all.value.filter((call) => matches(call, store.filter.value)));

export function Live() {
  const search = useRef<HTMLInputElement>(null);
  useEffect(
    () =>
      keys.bind({
        j: () => keys.step(1),
        ArrowDown: () => keys.step(1),
        k: () => keys.step(-1),
        ArrowUp: () => keys.step(-1),
        "/": () => search.current?.focus(),
        p: pause,
        l: () => {
          const id = document.activeElement?.closest("tr")?.dataset.call;
          if (!id || !store.may("listen") || store.board.value.calls.get(id)?.state === "ended") return;
          go(callPath(id));
          void listen(id);
        },
      }),
    [],
  );
  return (
    <>
      <div class="head">
        <h1>Live calls</h1>
        <div class="rest">
          <button type="button" aria-pressed={store.paused.value !== null} onClick={pause}>
            <Icon name="pause" /> Pause updates
          </button>
        </div>
      </div>
      <Figures />
      <section class="card" aria-label="Live calls">
        <Filters search={search} />
        <List />
      </section>
    </>
  );
}

function pause(): void {
  store.paused.value = store.paused.value ? null : store.board.value;
}

/** What all calls together look like. */
function Figures() {
  const calls = all.value.filter((call) => call.state !== "ended");
  const responses = calls.flatMap(({ response_ms }) => (response_ms === null ? [] : [response_ms]));
  const costs = calls.flatMap(({ cost }) => (cost === null ? [] : [cost]));
  const count = (group: string) => calls.filter(({ state }) => GROUPS[group]!.states.includes(state)).length;
  const capacity = store.shownBoard.value.engine?.capacity;
  return (
    <dl class="card figures" aria-label="All live calls">
      <Figure name={capacity ? `live, of ${capacity} at most` : "live"}>{calls.length}</Figure>
      <Figure name="with the AI">{count("ai")}</Figure>
      <Figure name="ringing a target">{count("ring")}</Figure>
      <Figure name="with a person">{count("person")}</Figure>
      <Figure name="response, median">
        <Response ms={percentile(responses, 0.5)} />
      </Figure>
      <Figure name="95 % answered within">
        <Response ms={percentile(responses, 0.95)} />
      </Figure>
      {costs.length > 0 && (
        <Figure name="cost so far">
          <Cost amount={costs.reduce((sum, cost) => sum + cost, 0)} currency={calls[0]!.currency} />
        </Figure>
      )}
    </dl>
  );
}

function Figure({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Filters({ search }: { search: preact.RefObject<HTMLInputElement | null> }) {
  const { text, group, flow } = store.filter.value;
  const flows = [...new Set(all.value.map((call) => call.flow))].sort();
  const set = (change: Partial<typeof store.filter.value>) => (store.filter.value = { ...store.filter.value, ...change });
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <Field label="Search: number, step, voice …">
        <input ref={search} type="search" value={text} onInput={(event) => set({ text: event.currentTarget.value })} />
      </Field>
      <Field label="State">
        <select value={group} onChange={(event) => set({ group: event.currentTarget.value })}>
          <option value="">All</option>
          {Object.entries(GROUPS).map(([name, { label }]) => (
            <option value={name}>{label}</option>
          ))}
        </select>
      </Field>
      <Field label="Flow">
        <select value={flow} onChange={(event) => set({ flow: event.currentTarget.value })}>
          <option value="">All</option>
          {flow && !flows.includes(flow) && <option value={flow}>{flow}</option>}
          {flows.map((name) => (
            <option value={name}>{name}</option>
          ))}
        </select>
      </Field>
    </form>
  );
}

function List() {
  const calls = listed.value;
  const isAny = all.value.length > 0;
  if (!calls.length)
    return (
      <p class="empty">
        <strong>{isAny ? "No live call is like that" : "No live calls"}</strong>
        {isAny ? "Other calls are live: change the search above." : "A call is here within a second of its arrival."}
      </p>
    );
  return (
    <div class="scroll">
      <table class="calls">
        <caption class="hidden">Live calls, oldest first</caption>
        <thead>
          <tr>
            <th scope="col">Caller</th>
            <th scope="col">State</th>
            <th scope="col">Flow and step</th>
            <th scope="col">Voice</th>
            <th scope="col" class="right">
              Response
            </th>
            <th scope="col" class="right">
              Cost
            </th>
            <th scope="col" class="right">
              Duration
            </th>
          </tr>
        </thead>
        <tbody>
          {calls.map((call) => (
            <Row key={call.id} call={call} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

const NEW_FOR = 3_000; // ms

function Row({ call }: { call: CallSummary }) {
  const at = store.paused.value ? store.now.peek() : store.now.value;
  const duration = lasted(call, at);
  const mood = call.state === "ended" ? "over" : duration < NEW_FOR ? "new" : "";
  return (
    <tr class={mood} data-call={call.id} onClick={(event) => openRow(event, call.id)}>
      <td class="who-calls">
        <a href={callPath(call.id)}>
          <Caller number={call.caller} name={call.caller_name} />
        </a>
        <small class="number">
          {call.caller_name && call.caller ? `${call.caller} ` : ""}
          {call.direction === "outbound" ? "called from" : "to"} {call.did || "?"}
        </small>
      </td>
      <td class="state">
        <StateBadge call={call} />
      </td>
      <td class="flow">
        <span>{call.step ?? call.verb ?? "–"}</span>
        <small>
          {call.flow}
          {call.step && call.verb ? ` · ${call.verb}` : ""}
        </small>
      </td>
      <td class="voice">{call.voice ?? <span class="muted">–</span>}</td>
      <td class="right">
        <Response ms={call.response_ms} />
      </td>
      <td class="right">
        <Cost amount={call.cost} currency={call.currency} />
      </td>
      <td class="right number">
        <span aria-hidden="true">{clock(duration)}</span>
        <span class="hidden">{spokenClock(duration)}</span>
      </td>
    </tr>
  );
}

function openRow(event: MouseEvent, id: string): void {
  if (!(event.target as Element).closest("a")) go(callPath(id));
}
