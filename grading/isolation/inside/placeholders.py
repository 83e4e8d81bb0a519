"""Stand-ins for packages that are not there when graded.

Right code may import matplotlib and not use it. So the import succeeds, and using what
was imported raises an exception that says so.

But: all in `bnlib.check` can be called and does nothing: the grader has its own.
"""

import importlib.abc
import importlib.machinery
import sys
import types


class Placeholder:
    """Something of a package that is not there."""

    def __init__(self, name):
        self.__dict__["_name"] = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._name}.{name}")

    def __call__(self, *args, **kwargs):
        package = self._name.partition(".")[0]
        raise ModuleNotFoundError(
            f"{self._name} cannot be used here: {package} is not installed where "
            "notebooks are graded"
        )


class Nothing:
    """Something that can be called and has attributes, and does nothing."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __call__(self, *args, **kwargs):
        return None


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the packages of these names where nothing else does."""

    def __init__(self, names):
        self._names = frozenset(names)

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in self._names:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []

        def get(name):
            if name.startswith("__"):
                raise AttributeError(name)
            full = f"{spec.name}.{name}"
            checks = full.startswith("bnlib.check.")
            return sys.modules.get(full, Nothing() if checks else Placeholder(full))

        module.__getattr__ = get
        return module

    def exec_module(self, module):
        """Nothing to do."""
