"""Text as LaTeX prints it, whatever characters it has."""

from __future__ import annotations

import re

from bench_core.report.keys import encoded
from bench_core.text import visible_name

UNKNOWN = r"\segtrialchar"
"""The command for characters that pdfLaTeX's usual fonts do not have."""
DEFINE_UNKNOWN = (
    f"\\DeclareRobustCommand{{{UNKNOWN}}}[1]"
    r"{\ifdefined\Umathchar\char"
    '"#1'
    r"\relax\else{[}U+#1{]}\fi}"
)
"""Unicode engines print the character, pdfLaTeX its number: a name never stops a paper from compiling."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    # A bracket at the start of a row would be an argument of the row before.
    "[": "{[}",
    "]": "{]}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "…": r"\dots{}",
    "★": r"$\star$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "′": r"$'$",
    "\u00a0": "~",
    "\u00ad": r"\-",
}
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ",
    "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
_ESCAPES |= {char: f"$\\{name}$" for name, char in _GREEK.items()}
_FONTLESS = frozenset("ĦħĸĿŀŉŦŧſ")
"""Letters of Latin Extended-A that the T1 encoding lacks."""
_LIGATURES = "-',"
_CODE = re.compile("`([^`]+)`")


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is, on one line; it needs the T1 encoding (fontenc)."""
    found = ""
    for char in visible_name(" ".join(text.split("\n"))):
        piece = _piece(char)
        # Two of them in a row would be another character.
        if found and found[-1] == piece[0] and piece[0] in _LIGATURES:
            found += "{}"
        found += piece
    return found


def prose(text: str) -> str:
    """Return a sentence as `escape` does, with what stands between backticks in typewriter letters."""
    parts = _CODE.split(text)
    return "".join(
        rf"\texttt{{{escape(part)}}}" if odd % 2 else escape(part) for odd, part in enumerate(parts)
    )


def breakable(text: str) -> str:
    """Return text as `escape` does, where long words may end a line at marks or after eight characters."""
    words = []
    for word in text.split(" "):
        pieces = [escape(piece) for piece in broken(word)]
        words.append(r"\allowbreak{}".join(pieces))
    return " ".join(words)


def broken(word: str) -> list[str]:
    """Return the pieces between which a word may be broken: itself, if it is short."""
    if len(word) <= LONGEST_WORD:
        return [word]
    return re.findall(r"[^-/_.:,]{1,8}[-/_.:,]*|[-/_.:,]+", word)


LONGEST_WORD = 12


def label(name: str) -> str:
    """Return a table's \\label: its name, encoded as in keys of numbers, so that no two are alike."""
    return f"tab:{encoded(name)}"


def is_known(char: str) -> bool:
    """Say whether pdfLaTeX prints a character with its usual fonts."""
    return char in _ESCAPES or " " <= char <= "~" or ("¡" <= char <= "ſ" and char not in _FONTLESS)


def _piece(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if is_known(char) else f"{UNKNOWN}{{{ord(char):04X}}}"
