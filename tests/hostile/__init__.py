"""Submissions that try to fool, break or slow down the grader, or are just clumsy.

`corpus` reads the text files beside it, one a submission; `structure` changes
notebooks, `files` hands in what is no notebook at all. Each says what it must get.
"""
