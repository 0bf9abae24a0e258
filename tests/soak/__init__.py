"""Hours under load with a fault every few seconds; then a judge asks whether all money is right.

`python -m tests.soak --hours 1` prints what was run and what came of it. Read `running.py` first.
"""
