// Plays what a call sounds like, on the browser's thread for audio. Frames come in as messages; levels go back.
import { JitterBuffer } from "./jitter.ts";

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare const sampleRate: number;
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;

const AHEAD = 0.12; // seconds held back, for frames that come late
const MOST = 0.8; // seconds after which a listener rather misses something than hears it late
const TELL_EVERY = 0.1; // seconds between two levels

class Speaker extends AudioWorkletProcessor {
  #buffer = new JitterBuffer(AHEAD * sampleRate, MOST * sampleRate);
  #loudest: [number, number] = [0, 0];
  #since = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => this.#buffer.push(new Int16Array(data));
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const [left, right] = outputs[0] as [Float32Array, Float32Array];
    this.#buffer.pull(left, right);
    this.#loudest = [Math.max(this.#loudest[0], peak(left)), Math.max(this.#loudest[1], peak(right))];
    this.#since += left.length;
    if (this.#since >= TELL_EVERY * sampleRate) {
      this.port.postMessage(this.#loudest);
      this.#loudest = [0, 0];
      this.#since = 0;
    }
    return true;
  }
}

function peak(samples: Float32Array): number {
  let loudest = 0;
  for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
  return loudest;
}

registerProcessor("speaker", Speaker);
