# Prints a script, and escapes for the terminal.
# expect: 20
# rest: right

# %% notes
print("<script>alert('hostile')</script>")
print("</pre></div><script src=//hostile.example/x.js></script>")
print("\x1b]8;;javascript:alert('hostile')\x07click\x1b]8;;\x07 \x1b[2J\x1b]0;hostile\x07")
print("[link=https://hostile.example]rich[/link] [red]markup[/nothing]")
