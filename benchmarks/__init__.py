"""How fast gpucache is, beside its peers: one question a file, all contestants in one run on one machine.

`python -m benchmarks` answers every question, `python -m benchmarks hit import` those two. Times differ between
machines and hours, so what counts is the ratio within a run. What was measured is in results/, with the machine it was
measured on; RESULTS.md is made from that.
"""
