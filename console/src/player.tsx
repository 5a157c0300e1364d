// The recording of a past call, played in step with its transcript. wavesurfer.js comes only when there is one.
import { useEffect, useRef, useState } from "preact/hooks";
import type WaveSurfer from "wavesurfer.js";
import type { RecordingHead } from "./contract.ts";
import { clock } from "./format.ts";
import { Icon } from "./icons.tsx";

const LARGEST = 60_000_000; // bytes up to which the wave is drawn, for which a browser must fetch all of it first

export interface Player {
  seek(at: number): void;
}

interface Props {
  recordings: RecordingHead[];
  /** Where it is, in ms since 1970; null when it stands still. */
  onMoment: (at: number | null) => void;
  /** It can be played now, or (null) no more. */
  onReady: (player: Player | null) => void;
}

export function Recordings({ recordings, onMoment, onReady }: Props) {
  const [number, setNumber] = useState(0);
  const recording = recordings[number] ?? recordings[0]!;
  return (
    <section class="card" aria-label="Recording">
      <header>
        <h2>Recording</h2>
        {recordings.length > 1 && (
          <select aria-label="Recording that is played" value={number} onChange={(event) => setNumber(Number(event.currentTarget.value))}>
            {recordings.map((each, index) => (
              <option value={index}>
                {index + 1} of {recordings.length}, {clock(each.ms)}
              </option>
            ))}
          </select>
        )}
        <a href={recording.url} download>
          Save
        </a>
      </header>
      <Wave key={recording.url} recording={recording} onMoment={onMoment} onReady={onReady} />
    </section>
  );
}

function Wave({ recording, onMoment, onReady }: Omit<Props, "recordings"> & { recording: RecordingHead }) {
  const box = useRef<HTMLDivElement>(null);
  const wave = useRef<WaveSurfer | null>(null);
  const [at, setAt] = useState(0);
  const [plays, setPlays] = useState(false);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let left = false;
    const began = Date.parse(recording.started);
    drawn(box.current!, recording).then((made) => {
      if (left) return made.destroy();
      wave.current = made;
      made.on("timeupdate", (seconds) => (setAt(seconds * 1000), onMoment(began + seconds * 1000)));
      made.on("play", () => setPlays(true));
      made.on("pause", () => setPlays(false));
      made.on("error", (error) => setProblem(error.message));
      const seek = (moment: number) => {
        made.setTime(Math.max(0, (moment - began) / 1000));
        void made.play();
      };
      made.on("ready", () => onReady({ seek }));
    }, (error: Error) => setProblem(error.message));
    return () => {
      left = true;
      onReady(null);
      onMoment(null);
      wave.current?.destroy();
    };
  }, [recording.url]);
  return (
    <div class="wave">
      <div ref={box} data-wave="" />
      <div class="controls">
        <button type="button" class="primary" onClick={() => void wave.current?.playPause()}>
          <Icon name={plays ? "pause" : "play"} /> {plays ? "Pause" : "Play"}
        </button>
        <span class="number">
          {clock(at)} <span class="muted">of {clock(recording.ms)}</span>
        </span>
        <label class="hidden" for="moment">
          Moment of the recording
        </label>
        <input
          id="moment"
          type="range"
          min={0}
          max={Math.max(1, recording.ms)}
          step={100}
          value={at}
          aria-valuetext={clock(at)}
          onInput={(event) => wave.current?.setTime(Number(event.currentTarget.value) / 1000)}
        />
        <span class="sides">
          <span>Caller</span>
          <span>Other side</span>
        </span>
      </div>
      <div role="alert">{problem && <p class="notice bad">The recording cannot be played: {problem}</p>}</div>
    </div>
  );
}

async function drawn(container: HTMLElement, recording: RecordingHead): Promise<WaveSurfer> {
  const { default: Surfer } = await import("wavesurfer.js");
  const side = { height: 44, cursorColor: painted(container, "accent"), cursorWidth: 2 };
  const [caller, other] = [painted(container, "caller"), painted(container, "ai")];
  return Surfer.create({
    container,
    url: recording.url,
    cspNonce: document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "",
    normalize: true,
    barWidth: 2,
    barGap: 1,
    ...side,
    splitChannels: [
      { ...side, waveColor: caller, progressColor: caller },
      { ...side, waveColor: other, progressColor: other },
    ],
    ...(recording.bytes > LARGEST && { peaks: [[0], [0]], duration: recording.ms / 1000 }),
  });
}

/** A colour of the sheet as the canvas takes it, in the theme of this moment. */
function painted(inside: HTMLElement, name: string): string {
  const probe = inside.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
