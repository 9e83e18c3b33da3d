"""dashscope-proxy: a DashScope-compatible reverse proxy.

The rooms, each named by its verb, and the way a request walks through them:

    core/       DECIDES    routes, policy, the gate, errors: values in, values out
    ports/      ASKS       what the edge wants of stores, upstream and telemetry
    stores/     REMEMBERS  tokens, task owners, submits with a key: Redis, SQLite, memory
    edge/       TALKS      the HTTP server and client, the one-page handler
    telemetry   TELLS      a line per request, counters
    config/     READS      environment and routes.yaml into frozen values
    sandbox/    PRETENDS   a simulated DashScope
    app/        ASSEMBLES  builds each thing once and owns lifetimes
    cli/        STARTS     argv to app

    client -> match -> grant -> own? -> gate -> account -> send -> claim -> relay -> record
              core     stores   stores  core    core       edge    stores   edge     telemetry

Imports point down: cli, app, then edge, stores, telemetry and config, which never import one
another, then ports, then core, which imports nothing of ours.
"""
