"""Where a result goes: one file with its account beside it, or a folder with everything.

A folder appears only when all of it is written. With --overwrite a folder of ours is
replaced; a folder of somebody else is never touched.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..account import account_is_unchanged, account_of, ledger_lines, read_account, write_account
from ..errors import BadInput, Unavailable
from ..formats.atomic import folder_for, replacing_folder
from ..formats.files import write_ct, write_labels
from ..plain import to_plain
from ..provenance import Stamp
from ..requests import Request, Result
from ..verify import ACCOUNT
from .console import Console

T = TypeVar("T")
_FILE_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr")
_DAY = re.compile(r"day-[-+.\de]+")
_NAMES = {"ct.nii.gz", "labels.seg.nrrd", "dicom", "organs.dcm", "lesion.dcm", "lesions.dcm", "sheet.png", "type.json",
          ACCOUNT}


def add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH",
                        help="a folder for everything, or one file (.nii.gz, .nii, .nrrd, .nhdr) for the CT alone")
    parser.add_argument("--dicom", action="store_true", help="in a folder, also write a DICOM series (and SEG)")
    parser.add_argument("--picture", action="store_true", help="in a folder, also draw a contact sheet (PNG)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result of ours in this place")


def check_output(args: argparse.Namespace, *inputs: Path | None) -> None:
    """Refuse a place that cannot be written before any work is done."""
    path: Path = args.output
    folder = folder_for(path)
    if not os.access(folder, os.W_OK):
        raise BadInput(f"The folder {folder} may not be written to; choose another place.")
    if names_a_file(path):
        if args.dicom or args.picture:
            raise BadInput("--dicom and --picture need a folder; give a name without an ending to -o.")
        refuse_existing(path, args.overwrite, *inputs)
        return
    _check_folder(path, args.overwrite)
    for wanted, package, extra in ((args.dicom, "highdicom", "seg"), (args.picture, "matplotlib", "pictures")):
        if wanted and importlib.util.find_spec(package) is None:
            raise Unavailable(f"This needs the package {package}; install it with: pip install 'text2ct[{extra}]'.")


def refuse_existing(path: Path, overwrite: bool, *inputs: Path | None) -> None:
    """Never write over an input, and over another file only when told to."""
    if any(given is not None and given.exists() and given.resolve() == path.resolve() for given in inputs):
        raise BadInput(f"{path} is the input itself; name another file to write.")
    if path.is_file() and not overwrite:
        raise BadInput(f"{path} already exists; name another file, or replace it with --overwrite.")


def stem_of(path: Path) -> str:
    """The name of a file without the ending of its format: case.v1.nii.gz is case.v1."""
    for ending in sorted(_FILE_ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[:-len(ending)]
    return path.stem if path.is_file() else path.name


def _check_folder(path: Path, overwrite: bool) -> None:
    if re.fullmatch(r"\.[A-Za-z]\w{1,5}", path.suffix) and not path.is_dir():
        known = ", ".join(_FILE_ENDINGS)
        raise BadInput(f"'{path.name}' names no format that can be written; use {known} or a folder.")
    if path.exists() and not path.is_dir():
        raise BadInput(f"{path} is a file; name a folder or a file with a known ending.")
    if path.resolve() == Path.cwd():
        raise BadInput("The current folder cannot be the result; name a new folder in it.")
    if path.is_dir() and any(path.iterdir()):
        ours = _is_ours(path)
        if not (ours and overwrite):
            hint = "--overwrite replaces it" if ours else "it holds more than a result of text2ct"
            raise BadInput(f"The folder {path} is not empty; name a new one ({hint}).")


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds a result of ours, or results of some days, and nothing else."""
    account = read_account(folder / ACCOUNT)
    return account is not None and account_is_unchanged(account) and all(
        one.name in _NAMES or (_DAY.fullmatch(one.name) is not None and _is_ours(one)) for one in folder.iterdir())


def write_result(args: argparse.Namespace, request: Request | Mapping[str, Any], result: Result,
                 console: Console) -> None:
    """Write a result where -o says, and tell where it is and what it shows."""
    path: Path = args.output
    written = _write_file(path, request, result) if names_a_file(path) else _write_folder(path, args, request, result)
    for line in [*result.notes, *(ledger_lines(result) if result.ledger else [])]:
        console.line(line)
    console.line(f"SYNTHETIC result by {result.provenance.sentence()}")
    for name in written:
        console.line(f"  {name}")
    console.data({"provenance": to_plain(result.provenance), "ledger": to_plain(result.ledger),
                  "notes": list(result.notes), "files": [str(name) for name in written]})


def _write_file(path: Path, request: Request | Mapping[str, Any], result: Result) -> list[Path]:
    account = path.with_name(f"{stem_of(path)}.{ACCOUNT}")
    files: dict[str, Stamp | None] = {}
    if result.ct is not None:
        files[path.name] = write_ct(result.ct, path, result.provenance)
    elif result.labels:
        files[path.name] = write_labels(result.labels, path, result.provenance)
    write_account(account_of(request, result, files), account)
    return [path, account]


def _write_folder(path: Path, args: argparse.Namespace, request: Request | Mapping[str, Any],
                  result: Result) -> list[Path]:
    with replacing_folder(path, args.overwrite) as folder:
        names = fill_folder(folder, args, request, result)
    return [path / name for name in names]


def fill_folder(folder: Path, args: argparse.Namespace, request: Request | Mapping[str, Any],
                result: Result) -> list[str]:
    """Every file that the options ask for, in a folder that is there; their names."""
    files: dict[str, Stamp | None] = {}
    names: list[str] = []

    def add(name: str, write: Callable[[Path], T]) -> T:
        names.append(name)
        return write(folder / name)

    ct, made = result.ct, result.provenance
    if ct is not None:
        files["ct.nii.gz"] = add("ct.nii.gz", lambda path: write_ct(ct, path, made))
    if result.labels:
        files["labels.seg.nrrd"] = add("labels.seg.nrrd", lambda path: write_labels(result.labels, path, made))
    if args.dicom and ct is not None:
        add("dicom", lambda path: write_ct(ct, path, made))
    series: Path | None = getattr(args, "input", None) if ct is None else folder / "dicom"
    if args.dicom and result.labels and series is not None:
        from ..formats.dicom_seg import write_seg
        layer = result.labels[0]
        name = f"{layer.title if layer.title in ('lesion', 'lesions') else 'organs'}.dcm"
        add(name, lambda path: write_seg(layer, series, path, Stamp.of(made, layer, "labels")))
    if args.picture and ct is not None:
        from ..picture import contact_sheet
        marks = [layer for layer in result.labels if layer.title != "organs"]
        add("sheet.png", lambda path: contact_sheet(ct, path, marks, provenance=made))
    if result.attributes:
        from ..engines.lesiondiffusion.report_file import write_structured
        from ..engines.lesiondiffusion.structured import report_of
        add("type.json", lambda path: write_structured(report_of(result.attributes, result.labels[-1]), path))
    add(ACCOUNT, lambda path: write_account(account_of(request, result, files), path))
    return names


def names_a_file(path: Path) -> bool:
    """Whether -o asks for one file, by its ending."""
    return path.name.lower().endswith(_FILE_ENDINGS)
