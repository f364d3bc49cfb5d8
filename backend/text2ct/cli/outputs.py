"""Where a result goes: one file with its account beside it, or a folder with everything.

A folder appears only when all of it is written. With --overwrite a folder of ours is
replaced; a folder of somebody else is never touched.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from ..account import account_of, ledger_lines, read_account, write_account
from ..errors import BadInput
from ..formats.atomic import replacing_folder
from ..formats.files import write_ct, write_labels
from ..plain import to_plain
from ..provenance import Stamp
from ..requests import Request, Result
from .console import Console

_FILE_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH",
                        help="a folder for everything, or one file (.nii.gz, .nii, .nrrd, .nhdr) for the CT alone")
    parser.add_argument("--dicom", action="store_true", help="in a folder, also write a DICOM series (and SEG)")
    parser.add_argument("--picture", action="store_true", help="in a folder, also draw a contact sheet (PNG)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result of ours in this place")


def check_output(args: argparse.Namespace) -> None:
    """Refuse a place that cannot be written before any work is done."""
    path: Path = args.output
    folder = path.resolve().parent
    if not folder.is_dir():
        raise BadInput(f"The folder {folder} does not exist; make it first or choose another place.")
    if _is_file(path):
        if args.dicom or args.picture:
            raise BadInput("--dicom and --picture need a folder; give a name without an ending to -o.")
        return
    if path.suffix and not path.is_dir():
        known = ", ".join(_FILE_ENDINGS)
        raise BadInput(f"'{path.name}' names no format that can be written; use {known} or a folder.")
    if path.exists() and not path.is_dir():
        raise BadInput(f"{path} is a file; name a folder or a file with a known ending.")
    if path.is_dir() and any(path.iterdir()) and not (args.overwrite and read_account(path / "account.json")):
        hint = "--overwrite replaces it" if read_account(path / "account.json") else "it is not a result of text2ct"
        raise BadInput(f"The folder {path} is not empty; name a new one ({hint}).")


def write_result(args: argparse.Namespace, request: Request, result: Result, console: Console) -> None:
    """Write a result where -o says, and tell where it is and what it shows."""
    path: Path = args.output
    written = _write_file(path, request, result) if _is_file(path) else _write_folder(path, args, request, result)
    for line in [*result.notes, *(ledger_lines(result) if result.ledger else [])]:
        console.line(line)
    console.line(f"SYNTHETIC CT by {result.provenance.sentence()}")
    for name in written:
        console.line(f"  {name}")
    console.data({"provenance": to_plain(result.provenance), "ledger": to_plain(result.ledger),
                  "notes": list(result.notes), "files": [str(name) for name in written]})


def _write_file(path: Path, request: Request, result: Result) -> list[Path]:
    account = path.with_name(path.name.split(".")[0] + ".account.json")
    files = {}
    if result.ct is not None:
        write_ct(result.ct, path, result.provenance)
        files[path.name] = Stamp.of(result.provenance, result.ct, "ct")
    elif result.labels:
        write_labels(result.labels, path, result.provenance)
        files[path.name] = Stamp.of(result.provenance, result.labels, "labels")
    write_account(account_of(request, result, files), account)
    return [path, account]


def _write_folder(path: Path, args: argparse.Namespace, request: Request, result: Result) -> list[Path]:
    aside = path.with_name(f".{path.name}.replaced")
    if path.is_dir() and any(path.iterdir()):
        path.replace(aside)
    try:
        with replacing_folder(path) as folder:
            names = _fill(folder, args, request, result)
    except BaseException:
        if aside.exists():
            aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return [path / name for name in names]


def _fill(folder: Path, args: argparse.Namespace, request: Request, result: Result) -> list[str]:
    files: dict[str, Stamp] = {}
    names: list[str] = []

    def add(name: str, write: Callable[[Path], None]) -> None:
        write(folder / name)
        names.append(name)

    ct, made = result.ct, result.provenance
    if ct is not None:
        add("ct.nii.gz", lambda path: write_ct(ct, path, made))
        files["ct.nii.gz"] = Stamp.of(made, ct, "ct")
    if result.labels:
        add("labels.seg.nrrd", lambda path: write_labels(result.labels, path, made))
        files["labels.seg.nrrd"] = Stamp.of(made, result.labels, "labels")
    if args.dicom and ct is not None:
        add("dicom", lambda path: write_ct(ct, path, made))
        if result.labels:
            from ..formats.dicom_seg import write_seg
            organs = result.labels[0]
            add("organs.dcm", lambda path: write_seg(organs, folder / "dicom", path, Stamp.of(made, organs, "labels")))
    if args.picture and ct is not None:
        from ..picture import contact_sheet
        add("sheet.png", lambda path: contact_sheet(ct, path, result.labels[1:], provenance=made))
    add("account.json", lambda path: write_account(account_of(request, result, files), path))
    return names


def _is_file(path: Path) -> bool:
    return path.name.lower().endswith(_FILE_ENDINGS)
