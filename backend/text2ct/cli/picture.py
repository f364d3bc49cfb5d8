"""`text2ct picture`: a contact sheet of a CT."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import BadInput
from ..formats.files import read_ct, read_layers, stamp_of
from ..verify import refuse_changed
from .console import Console
from .outputs import stem_of


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("picture", parents=[common], help="a contact sheet of a CT (PNG)",
                                 description="Draw axial, coronal and sagittal slices in lung and soft-tissue windows.")
    parser.add_argument("file", type=Path, metavar="CT", help="file or DICOM folder")
    parser.add_argument("-o", "--output", type=Path, metavar="PNG", help="the picture (default: beside the CT)")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="outline these labels")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    from ..picture import contact_sheet
    from ..resample import resample_labels

    file = args.file.resolve()
    output = args.output or file.with_name(stem_of(file) + ".png")
    if output.suffix.lower() != ".png":
        raise BadInput(f"'{output.name}' is no name for a picture; let it end in .png.")
    ct = read_ct(args.file, round_values=True)
    stamp = stamp_of(args.file)
    refuse_changed(args.file, stamp, [ct])
    layers = read_layers(args.labels) if args.labels else ()
    marks = [layer if layer.same_grid(ct) else resample_labels(layer, ct.grid) for layer in layers]
    contact_sheet(ct, output, [m for m in marks if m.title != "organs"] or marks,
                  provenance=stamp.provenance if stamp else None)
    console.line(str(output))
    console.data({"picture": str(output)})
    return 0
