# Reads everybody's grades out of the gradebook.
# expect: 20
# rest: right

# %% notes
try:
    import sqlite3

    book = sqlite3.connect("file:{gradebook}?mode=ro", uri=True)
    print(book.execute("select * from student").fetchall(), "hostile-gradebook")
    print(book.execute("select * from grade").fetchall(), "hostile-gradebook")
except Exception as error:
    print(error)
