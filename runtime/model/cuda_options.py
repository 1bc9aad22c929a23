"""How ONNX Runtime's CUDA provider computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROVIDER = "CUDAExecutionProvider"
Search = Literal["HEURISTIC", "EXHAUSTIVE"]


@dataclass(frozen=True)
class CudaOptions:
    """How ONNX Runtime's CUDA provider computes. The defaults are those of a run.

    Names and values are those of the provider's documentation
    (https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html). What the provider does with them was
    read in its source, of which the numbers of pull requests to microsoft/onnxruntime are given here. Left at their
    defaults are `gpu_mem_limit` (all memory), `do_copy_in_default_stream` (1; 0 can race) and
    `cudnn_conv_use_max_workspace` (since 1.20 a convolution takes the workspace that cuDNN's plan names, #19470).
    """

    tf32: bool = False
    """Whether products and convolutions of float32 may round their factors to TF32's 10 bits of mantissa (#19357,
    #19426). ONNX Runtime's own default is to do so."""
    conv_search: Search = "HEURISTIC"
    """How cuDNN chooses the plan of a convolution. Since 1.20 nothing is timed: HEURISTIC asks cuDNN's heuristic A, and
    EXHAUSTIVE its heuristic B, which takes longer to answer (#19470, #22705). NVIDIA recommends A first. The third
    value, DEFAULT, takes what cuDNN keeps for emergencies and is up to 50 times as slow."""
    nhwc: bool = False
    """Whether the provider moves channels last, as tensor cores want them (#17200). Float32 without TF32 does not use
    tensor cores, and a convolution for which cuDNN has no other plan is computed in TF32 all the same."""
    graph: bool = False
    """Whether a CUDA graph replays the launches of a batch (#10859). It needs buffers that stay where they are, see
    `Binding`, and one call at a time; capturing fails where a node is left to the CPU."""
    fuse_bias: bool = False
    """Whether cuDNN adds a convolution's bias in the same kernel (#19470). Here, too, a convolution without such a plan
    in exact float32 is computed in TF32."""

    memory_pattern: bool = False
    """Whether the second run of a shape takes one block for all tensors (an option of the session, not the provider).
    Those of the first run stay in the arena, which cannot join them to such a block: memory would be taken twice."""

    def provider(self, device: str) -> tuple[str, dict[str, str]]:
        """The provider's name and options for "cuda:N", as `InferenceSession` takes them."""
        return PROVIDER, {
            "device_id": device.removeprefix("cuda:"),
            "use_tf32": _flag(self.tf32),
            "cudnn_conv_algo_search": self.conv_search,
            "prefer_nhwc": _flag(self.nhwc),
            "enable_cuda_graph": _flag(self.graph),
            "fuse_conv_bias": _flag(self.fuse_bias),
            # The other strategy, kNextPowerOfTwo, may take twice the memory that is needed. A run repeats one shape, so
            # that memory grows in the first call alone.
            "arena_extend_strategy": "kSameAsRequested",
        }


def _flag(value: bool) -> str:
    return "1" if value else "0"
