"""dashscope-proxy: a DashScope-compatible reverse proxy."""
