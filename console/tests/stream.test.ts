import assert from "node:assert/strict";
import { mock, test, type TestContext } from "node:test";
import { follow, type ServerEvent } from "../src/stream.ts";

/** Follows answers that are given in turn; what was heard, and with which headers it was asked. */
function followed(t: TestContext, ...answers: ((signal: AbortSignal) => Response)[]) {
  const heard: (string | ServerEvent)[] = [];
  const asked: (string | null)[] = [];
  const stop = new AbortController();
  const real = globalThis.fetch;
  t.after(() => {
    stop.abort();
    globalThis.fetch = real;
  });
  globalThis.fetch = async (_url, options) => {
    asked.push(new Headers(options?.headers).get("Last-Event-ID"));
    const answer = answers.shift();
    if (!answer) {
      stop.abort();
      throw new TypeError("no more");
    }
    return answer(options!.signal!);
  };
  const listener = {
    event: (event: ServerEvent) => void heard.push(`${event.type} ${event.data}`),
    connection: (state: string) => void heard.push(state),
    refused: () => void heard.push("refused"),
    gone: () => void heard.push("gone"),
  };
  return { heard, asked, over: follow("/events", listener, stop.signal) };
}

const text = (body: string) => () => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
const status = (code: number) => () => new Response(null, { status: code });

test("who was cut off takes up behind the last event", async (t) => {
  const { heard, asked, over } = followed(t, text("id: a-1\nevent: call\ndata: 1\n\n"), text("id: a-2\nevent: call\ndata: 2\n\n"), status(401));
  await over;
  assert.deepEqual(heard, ["connecting", "live", "call 1", "lost", "live", "call 2", "lost", "refused"]);
  assert.deepEqual(asked, [null, "a-1", "a-2"]);
});

test("what is gone or refused is not asked for again", async (t) => {
  const { heard, asked, over } = followed(t, status(404));
  await over;
  assert.deepEqual([heard, asked.length], [["connecting", "gone"], 1]);
});

test("an engine that answers nonsense is no live connection", async (t) => {
  const { heard, over } = followed(t, status(502));
  await over;
  assert.deepEqual(heard, ["connecting", "lost"]);
});

test("a connection that falls silent is lost", async (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  let reading = () => {};
  const isRead = new Promise<void>((resolve) => (reading = resolve));
  const silent = (signal: AbortSignal) => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => signal.addEventListener("abort", () => controller.error(signal.reason)),
      pull: () => reading(),
    });
    return new Response(body);
  };
  const { heard } = followed(t, silent);
  await isRead;
  mock.timers.tick(34_000);
  assert.deepEqual(heard, ["connecting", "live"]);
  mock.timers.tick(2_000);
  for (let turn = 0; turn < 50 && heard.length < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ["connecting", "live", "lost"]);
});
