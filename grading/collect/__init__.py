"""Take uploaded notebooks into nbgrader's ``submitted/``, by the names of the files.

======================================================  ============================
``<student>/<anything>.ipynb``                          a folder for each student
``<student>_<anything>.ipynb``                          here an id without ``_``
``<name>_<number>_assignsubmission_file_/<any>.ipynb``  Moodle; the number is the id
``<name>_<number>_<number>_<anything>.ipynb``           Canvas; the first is the id
======================================================  ============================

A student id has 1 to 64 letters, digits and ``._@-``, and begins with a letter or
digit. Of a student's files the newest counts (of Canvas', the highest ``-1``, ``-2``);
its time is the time of submission. What was submitted before moves to
``submitted-old/<time>/``. Names that begin with a dot are not looked at.

`uploads` reads a folder or a zip file, `names` finds out whose a file is, `take` stores
it, `students` tells the gradebook; `command` is the command.
"""
