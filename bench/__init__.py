"""What the proxy costs. `make bench`; every figure is for this machine, this minute.

Ratios in one run are what can be compared; absolute times on a shared machine cannot.

    __main__       the command line: which rows, how long, where to
    rows/          the measurements, each a module: who is started, what is asked, what is found
    contestants    nginx, HAProxy, Caddy, naive: started as configs say; subject: the proxy
    load           wrk, which asks; readers, source and sink: streams and large bodies
    samples        rounds, medians, ratios; findings: targets and verdicts; table: how it is told
    machine        cores, CPU time, memory; processes: started, pinned, ended; effort: how long
    instructions   what CI compares: Python's steps per request, which counted counts
    soak, flame    `make soak`, `make profile`; frames: what streams say
"""
