"""What listening with Azure Speech costs: `python -m bench.azure`, half a minute.

Through Microsoft's SDK, as the product does it, and beside it a bare client of the same protocol on aiohttp. Neither
Asterisk nor the engine takes part: one process feeds recognisers in real time, another is the service.
"""
