"""Zero padding folded into the convolution that follows it."""

from __future__ import annotations

import onnx_ir as ir

from convert.passes.edit import attribute, insert, only_consumer, replace, zero_pads


def fold_padding(graph: ir.Graph) -> None:
    """A Pad with zeros along height and width becomes `pads` of the convolution after it.

        conv(Pad(x, pads))  ->  conv(x, pads=pads)

    Requires that nothing else reads the padded value.
    """
    for pad in graph:
        conv = only_consumer(pad.outputs[0]) if pad.op_type == "Pad" else None
        amounts = zero_pads(pad) if conv is not None and conv.op_type == "Conv" else None
        if conv is None or amounts is None or attribute(conv, "auto_pad", "NOTSET") != "NOTSET":
            continue
        half = len(amounts) // 2
        front, back = amounts[:half], amounts[half:]
        if conv.inputs[0] is not pad.outputs[0] or any(front[:2] + back[:2]) or min(amounts) < 0:
            continue
        before = attribute(conv, "pads", (0,) * (len(amounts) - 4))
        attributes = {name: attr.value for name, attr in conv.attributes.items()}
        attributes["pads"] = [a + b for a, b in zip(before, front[2:] + back[2:], strict=True)]
        replace(conv.outputs[0], insert(conv, "Conv", [pad.inputs[0], *conv.inputs[1:]], attributes))
