"""torch.compile, which may fail in many ways, and whose time the user should know."""

import os
import sys
from typing import Any

from torch import nn

from .errors import UserError
from .runtime import Runtime


def compile_model(model: nn.Module, runtime: Runtime) -> None:
    """Compile the model, or its ``compiled_part``, if the run wants it; if not possible, go on.

    Compilers fail in many ways, most of them only when the model is first called. If the same call
    succeeds without compiling, then compiling was at fault, and is left out from there on.

    Raises:
        UserError: at such a call, if the user typed ``--compile``.
    """
    if not runtime.compile:
        return
    model = getattr(model, "compiled_part", model)
    from torch._functorch import config

    config.force_non_lazy_backward_lowering = True  # so that what fails, fails in the call
    try:
        model.compile()
    except Exception as error:  # a Python that torch.compile does not know, say
        _report_failed_compile(error, runtime)
        return
    compiled = model._compiled_call_impl
    assert compiled is not None

    def call(*inputs: Any, **named: Any) -> Any:
        try:
            return compiled(*inputs, **named)
        except Exception as error:
            model._compiled_call_impl = None
            result = model(*inputs, **named)
            _report_failed_compile(error, runtime)
            return result

    model._compiled_call_impl = call


def _report_failed_compile(error: Exception, runtime: Runtime) -> None:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")
    problem = f"torch.compile failed ({type(error).__name__}: {reason[:200]})."
    if runtime.compile_typed:
        raise UserError(f"{problem} Leave out `--compile`.") from error
    if os.environ.get("RANK", "0") == "0":
        print(f"Warning: {problem} Going on without compiling.", file=sys.stderr)


def compile_note() -> str:
    """How long compiling took so far, in a sentence."""
    from torch._dynamo.utils import calculate_time_spent, counters

    seconds = calculate_time_spent()["total_wall_time"]
    graphs = counters["stats"]["unique_graphs"]
    return f"Compiling took {seconds:.0f} s (graphs: {graphs}); later epochs need none of that."
