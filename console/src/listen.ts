// Listening to a call: a ticket, a socket for the sound, and the browser's audio thread. Nothing is ever sent.
import { signal } from "@preact/signals";
import { ApiError, act, callUrl } from "./api.ts";
import { tell } from "./store.ts";

declare const WORKLET: string; // the name of the built speaker.ts

export interface Listening {
  call: string;
  state: "opening" | "on";
  source: "engine" | "bridge" | "none";
  muted: boolean; // by the engine: something secret is said or keyed
  lost: number; // frames that did not come through
}

export const listening = signal<Listening | null>(null);
export const levels = signal<[number, number]>([0, 0]); // caller, other side: 0…1

const NONE: [number, number] = [0, 0];
let close: () => void = () => undefined;
let attempts = 0;

export function stop(): void {
  close();
  close = () => undefined;
  listening.value = null;
  levels.value = NONE;
}

/** Begin to listen; ends with what was listened to before. */
export async function listen(call: string): Promise<void> {
  stop();
  const attempt = ++attempts;
  listening.value = { call, state: "opening", source: "engine", muted: false, lost: 0 };
  try {
    const { url } = await act<{ url: string }>(callUrl(call, "/audio-ticket"));
    if (listening.value && attempt === attempts) open(call, url);
  } catch (error) {
    if (attempt !== attempts) return;
    stop();
    tell(`Cannot listen: ${(error as ApiError).message}`, true);
  }
}

function open(call: string, url: string): void {
  const socket = new WebSocket(new URL(url, location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  let speaker: Promise<Speaker> | null = null;
  let ready: Speaker | null = null;
  close = () => {
    socket.onclose = null;
    socket.close();
    void speaker?.then((each) => each.close());
  };
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (typeof data !== "string") return ready?.play(data);
    const told = JSON.parse(data) as Told;
    if (told.type === "format") {
      speaker = Speaker.open(told.rate);
      speaker.then(
        (each) => {
          ready = each;
          if (listening.value?.call === call) listening.value = { ...listening.value, state: "on" };
        },
        (error: Error) => (stop(), tell(`This browser plays no sound: ${error.message}`, true)),
      );
    } else note(told);
  };
  socket.onclose = ({ code, reason }) => {
    stop();
    if (code !== 1000) tell(`Listening ended: ${reason || "the connection was lost"}.`, true);
    else tell("Listening ended: the call is over.");
  };
}

type Told =
  | { type: "format"; rate: number }
  | { type: "source"; source: Listening["source"] }
  | { type: "lost"; frames: number }
  | { type: "muted"; muted: boolean }
  | { type: "ended" };

function note(told: Told): void {
  const now = listening.value;
  if (!now) return;
  if (told.type === "source") listening.value = { ...now, source: told.source };
  if (told.type === "lost") listening.value = { ...now, lost: now.lost + told.frames };
  if (told.type === "muted") listening.value = { ...now, muted: told.muted };
}

class Speaker {
  private constructor(
    private readonly context: AudioContext,
    private readonly node: AudioWorkletNode,
  ) {}

  /** The context runs at the line's own rate, so that nothing here resamples. */
  static async open(rate: number): Promise<Speaker> {
    if (!("AudioWorkletNode" in window)) throw new Error("it needs https or localhost");
    const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    await context.audioWorklet.addModule(new URL(WORKLET, import.meta.url));
    const node = new AudioWorkletNode(context, "speaker", { numberOfInputs: 0, outputChannelCount: [2] });
    node.port.onmessage = ({ data }: MessageEvent<[number, number]>) => (levels.value = data);
    node.connect(context.destination);
    await context.resume();
    return new Speaker(context, node);
  }

  play(frame: ArrayBuffer): void {
    this.node.port.postMessage(frame, [frame]);
  }

  close(): void {
    this.node.disconnect();
    void this.context.close();
  }
}
