# Writes a script into a comment, a docstring and a name.
# expect: 20
# rest: right

# %% notes
# </pre></div><script>alert('hostile')</script>
"""</textarea><img src=x onerror=alert('hostile')>"""
scripts = "<svg/onload=alert('hostile')>"
