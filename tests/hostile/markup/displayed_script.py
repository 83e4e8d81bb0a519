# Displays HTML, SVG, JavaScript and Markdown with scripts in them.
# expect: 20
# rest: right

# %% notes
try:
    from IPython.display import HTML, SVG, Javascript, Markdown

    display(HTML("<script>alert('hostile')</script>"))
    display(Javascript("alert('hostile')"))
    display(SVG("<svg onload=alert('hostile') xmlns='http://www.w3.org/2000/svg'/>"))
    display(Markdown("<img src=x onerror=alert('hostile')>"))
except ImportError as error:
    print(error)


class Rich:
    def _repr_html_(self):
        return "<script>alert('hostile')</script>"

    def _repr_mimebundle_(self, **options):
        return {
            "text/html": "<iframe srcdoc=\"<script>alert('hostile')</script>\">",
            "text/latex": "\\href{javascript:alert('hostile')}{x}",
            "application/javascript": "alert('hostile')",
            "image/svg+xml": "<svg onload=alert('hostile')>",
            "image/png": "\"><script>alert('hostile')</script>",
        }


try:
    display(Rich())
except NameError as error:
    print(error)
Rich()
