"""What an evaluation found, and how it is written down: as text, JSON, CSV, Markdown and one page of HTML with its pictures in it."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from unweave.errors import UserError
from unweave.metrics.intervals import Estimate
from unweave.metrics.table import find, ordered

Figures = dict[str, Estimate]


@dataclass
class Report:
    """model: its name. data: what it was measured on. measures: figure by name.

    baselines: the same figures of other ways to do the job, by their names. cost: what the model takes, by name (with the unit in the
    name). notes: sentences: how the baselines work, and what could not be measured. sheets: pictures to look at, by caption.
    """

    model: str
    data: str
    measures: Figures
    baselines: dict[str, Figures] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sheets: dict[str, Image.Image] = field(default_factory=dict)

    # -- as words ----------------------------------------------------------------------------------------------------------------

    def table(self) -> list[list[str]]:
        """The figures as rows of words: name, the model's with its interval, each baseline's, which way is better, the judge's accuracy."""
        rows = [["measure", self.model, *self.baselines, "better", "judge right"]]
        for name in self._names():
            own = self.measures.get(name)
            others = [rows_of.get(name) for rows_of in self.baselines.values()]
            judge = next((e.judge_accuracy for e in [own, *others] if e is not None and e.judge_accuracy is not None), None)
            rows.append([label(name), figure(own), *map(figure, others), find(name).better, "" if judge is None else f"{judge:.1%}"])
        return rows

    def _names(self) -> list[str]:
        return ordered([*self.measures, *(name for figures in self.baselines.values() for name in figures)])

    def _costs(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value:,.4g}" if value < 1000 else f"{name.replace('_', ' ')} {value:,.0f}"
                         for name, value in self.cost.items())  # fmt: skip

    def __str__(self) -> str:
        rows = self.table()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        title = f"{self.model} on {self.data}; 95 % intervals in brackets"
        return "\n".join([title, *lines, *([self._costs()] if self.cost else []), *self.notes])

    def markdown(self) -> str:
        """The table as Markdown, with what each figure says below it."""
        first, *rest = [[cell.replace("|", "\\|") for cell in row] for row in self.table()]
        lines = [f"# {self.model} on {self.data}\n", f"| {' | '.join(first)} |", "|" + "---|" * len(first)]
        lines += [f"| {' | '.join(row)} |" for row in rest]
        lines += ["", f"95 % bootstrap intervals in brackets. {self._costs().capitalize()}".rstrip(), ""]
        lines += [f"- {note}" for note in self.notes] + [f"- `{name}`: {find(name)}." for name in self._names()]
        return "\n".join(lines) + "\n"

    def json(self) -> dict[str, object]:
        """As plain values: {"model", "data", "measures": {name: {value, low, high, n, judge_accuracy?}}, "baselines", "cost", "notes"}."""
        plain = {row: {name: e.plain() for name, e in figures.items()} for row, figures in {"": self.measures, **self.baselines}.items()}
        own = plain.pop("")
        return {"model": self.model, "data": self.data, "measures": own, "baselines": plain, "cost": self.cost, "notes": self.notes}

    def csv(self) -> str:
        """One line a figure: row (the model or a baseline), measure, value, low, high, n, judge_accuracy."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["row", "measure", "value", "low", "high", "n", "judge_accuracy"])
        for row, figures in {self.model: self.measures, **self.baselines}.items():
            for name, e in figures.items():
                lines.writerow([row, name, e.value, e.low, e.high, e.n, "" if e.judge_accuracy is None else e.judge_accuracy])
        return text.getvalue()

    def page(self) -> str:
        """One HTML page that needs no other file."""
        head, *rest = [[html.escape(cell) for cell in row] for row in self.table()]
        body = "".join(f"<tr><td>{'<td>'.join(row)}" for row in rest)
        pictures = "".join(f"<h2>{html.escape(caption)}</h2>{embedded(sheet)}" for caption, sheet in self.sheets.items())
        title = html.escape(f"{self.model} on {self.data}")
        remarks = "".join(f"<li>{html.escape(note)}" for note in self.notes)
        meanings = "".join(f"<dt>{name}<dd>{html.escape(str(find(name)))}" for name in self._names())
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
            f"<div class=wide><table><tr><th>{'<th>'.join(head)}{body}</table></div>"
            f"<p>95 % bootstrap intervals in brackets. {html.escape(self._costs().capitalize())}<ul>{remarks}</ul>{pictures}"
            f"<h2>What the figures say</h2><dl>{meanings}</dl></html>\n"
        )

    # -- as files ----------------------------------------------------------------------------------------------------------------

    def write(self, out: str | Path) -> Path:
        """report.json, report.md, report.csv, index.html and sheets/*.png into the folder `out`; -> index.html.

        Raises UserError when the folder cannot be written.
        """
        files: dict[str, str | bytes] = {sheet_file(caption): png(sheet) for caption, sheet in self.sheets.items()}
        files |= {
            "report.json": json.dumps(self.json(), indent=2) + "\n",
            "report.md": self.markdown(),
            "report.csv": self.csv(),
            "index.html": self.page(),
        }
        return write_files(Path(out), files)


def sheet_file(caption: str) -> str:
    """Where a sheet lies in a report's folder: named by what comes before the caption's colon."""
    return f"sheets/{caption.split(':')[0].lower().replace(' ', '-')}.png"


def write_files(out: Path, files: Mapping[str, str | bytes]) -> Path:
    """The files of a report into its folder; -> its index.html. Raises UserError when they cannot be written."""
    try:
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise UserError(f"The report cannot be written to {out} ({error.strerror}): give another folder.") from error
    return out / "index.html"


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem } img { max-width: 100% } .wide { overflow-x: auto }
table { border-collapse: collapse; white-space: nowrap } td, th { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid
#ddd } td:nth-child(2) { font-weight: 600 } dt { font-weight: 600 } dd { margin: 0 0 .4rem 0 } li { color: #555 }
"""


def label(name: str) -> str:
    """A measure's name, with its unit where it is one of pictures."""
    return f"{name} (1/255)" if find(name).unit == "1/255" else name


def figure(e: Estimate | None) -> str:
    """A figure in words, with its interval: 0.953 [0.941, 0.966]."""
    if e is None:
        return ""
    digits = 2 if max(abs(e.value), abs(e.high or 0)) >= 1.995 else 3
    if e.low is None or e.high is None:
        return f"{e.value:.{digits}f}"
    return f"{e.value:.{digits}f} [{e.low:.{digits}f}, {e.high:.{digits}f}]"


def embedded(picture: Image.Image) -> str:
    """A picture as HTML that holds it."""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png(picture)).decode()}">'


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
