"""REMEMBERS. Tokens and task owners: in Redis, in one SQLite file, or in memory."""
