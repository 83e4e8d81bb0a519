"""Run a student's code in a sandbox and call it from outside.

`runtime` makes the Python that a student's code sees, `sandbox` the walls around it,
`session` talks to the process behind them (`inside/`), and `student` offers what it
holds as if it were here: functions to call, objects with attributes.

But: no notebooks and no points here (`grading.execute`).
"""
