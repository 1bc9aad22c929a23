"""Names of a converted graph's inputs: the schema that conversion writes and `Session` feeds.

`INPUTS` takes the windows, `float32 [batch, samples]`; every graph has it. Two more inputs may be left out, since
their defaults stand in the file as initializers; a plain ONNX Runtime session needs the windows alone.

A CPU is fastest with small batches, but each batch then streams all weights of the class heads. So a run computes the
heads once for many batches: each earlier call gives the embedding and, with `HEAD_ROWS` set to 0, no rows of the
heads. The last call takes those embeddings as `GATHERED`, and its heads give the rows of all batches:

    rows of the heads = concat(GATHERED, embedding[:HEAD_ROWS])

- `GATHERED`, `float32 [gathered, *features]`: rows of the embedding from earlier calls; none by default. The
  embedding is the first of `EMBEDDINGS` from which the heads are computed; a graph may have `HEAD_ROWS` without it.
- `HEAD_ROWS`, `int64 [1]`: how many of the batch's own rows the heads compute; all by default.

The first dimension of each output that has these rows is named `ROWS`; that of all others is the batch.
"""

from __future__ import annotations

INPUTS, GATHERED, HEAD_ROWS = "inputs", "gathered", "head_rows"
ROWS = "rows"
EMBEDDINGS = ("spatial_embedding", "embedding")
"""The outputs from which heads may be computed: Perch v2 compares the places of the first with prototypes."""
