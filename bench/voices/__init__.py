"""What each voice costs beside the bare floor of its protocol: `python -m bench.voices`, eight minutes.

Neither Asterisk nor the engine takes part: one process holds fifty sessions of a voice and feeds them in real time,
another is the vendor and only moves frames, a third takes the voice's place for every second measurement.
"""
