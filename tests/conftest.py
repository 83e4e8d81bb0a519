from hypothesis import settings

# The same examples in every run: a red test stays red until the code changes.
settings.register_profile("course", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("course")
