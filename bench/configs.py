"""What the other proxies are told: one worker, connections to upstream kept, no access log.

Everything else as their manuals have it for a plain reverse proxy. No limit on connections kept or
on requests on one of them comes into play, for any of them.
"""

import json
from pathlib import Path

CALL = json.dumps(
    {
        "request_id": "8f0c0f4e-3d9a-9f6e-8d3e-0f2f4c1f7b11",
        "output": {"text": "0123456789" * 4, "finish_reason": "stop"},
        "usage": {"input_tokens": 120, "output_tokens": 40, "total_tokens": 160},
    }
)
"""Upstream's answer to a call."""

TASK = json.dumps(
    {
        "request_id": "8f0c0f4e-3d9a-9f6e-8d3e-0f2f4c1f7b11",
        "output": {"task_id": "TASK", "task_status": "STATUS"},
    }
)
"""Upstream's answer about a task."""

NGINX = """
daemon off; worker_processes 1;
pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_max_body_size 0; client_body_buffer_size 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {rest}
}}
"""

NGINX_RELAY = """
  upstream up {{ server {upstream}; keepalive 4096; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_read_timeout 1h; {more}
    }}
  }}
"""

UNBUFFERED = "proxy_buffering off; proxy_request_buffering off;"

# `$request_id` is another one each time: no two tasks have the same id.
NGINX_UPSTREAM = """
  server {{
    listen 127.0.0.1:{port} backlog=4096; default_type application/json;
    location / {{ return 200 '{call}'; }}
    location ~ -synthesis$ {{ return 200 '{submitted}'; }}
    location ~ /tasks/(?<task>[^/]+)$ {{ return 200 '{running}'; }}
  }}
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  http-reuse always
  option http-no-delay
listen relay
  bind 127.0.0.1:{port} backlog 4096
  server up {upstream}
"""

CADDY = """
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy {upstream} {{
    transport http {{
      keepalive_idle_conns_per_host 4096
    }}
  }}
}}
"""


def nginx_relay(folder: Path, port: int, upstream: str, *, buffers: bool) -> str:
    """`proxy_pass`; without buffers what comes is passed on as it comes, either way."""
    more = "" if buffers else UNBUFFERED
    rest = NGINX_RELAY.format(port=port, upstream=upstream, more=more)
    return NGINX.format(folder=folder, rest=rest)


def nginx_upstream(folder: Path, port: int) -> str:
    """Fixed answers: to a call, to a submit (any id), to a poll (`RUNNING`)."""
    rest = NGINX_UPSTREAM.format(
        port=port,
        call=CALL,
        submitted=TASK.replace("TASK", "$request_id").replace("STATUS", "PENDING"),
        running=TASK.replace("TASK", "$task").replace("STATUS", "RUNNING"),
    )
    return NGINX.format(folder=folder, rest=rest)
