"""What is read from, and changed in, the text of a kernel before it is compiled.

Only the declarations of `__shared__` variables are changed: they become references to
memory that is watched. No line is added or removed, so that the compiler's line numbers
are the learner's.

But: no C++ parser here. A `__shared__` hidden in a macro is not found.
"""

import re

from bnlib.emulator._errors import EmulatorError

NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.S
)
INCLUDE = re.compile(
    r"^[ \t]*#[ \t]*include[ \t]*[<\"](?:cuda\w*|math_constants|vector_types|"
    r"device_launch_parameters|curand\w*)(?:\.h|\.hpp)?[>\"]",
    re.M,
)
SHARED = re.compile(r"(?:\b(?:extern|static|volatile)\s+)*\b__shared__\b")
ALIGN = re.compile(r"\b(?:__align__|alignas)\s*\([^()]*(?:\([^()]*\))?[^()]*\)")
DECLARATOR = re.compile(
    r"(?P<stars>[\s*]*)(?P<name>[A-Za-z_]\w*)\s*(?P<dims>\[.*\])?\s*$", re.S
)
KERNEL = re.compile(r"\b__global__\b([^;{}]*?)\b(\w+)\s*\(")
OPEN, CLOSE = "([{<", ")]}>"


def mask(source):
    """Return the text with comments and strings blanked, character for character."""
    return NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)


def check(source):
    """Say what no emulator can take, before a compiler says it in its own words."""
    text = mask(source)
    for word, what in (
        ("<<<", "a launch `<<<...>>>`: pass the kernels only, and launch from Python"),
        ("cooperative_groups", "cooperative groups"),
        ("nvcuda::wmma", "tensor cores (wmma)"),
    ):
        if word in text:
            line = text[: text.index(word)].count("\n") + 1
            raise EmulatorError(
                f"Line {line} of the source has {what}; the emulator runs on a CPU and "
                "does not know that."
            )
    # A compiler would only find it beyond the end of the learner's text.
    extra = text.count("{") - text.count("}")
    if extra and "#if" not in text:
        brace, number = "{" if extra > 0 else "}", abs(extra)
        raise EmulatorError(
            f"The source does not compile: it has {'one' if number == 1 else number} "
            f"brace{'' if number == 1 else 's'} {brace} too many."
        )
    found = re.search(r"\basm\b", text)
    if found:
        line = text[: found.start()].count("\n") + 1
        raise EmulatorError(f"Line {line} has inline PTX (asm), which no CPU can run.")


def kernels(source):
    """Return the names of the parameters of each `__global__` function, by its name."""
    text, found = mask(source), {}
    for match in KERNEL.finditer(
        re.sub(r"__launch_bounds__\s*\([^()]*\)", lambda m: " " * len(m[0]), text)
    ):
        end = _closing(text, match.end() - 1)
        parameters = _split(text[match.end() : end])
        names = [re.findall(r"\w+", p.partition("=")[0]) for p in parameters]
        found[match[2]] = [n[-1] if n else "?" for n in names]
    return found


def rewrite(source):
    """Return the text to compile: shared variables watched, CUDA's headers left out."""
    source = INCLUDE.sub(lambda m: "// " + m[0], source)
    text = mask(source)
    pieces, done = [], 0
    for match in SHARED.finditer(text):
        line = text[: match.start()].count("\n") + 1
        end = _semicolon(text, match.end())
        declaration = text[match.end() : end]
        code = _shared(declaration, "extern" in match[0], "volatile" in match[0], line)
        code += "\n" * text.count("\n", match.start(), end)
        pieces += [source[done : match.start()], code]
        done = end + 1
    return "".join([*pieces, source[done:]])


def _shared(declaration, dynamic, volatile, line):
    """Return C++ for the declaration of shared variables, without `__shared__`."""
    declaration = " ".join(ALIGN.sub(" ", declaration).split())
    if declaration.startswith("extern "):
        dynamic, declaration = True, declaration.removeprefix("extern ")
    first, *others = _split(declaration)
    if "=" in re.sub(r"\[[^\]]*\]|\{.*\}", "", declaration):
        raise EmulatorError(
            f"Line {line} gives a __shared__ variable an initial value; CUDA does not "
            "allow that. Let one thread write it, then call __syncthreads()."
        )
    found = DECLARATOR.search(first)
    if not found or not first[: found.start()].strip():
        raise EmulatorError(
            f"Line {line}: cannot read the declaration `__shared__ {declaration}`."
        )
    kind = ("volatile " if volatile else "") + first[: found.start()]
    code = []
    for declarator in (first[found.start() :], *others):
        part = DECLARATOR.fullmatch(declarator)
        if not part:
            raise EmulatorError(
                f"Line {line}: cannot read the declaration `__shared__ {declaration}`."
            )
        name, dims = part["name"], part["dims"] or ""
        whole = kind + " " + part["stars"].strip()
        if dynamic:
            rest = dims.partition("]")[2]
            code.append(
                f"using {name}__t = {whole} {rest}; "
                f'{name}__t* const {name} = emu::dynamic<{name}__t>("{name}");'
            )
        else:
            code.append(
                f"using {name}__t = {whole} {dims}; auto& {name} = "
                f'emu::shared<{name}__t>([] {{}}, "{name}", {line});'
            )
    return " ".join(code)


def _closing(text, start):
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return len(text)


def _semicolon(text, start):
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if text[i] == ";" and depth == 0:
            return i
    return len(text)


def _split(text):
    """Return the parts between commas outside of brackets; none for an empty text."""
    parts, depth, start, square = [], 0, 0, 0
    for i, c in enumerate(text):
        square += (c == "[") - (c == "]")
        if c in "<>" and square:
            continue  # a comparison
        depth += (c in OPEN) - (c in CLOSE)
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [p for p in parts if p.strip()]
