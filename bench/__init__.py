"""The benchmark: real calls through a real Asterisk, measured beside a floor. `python -m bench` or `make bench`.

Four kinds of processes, so that each has a CPU clock of its own: the engine (or, in its place, the floor: a bare
program that only moves the same frames), the provider, the phones, and Asterisk. See docs/benchmarks.md.
"""
