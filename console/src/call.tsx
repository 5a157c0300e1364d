// One call, live or past.
import { useEffect, useState } from "preact/hooks";
import { Actions, Listened } from "./actions.tsx";
import { lasted } from "./board.ts";
import type { CallDetail, CallSummary, TokenCount, Variable } from "./contract.ts";
import { Flow } from "./flow.tsx";
import { clock, moment, shown } from "./format.ts";
import { Icon } from "./icons.tsx";
import * as keys from "./keys.ts";
import { Caller, Cost, Fact, OutcomeBadge, Response, StateBadge } from "./parts.tsx";
import { Recordings, type Player } from "./player.tsx";
import { LIVE, go, pastPath } from "./route.ts";
import * as store from "./store.ts";
import { Transcript } from "./transcript.tsx";

export function Call({ id }: { id: string }) {
  const detail = store.detail.value;
  const isPast = detail !== null && !detail.live;
  const back = cameFrom(isPast);
  useEffect(() => keys.bind({ Escape: () => go(back.path) }), [back.path]);
  return (
    <div class="call" key={id}>
      <a class="back" href={back.path}>
        <Icon name="back" /> {back.label}
      </a>
      {detail ? <Shown detail={detail} /> : <Missing />}
    </div>
  );
}

function cameFrom(isPast: boolean): { path: string; label: string } {
  return isPast && store.may("history") ? { path: store.lastSearch.value || pastPath(), label: "Past calls" } : { path: LIVE, label: "Live calls" };
}

function Missing() {
  const why = store.missing.value;
  return (
    <section class="card empty">
      <h1>{why ? "This call cannot be shown" : "The call is fetched"}</h1>
      {why}
    </section>
  );
}

function Shown({ detail }: { detail: CallDetail }) {
  const { call, live, recordings, variables, tokens } = detail;
  const [playing, setPlaying] = useState<number | null>(null);
  const [player, setPlayer] = useState<Player | null>(null);
  const whole = live ? [] : recordings.filter((recording) => recording.complete);
  return (
    <>
      <section class="card" aria-label="The call">
        <Head detail={detail} />
        <Listened call={call} />
      </section>
      {whole.length > 0 && <Recordings recordings={whole} onMoment={setPlaying} onReady={setPlayer} />}
      <div class="panes">
        <Transcript detail={detail} playing={playing} seek={player?.seek ?? null} />
        <div class="side">
          <Flow detail={detail} />
          {variables.length > 0 && <Variables variables={variables} />}
          {tokens.length > 0 && <Tokens tokens={tokens} currency={call.currency} />}
        </div>
      </div>
    </>
  );
}

function Head({ detail }: { detail: CallDetail }) {
  const { call, live, result } = detail;
  return (
    <div class="call-head">
      <div class="head">
        <h1>
          <Caller number={call.caller} name={call.caller_name} />
        </h1>
        {live ? <StateBadge call={call} /> : <OutcomeBadge outcome={call.outcome} />}
        {live && <Actions detail={detail} />}
      </div>
      {call.error && (
        <p class="notice bad">
          <strong>Went wrong:</strong> {call.error}
        </p>
      )}
      <dl class="facts">
        <Fact name="Duration">
          <Duration call={call} />
        </Fact>
        {call.caller_name && <Fact name="Number">{call.caller || "withheld"}</Fact>}
        <Fact name={call.direction === "outbound" ? "Called" : "Called number"}>{call.did || "?"}</Fact>
        <Fact name="Flow">{call.flow}</Fact>
        {live && <Fact name="Step">{call.step ?? call.verb ?? "–"}</Fact>}
        <Fact name="Voice">{call.voice ?? "–"}</Fact>
        <Fact name="Last response">
          <Response ms={call.response_ms} />
        </Fact>
        <Fact name="Cost">
          <Cost amount={call.cost} currency={call.currency} />
        </Fact>
        <Fact name="Began">
          <time dateTime={call.started}>{moment(call.started)}</time>
        </Fact>
        {!live && call.hangup_by && <Fact name="Hung up by">{call.hangup_by}</Fact>}
        {result && <Fact name="Result">{result}</Fact>}
        {call.listeners > 0 && <Fact name="Listeners">{call.listeners}</Fact>}
      </dl>
    </div>
  );
}

function Duration({ call }: { call: CallSummary }) {
  return <>{clock(lasted(call, store.now.value))}</>;
}

function Variables({ variables }: { variables: Variable[] }) {
  const many = new Set(variables.map(({ flow }) => flow)).size > 1;
  return (
    <section class="card" aria-label="Variables">
      <header>
        <h2>Variables</h2>
      </header>
      <table class="values">
        <caption class="hidden">Variables and their values</caption>
        <tbody>
          {variables.map(({ flow, name, value, masked }) => (
            <tr key={`${flow} ${name}`}>
              <th scope="row">
                {many && <span class="muted">{flow} </span>}
                <code>{name}</code>
              </th>
              <td>{masked ? <span class="muted">hidden</span> : value === null ? <span class="muted">empty</span> : shown(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Tokens({ tokens, currency }: { tokens: TokenCount[]; currency: string }) {
  return (
    <section class="card" aria-label="Use of the voice">
      <header>
        <h2>Use of the voice</h2>
      </header>
      <table class="values">
        <caption class="hidden">Tokens that each voice counted</caption>
        <tbody>
          {tokens.map((used) => (
            <tr key={`${used.provider} ${used.model}`}>
              <th scope="row">{[used.provider, used.model].filter(Boolean).join(" ")}</th>
              <td class="number">
                {used.turns} turns · {used.input_audio + used.input_text} tokens in · {used.output_audio + used.output_text} out ·{" "}
                <Cost amount={used.cost} currency={currency} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
