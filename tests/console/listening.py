"""What the browser plays, measured in the browser: an ear at its loudspeaker, which tells tones apart."""

from __future__ import annotations

from playwright.async_api import Page

# Whatever is connected to the loudspeaker also goes to two analysers, one a side: what is measured is what is played.
EAR = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) {
    const splitter = this.context.createChannelSplitter(2);
    connect.call(this, splitter);
    window.ear = [0, 1].map((side) => {
      const analyser = this.context.createAnalyser();
      analyser.fftSize = 2048;
      connect.call(splitter, analyser, side);
      return analyser;
    });
  }
  return connect.call(this, target, ...rest);
};
/** The share of a side's energy that is one tone (Goertzel); 0 where it is silent. */
window.share = (side, hertz) => {
  if (!window.ear) return 0;
  const samples = new Float32Array(2048);
  window.ear[side].getFloatTimeDomainData(samples);
  const turn = 2 * Math.cos((2 * Math.PI * hertz) / window.ear[side].context.sampleRate);
  let [before, last, energy] = [0, 0, 0];
  for (const sample of samples) {
    [before, last] = [last, sample + turn * last - before];
    energy += sample * sample;
  }
  if (energy < 0.05) return 0;
  return (last * last + before * before - turn * last * before) / ((energy * samples.length) / 2);
};
"""
LEFT, RIGHT = 0, 1
PURE = 0.8  # of a side's energy


async def plays(page: Page, side: int, hertz: float) -> None:
    """Until one side of what is played is this tone."""
    await page.wait_for_function(f"() => window.share({side}, {hertz}) > {PURE}")


async def silent(page: Page, side: int, hertz: float) -> None:
    """The tone is not on this side."""
    assert await page.evaluate(f"window.share({side}, {hertz})") < 0.1
