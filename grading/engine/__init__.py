"""Grade a class: many submissions at once, stopped and continued at any point.

`commands` are the bodies of the command line's. `supervise` decides what is to do for
the `students` and does it; the `engines` `local` and `cluster` run jobs, each in a
worker process (`shield` keeps Ctrl-C from them, `scratch` has their temporary files);
`outcome` is what becomes of a job. `saving` writes it, in this process alone;
`patience` waits for a busy gradebook, `errors` says what disk or database refused.
`progress` and `summary` tell the instructor; `feedback` writes the students' pages.

A job is the dict that `grading.job.make` returns. Both engines are a function
``run(jobs, work, …)`` that yields a `Record` for every job, in the order of their ends.
"""
