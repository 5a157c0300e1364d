"""The cascades in `python -m bench.voices`: whole conversations, with who hears, who thinks and who speaks in the
vendor's process, and every delay taken from stamps that travel with the audio and the words.
"""
