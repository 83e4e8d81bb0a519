"""What the instructor sees of a class: tables on the terminal, and a page.

`results` joins the records with the gradebook, `messages` makes text of students safe
and sorts it, `statistics` sums up, `figures`, `page` and `terminal` show it.
"""
