"""TALKS. The HTTP server and client; with the sandbox, the only rooms that import aiohttp."""
