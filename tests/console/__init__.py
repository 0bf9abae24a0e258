"""The console over real HTTP, as a browser asks for it."""
