"""What the gate and the proxy cost. `make bench`; every figure is for this machine, this minute.

Ratios in one run are what can be compared; absolute times on a shared machine cannot.
"""
