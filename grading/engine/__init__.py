"""Grade a class: many submissions at once, stopped and continued at any point.

`supervise` decides what is to do and does it; `local` and `cluster` run jobs, each in a
worker process; `saving` writes what came out, in this process alone; `patience` waits
for a busy gradebook; `progress` and `summary` tell the instructor; `feedback` writes
the students' pages; `commands` are the bodies of the command line's.

A job is the dict that `grading.job.make` returns. Both engines are a function
``run(jobs, work, …)`` that yields a `Record` for every job, in the order of their ends.
"""
