"""The engine's side of the supervisors' console: an API, live events, sound, and who may have them. See docs/api.md."""
