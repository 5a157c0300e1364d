// Past calls: search, list, more.
import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "./api.ts";
import { lasted } from "./board.ts";
import type { CallSummary, History } from "./contract.ts";
import { clock, moment } from "./format.ts";
import * as keys from "./keys.ts";
import { Caller, Cost, Field, OutcomeBadge } from "./parts.tsx";
import { callPath, go, pastPath } from "./route.ts";
import * as store from "./store.ts";

const OUTCOMES = ["completed", "caller_hung_up", "handed_off", "refused", "failed", "lost"];

export function Past({ query }: { query: Record<string, string> }) {
  const search = useRef<HTMLInputElement>(null);
  const key = JSON.stringify(query);
  const [calls, more, problem] = useHistory(query, key);
  store.lastSearch.value = pastPath(query);
  useEffect(
    () =>
      keys.bind({
        j: () => keys.step(1),
        ArrowDown: () => keys.step(1),
        k: () => keys.step(-1),
        ArrowUp: () => keys.step(-1),
        "/": () => search.current?.focus(),
      }),
    [],
  );
  return (
    <>
      <div class="head">
        <h1>Past calls</h1>
      </div>
      <section class="card" aria-label="Past calls">
        <Search key={key} query={query} field={search} />
        {problem && (
          <p class="notice bad" role="alert">
            {problem}
          </p>
        )}
        {calls && <List calls={calls} />}
        {!calls && !problem && <p class="empty">Past calls are fetched.</p>}
        {more && (
          <p class="empty">
            <button type="button" onClick={more}>
              Show earlier calls
            </button>
          </p>
        )}
      </section>
    </>
  );
}

/** What is found, how to get more of it (null: that is all), and why nothing is. */
function useHistory(query: Record<string, string>, key: string): [CallSummary[] | null, (() => void) | null, string] {
  const [pages, setPages] = useState<{ key: string; found: History[] }>({ key: "", found: [] });
  const [problem, setProblem] = useState("");
  const found = pages.key === key ? pages.found : [];
  const fetchPage = (before: History[]) => {
    setProblem("");
    api.get<History>(`/history?${asked(query, before.at(-1)?.next ?? null)}`).then(
      (page) => setPages({ key, found: [...before, page] }),
      (error: Error) => setProblem(error.message),
    );
  };
  useEffect(() => fetchPage([]), [key]);
  const next = found.at(-1)?.next;
  return [found.length ? found.flatMap(({ calls }) => calls) : null, next ? () => fetchPage(found) : null, problem];
}

/** Days are the supervisor's own, from midnight to midnight. */
export function asked({ from, to, ...rest }: Record<string, string>, cursor: string | null): URLSearchParams {
  const all = new URLSearchParams(Object.entries(rest).filter(([name, value]) => value && ["number", "flow", "outcome"].includes(name)));
  if (from) all.set("since", new Date(`${from}T00:00`).toISOString());
  if (to) {
    const end = new Date(`${to}T00:00`);
    end.setDate(end.getDate() + 1);
    all.set("until", end.toISOString());
  }
  if (cursor) all.set("cursor", cursor);
  return all;
}

function Search({ query, field }: { query: Record<string, string>; field: preact.RefObject<HTMLInputElement | null> }) {
  const flows = useFlows();
  const submit = (event: Event) => {
    event.preventDefault();
    const form = new FormData((event.currentTarget as HTMLElement).closest("form")!);
    go(pastPath(Object.fromEntries([...form].map(([name, value]) => [name, String(value).trim()]))));
  };
  return (
    <form class="filters" role="search" onSubmit={submit}>
      <Field label="Number, or a part of it">
        <input ref={field} name="number" type="search" inputMode="tel" defaultValue={query.number ?? ""} />
      </Field>
      <Field label="Flow">
        <select name="flow" value={query.flow ?? ""} onChange={submit}>
          <option value="">All</option>
          {[...new Set([...flows, query.flow ?? ""])].filter(Boolean).map((name) => (
            <option value={name}>{name}</option>
          ))}
        </select>
      </Field>
      <Field label="Outcome">
        <select name="outcome" value={query.outcome ?? ""} onChange={submit}>
          <option value="">All</option>
          {OUTCOMES.map((name) => (
            <option value={name}>{name.replaceAll("_", " ")}</option>
          ))}
        </select>
      </Field>
      <Field label="From">
        <input name="from" type="date" defaultValue={query.from ?? ""} />
      </Field>
      <Field label="To">
        <input name="to" type="date" defaultValue={query.to ?? ""} />
      </Field>
      <div class="buttons">
        <button type="submit" class="primary">
          Search
        </button>
      </div>
    </form>
  );
}

function useFlows(): string[] {
  const [flows, setFlows] = useState<string[]>([]);
  useEffect(() => {
    // Without the names one can still search by everything else.
    api.get<{ flows: { name: string }[] }>("/flows").then(({ flows: all }) => setFlows(all.map(({ name }) => name)), () => undefined);
  }, []);
  return flows;
}

function List({ calls }: { calls: CallSummary[] }) {
  if (!calls.length)
    return (
      <p class="empty">
        <strong>No past call is like that</strong>Search for less: part of a number, another day.
      </p>
    );
  return (
    <div class="scroll">
      <table class="calls">
        <caption class="hidden">Past calls, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Caller</th>
            <th scope="col">Outcome</th>
            <th scope="col">Flow</th>
            <th scope="col">Voice</th>
            <th scope="col">Began</th>
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
            <tr key={call.id} data-call={call.id} onClick={(event) => (event.target as Element).closest("a") || go(callPath(call.id))}>
              <td class="who-calls">
                <a href={callPath(call.id)}>
                  <Caller number={call.caller} name={call.caller_name} />
                </a>
                <small class="number">
                  {call.direction === "outbound" ? "called from" : "to"} {call.did || "?"}
                </small>
              </td>
              <td class="state">
                <OutcomeBadge outcome={call.outcome} />
              </td>
              <td class="flow">
                <span>{call.flow}</span>
              </td>
              <td class="voice">{call.voice ?? <span class="muted">–</span>}</td>
              <td class="number">
                <time dateTime={call.started}>{moment(call.started)}</time>
              </td>
              <td class="right">
                <Cost amount={call.cost} currency={call.currency} />
              </td>
              <td class="right number">{clock(lasted(call, 0))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
