// The engine's events, as text/event-stream over fetch: unlike EventSource this tells a lost connection from a refused
// one, and notices a connection that is open but silent.

export interface ServerEvent {
  id: string;
  type: string;
  data: string;
}

/** Takes what arrives, in pieces of any size, and gives whole events (WHATWG HTML, 9.2.6). */
export class EventParser {
  #rest = "";
  #id = "";
  #type = "";
  #data: string[] = [];

  feed(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push({ id: this.#id, type: this.#type || "message", data: this.#data.join("\n") });
        this.#type = "";
        this.#data = [];
      } else this.#field(line);
    }
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id") this.#id = value;
  }
}

export type Connection = "connecting" | "live" | "lost";

export interface Listener {
  event(event: ServerEvent): void;
  connection(state: Connection): void;
  /** The session has ended. */
  refused(): void;
  /** There is no such stream any more. */
  gone(): void;
}

const SILENT_FOR = 35_000; // ms without a byte after which a connection counts as lost: two heartbeats of 15 s
const FIRST_WAIT = 500; // ms until the next attempt, doubled up to
const LONGEST_WAIT = 5_000;

/** Follow the events at a URL until the signal aborts, resuming behind the last one that came. Never rejects. */
export async function follow(url: string, listener: Listener, signal: AbortSignal): Promise<void> {
  let last = "";
  let wait = FIRST_WAIT;
  listener.connection("connecting");
  while (!signal.aborted) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop);
    const watch = watchdog(SILENT_FOR, stop);
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch(url, { headers, cache: "no-store", signal: attempt.signal });
      if (answer.status === 401) return listener.refused();
      if (answer.status === 404) return listener.gone();
      if (answer.ok && answer.body) {
        listener.connection("live");
        wait = FIRST_WAIT;
        const parser = new EventParser();
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          watch.fed();
          for (const event of parser.feed(part.value)) {
            last = event.id || last;
            told(listener, event);
          }
        }
      }
    } catch {
      // The line is lost, which is what follows anyway.
    } finally {
      watch.end();
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) return;
    listener.connection("lost");
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

/** What a listener cannot take is its own fault, not the line's: the page goes on, and the browser's console has it. */
function told(listener: Listener, event: ServerEvent): void {
  try {
    listener.event(event);
  } catch (error) {
    reportError(error);
  }
}

function watchdog(ms: number, bark: () => void): { fed(): void; end(): void } {
  let timer = setTimeout(bark, ms);
  return {
    fed() {
      clearTimeout(timer);
      timer = setTimeout(bark, ms);
    },
    end: () => clearTimeout(timer),
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
