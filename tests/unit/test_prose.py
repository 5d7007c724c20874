"""The prose of the project is plain, without riddles, overlong sentences and many colons.

``python tests/unit/test_prose.py`` prints the figures. With a folder as argument, it also prints its findings there.
"""

# ruff: noqa: T201

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sentinelhub_provider"
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md"))]
)
MODULES = sorted([*PACKAGE.rglob("*.py"), *ROOT.glob("example_dags/**/*.py")])
FOLDERS = sorted({path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")})

LONGEST = 35  # words
MOST_COLONS = 0.15  # of the sentences of a page or folder

RULES = {
    "'Who ...' as a subject: say 'you', or name the actor": r"^Who(ever)? ",
    "'What ...' as a subject: name the thing": r"^What ",
    "'Those ...' as a subject: repeat the noun": r"^Those ",
    "'That ...' opens a clause: turn the sentence round": r"^That (an?|the|no|it|there|X) ",
    "'is none': say 'is not a ...' or 'is missing'": r"(?<!there )\b(is|are|was|were) none\b",
    "'is no ...': say 'is not a ...'": r"(?<![Tt]here )\b(is|are|was|were) no (?!longer|more)",
    "'gives it as': say 'passes it as'": r"\bgives? it as\b",
    "'has a thing made': use the verb": r"\b(has|have|had) (an?|the|its|their|all|each|every|it|them) (\w+ ){0,2}"
    r"(made|drawn|read|written|sent|analysed|checked|done|asked|rendered|told|fetched|counted)\b(?! by)",
    "a negation of a negation": r"\b(not|never|nobody|nothing)( (?!and\b|or\b)\w+){0,2} "
    r"(without|not|no|nothing|none)\b(?! only)",
}

_COLON = re.compile(r"[:;](?=\s)")
_SUBJECT = re.compile(r"(^|[,;:] |\band |\bbut )(who|what|those|which)\b(?! to\b)", re.IGNORECASE)
_INLINE_CODE = re.compile(r"``[^`]*``|`[^`]*`(?:_|__)?")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ROLE = re.compile(r":\w+(?::\w+)?:(?=`)")
_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<! vs)(?<!Fig)[.!?][)*_'\"]*\s+(?=[\"'(*_]*[A-Z0-9`X])")
_DEFINITION = re.compile(r"^([-*] |\d+\. )?((\*\*.+?\*\*|`[^`]+`|\[.*?\]\(.*?\))[^.:]{0,30}:|\*\*[^*]+:\*\*) ")


def plain(text: str) -> str:
    """Return a paragraph without its markup; ``X`` stands for code."""
    text = _INLINE_CODE.sub("X", _ROLE.sub("", text))
    text = re.sub(r"\*\*|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)", "", " ".join(_LINK.sub(r"\1", text).split()))
    return re.sub(r"https?://\S+", "X", text)


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph. The colon of a definition and the one before a list or code do not count."""
    text = plain(_DEFINITION.sub("", paragraph.strip()))
    text = re.sub(r"^([-*] |\d+\. )", "", text).rstrip(":")
    return [part.strip() for part in _END.split(text) if len(part.split()) > 2]


def of_page(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of paragraphs and list items, without code, tables, headings and directives."""
    fence, start, lines = "", 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        bare = line.strip()
        mark = re.match(r"(`{3,}|:{3,}|~{3,})", bare)
        if mark and (not fence or bare.startswith(fence)):
            fence = "" if fence else mark[1] if mark[1][0] != ":" else ""
            bare = ""
        elif fence or bare.startswith(("|", "#", "<", "(", "---", ":")) or (not lines and line.startswith("    ")):
            bare = ""
        if not bare or re.match(r"([-*] |\d+\. )", bare):
            if lines:
                yield start, " ".join(lines)
            lines = []
        if bare:
            start = start if lines else number
            lines.append(bare)


def of_docstring(text: str) -> Iterator[str]:
    """Yield the paragraphs and fields of a docstring, without examples and literal blocks."""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?::\w+|[-*] |\d+\. ))", text):
        if not re.match(r"\s*(>>>|\.\. |\||::)", block) and "    " not in block.strip().replace("\n    ", "\n"):
            yield re.sub(r"^\s*:[^:]+: ?", "", block)


def literal(node: ast.expr) -> str:
    """Return the text of a string literal, with ``X`` for its values."""
    match node:
        case ast.Constant(value=str() as value):
            return re.sub(r"%[-\d.,]*[sdrfg]", "X", value)
        case ast.JoinedStr(values=parts):
            return "".join(literal(part) or "X" for part in parts)
    return ""


def of_module(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of docstrings, messages and comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if docstring := ast.get_docstring(node):
                yield from ((node.body[0].lineno, part) for part in of_docstring(docstring))
        elif isinstance(node, ast.expr):
            message = literal(node)
            # A text of five words that starts like a sentence is an error, a log line or a help text.
            if re.match(r"[A-Z][a-z' ]", message) and message.count(" ") > 3 and "\n" not in message:
                yield node.lineno, message
    comment, start, last = list[str](), 0, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        words, trails = token.string.lstrip("#: "), bool(token.line[: token.start[1]].strip())
        if token.type != tokenize.COMMENT or words.startswith(("noqa", "type:", "pragma", "[START", "[END", "!")):
            continue
        if comment and (trails or token.start[0] != last + 1):
            yield start, " ".join(comment)
            comment = []
        start = start if comment else token.start[0]
        comment.append(words)
        last = -1 if trails else token.start[0]
    yield start, " ".join(comment)


def prose(path: Path) -> list[tuple[int, str]]:
    """Return line number and text of each sentence of a page or a module."""
    found = (of_page if path.suffix == ".md" else of_module)(path.read_text(encoding="utf-8"))
    return list(dict.fromkeys((line, sentence) for line, part in found for sentence in sentences(part)))


def name(path: Path) -> str:
    """Return a file's path within the project."""
    return path.relative_to(ROOT).as_posix()


def faults(sentence: str) -> list[str]:
    """Return the rules that a sentence breaks."""
    broken = [name for name, pattern in RULES.items() if not sentence.endswith("?") and re.search(pattern, sentence)]
    count = len(sentence.split())
    return [*broken, f"{count} words, of {LONGEST} at most"] if count > LONGEST else broken


def report(paths: list[Path]) -> str:
    """Return the figures of some files as a line."""
    every = [sentence for path in paths for _, sentence in prose(path)]
    count = max(len(every), 1)
    words = sum(len(sentence.split()) for sentence in every) / count
    colons, riddles = (sum(bool(one.search(text)) for text in every) / count for one in (_COLON, _SUBJECT))
    shares = f"{colons:4.0%} with a colon, {riddles:4.0%} with who/what/those"
    return f"{len(every):5} sentences of {words:4.1f} words, {shares}, {sum(map(bool, map(faults, every))):3} faults"


@pytest.mark.parametrize("path", [*PAGES, *MODULES], ids=name)
def test_prose_is_plain(path: Path) -> None:
    """Each sentence keeps the rules; a page of the documentation joins few sentences by colons."""
    found = prose(path)
    wrong = [f"{path.name}:{line}: {rule}\n    {text}" for line, text in found for rule in faults(text)]
    assert not wrong, "\n".join(wrong)
    joined = [f"{path.name}:{line}: {text}" for line, text in found if _COLON.search(text)]
    if path.suffix == ".md":
        assert len(joined) <= max(2, MOST_COLONS * len(found)), f"of {len(found)} sentences:\n" + "\n".join(joined)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_joins_few_sentences(folder: str) -> None:
    """The share of sentences with a colon or semicolon is as small as in the documentation."""
    every = [text for path in MODULES if path.is_relative_to(PACKAGE / folder) for _, text in prose(path)]
    assert sum(bool(_COLON.search(text)) for text in every) <= MOST_COLONS * len(every)


@pytest.mark.parametrize(
    "sentence",
    [
        "Who has the API's own JSON gives it as X.",
        "An answer that is none fails the task.",
        "What would strike every feature ends the try.",
        "That an output can be written is known before the request.",
        "It has a picture made of each field.",
        "An answer that is lost is no failure.",
        "A budget never ends without a word.",
        "word " * 36,
    ],
)
def test_riddles_are_found(sentence: str) -> None:
    """The rules find the sentences that they were made for."""
    assert faults(sentence.strip())


if __name__ == "__main__":
    print("docs     ", report(PAGES))
    print("examples ", report([path for path in MODULES if PACKAGE not in path.parents]))
    for folder in sorted({path.relative_to(PACKAGE).parts[0] for path in MODULES if PACKAGE in path.parents}):
        print(f"{folder:9}", report([path for path in MODULES if path.is_relative_to(PACKAGE / folder)]))
    for path in [path for path in [*PAGES, *MODULES] if sys.argv[1:] and name(path).startswith(sys.argv[1])]:
        for number, sentence in prose(path):
            for rule in faults(sentence) + ["colon"] * bool(_COLON.search(sentence)):
                print(f"{name(path)}:{number}: {rule}\n    {sentence}")
