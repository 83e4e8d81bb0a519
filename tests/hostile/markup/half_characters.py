# Prints half a character, as a file's odd name may hold; the answers are right.
# expect: 20
# rest: right

# %% notes
print("a\ud800b", "\udcff")
"\udfff"
