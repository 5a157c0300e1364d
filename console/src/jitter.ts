// Sound as it comes from the network, held for a moment so that it can be played without gaps.

/** Interleaved stereo samples, 16 bits. Plays once `ahead` frames wait; gives up the oldest when more than `most` do. */
export class JitterBuffer {
  #frames: Int16Array[] = [];
  #at = 0; // next sample in the first frame
  #waiting = 0; // sample pairs
  #playing = false;

  /** Both in sample pairs. */
  constructor(
    readonly ahead: number,
    readonly most: number,
  ) {}

  push(frame: Int16Array): void {
    this.#frames.push(frame);
    this.#waiting += frame.length / 2;
    while (this.#waiting > this.most && this.#frames.length > 1) {
      const oldest = this.#frames.shift()!;
      this.#waiting -= (oldest.length - this.#at) / 2;
      this.#at = 0;
    }
  }

  /** Fill both channels (−1…1) as far as there is sound, and with silence behind it. */
  pull(left: Float32Array, right: Float32Array): void {
    this.#playing ||= this.#waiting >= this.ahead;
    for (let index = 0; index < left.length; index++) {
      const frame = this.#playing ? this.#frames[0] : undefined;
      if (!frame) {
        this.#playing = false;
        left[index] = right[index] = 0;
        continue;
      }
      left[index] = frame[this.#at]! / 32768;
      right[index] = frame[this.#at + 1]! / 32768;
      this.#at += 2;
      this.#waiting -= 1;
      if (this.#at >= frame.length) {
        this.#frames.shift();
        this.#at = 0;
      }
    }
  }
}
