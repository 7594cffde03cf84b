"""``restcli export``: weights as files that other programs and small devices run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from restcli.cli import options
from restcli.cli.common import inform
from restcli.cli.display import print_json
from restcli.errors import UsageError

if TYPE_CHECKING:
    from restcli.nn.weights import Weights

app = typer.Typer()


@app.command(epilog="Example: restcli export rest-default --to c --out device")
def export(
    weights: Annotated[str, typer.Argument(help="Name of shipped weights, or path of a weights file.")],
    to: Annotated[Literal["onnx", "c"], typer.Option("--to", help="ONNX graphs, or a header and a source of C99.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
    int8: Annotated[
        bool, typer.Option("--int8", help="C only: store weights as bytes, which changes scores a little.")
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write weights as ONNX (NAME_network.onnx and NAME_second.onnx) or as C (rest.h and rest.c).

    Both take one second after another: the derivations' samples in microvolts at 200 Hz, or their features.
    """
    from restcli.files import check_free, make_folder, write_atomically
    from restcli.nn.weights import load_weights

    if int8 and to != "c":
        raise UsageError("--int8", f"does not go with --to {to}", "--to c")
    files = _contents(load_weights(weights), to, int8=int8)
    folder = make_folder(out)
    check_free((folder / name for name in files), overwrite=overwrite)
    written = [str(write_atomically(folder / name, content)) for name, content in files.items()]
    if as_json:
        print_json({"weights": weights, "written": written})
        return
    for name in written:
        inform(f"written: {name}")


def _contents(weights: Weights, to: str, *, int8: bool) -> dict[str, bytes]:
    if to == "c":
        from restcli.export.c import c_files

        return {name: text.encode() for name, text in c_files(weights, int8=int8).items()}
    from restcli.export.onnx import network_graph, second_graph

    graphs = {"network": network_graph(weights), "second": second_graph(weights)}
    return {f"{weights.name}_{name}.onnx": graph.SerializeToString() for name, graph in graphs.items()}
