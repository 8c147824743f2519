"""What all walks of one process share: the project, the texts, and the forms that were made from them."""

from __future__ import annotations

import builtins
import sys
import types

from gpucache.fingerprint.code_form import form_of_code
from gpucache.fingerprint.normal_form import Form, form_of
from gpucache.fingerprint.project import Project
from gpucache.fingerprint.references import function_label
from gpucache.fingerprint.source import Sources


class Context:
    """The project, the texts and the forms. Used under its owner's lock.

    Attributes:
        project: What counts as the project's.
        sources: The texts as they were first read.
        strict: Refuse code that can reach anything.
        alone: Don't follow other functions and classes.
    """

    def __init__(self, project: Project, *, strict: bool, alone: bool) -> None:
        self.project = project
        self.sources = Sources()
        self.strict = strict
        self.alone = alone
        self._forms: dict[int, tuple[types.CodeType, Form, str]] = {}
        self._seen_modules: set[str] = set()
        self._modules_count = 0

    def keep_texts(self) -> None:
        """Keep the texts of the project's modules as they are now: an edit of later can't take them away."""
        if len(sys.modules) == self._modules_count:
            return
        modules = [(name, module) for name, module in list(sys.modules.items()) if name not in self._seen_modules]
        self._seen_modules.update(name for name, _ in modules)
        self._modules_count = len(sys.modules)
        for name, module in modules:
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.endswith(".py") and self.project.has_module(name):
                self.sources.keep(file, vars(module))

    def learn(self, file: str, text: str) -> None:
        """Keep a text of another process; functions that counted by their bytecode are looked at again."""
        self.sources.learn(file, text)
        self._forms.clear()

    def form(self, function: types.FunctionType) -> tuple[Form, str]:
        """A function's form, and a note if it is not that of its source."""
        code = function.__code__
        known = self._forms.get(id(code))
        if known is None or known[0] is not code:
            known = self._forms[id(code)] = (code, *self._form(function))
        return known[1:]

    def _form(self, function: types.FunctionType) -> tuple[Form, str]:
        found = self.sources.find(function.__code__, function.__globals__)
        if found is not None:
            try:
                return form_of(found.node), ""
            except RecursionError:  # an expression thousands of operators deep
                pass
        why = "counts by its bytecode: its source is not at hand, or not what was imported"
        return form_of_code(function.__code__), f"{function_label(function)} {why}"

    def is_project_class(self, cls: type) -> bool:
        """Whether a class is defined in the project; one that exec() made in a namespace without a name is, too."""
        module = cls.__module__
        if module == "builtins":
            return "__module__" in vars(cls) and getattr(builtins, cls.__name__, None) is not cls and _has_python(cls)
        return self.project.has_module(module) or (module not in sys.modules and self.project.has_code_of(module))

    def is_project_function(self, function: types.FunctionType) -> bool:
        """Whether a function's code is the project's; generated code is its module's, and ours if it has none."""
        file, module = function.__code__.co_filename, function.__globals__.get("__name__")
        if file.startswith("/"):
            is_ours = self.project.has_file(file) or self.project.follows(str(module))
            return is_ours and str(module).partition(".")[0] != "gpucache"
        return not _is_generated(function, module) and self.project.has_code_of(module)


def _is_generated(function: types.FunctionType, module: object) -> bool:
    """Whether a library wrote this function's text: what it wrote follows from what it was given, which counts."""
    return str(module).startswith("namedtuple_") or function.__code__.co_filename.startswith(_GENERATED)


_GENERATED = ("<attrs generated", "<decorator-gen", "<__array_function__", "<frozen", "<makefun-gen")


def _has_python(cls: type) -> bool:
    return any(isinstance(value, types.FunctionType | staticmethod | classmethod) for value in vars(cls).values())
