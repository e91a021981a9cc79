"""Attention maps of networks whose attention layers hold a processor, as those of diffusers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .._errors import InputError
from .attention import Maps


def attention_maps(network: nn.Module, call: Callable[[Tensor, Tensor], Any]) -> Maps:
    """Reader of a diffusers network's self-attention, for ``maps=`` of :func:`attention`.

    softmax(scale Q K' + mask), as torch's ``scaled_dot_product_attention`` has it, is recorded while ``call`` runs, one
    tensor a call, in the order of the calls. Nothing in the network is replaced, so what it returns is the same to the
    last bit, with any processor (rotary embeddings, normed queries, grouped heads) that calls that function. Attention
    that is given ``encoder_hidden_states`` (cross and joint attention) is left out; weights are those before dropout.
    Tokens that are not frames, such as a global one put first, are in the maps: cut them off, as in
    ``lambda x, t: [w[..., 1:, 1:] for w in maps(x, t)]``.

    Args:
        network: Holds attention layers with ``get_processor``, or is one. diffusers itself is not imported.
        call: (x, t) with t of shape (batch,) -> anything; runs ``network`` once on x. What ``score_from`` makes of the
            network will do, with ``steps="nearest"`` where its schedule is a table.

    Returns:
        (x, t) -> the weights, a (batch, heads, tokens, tokens) tensor an attention.

    Raises:
        InputError: No such layer. The reader raises it where no self-attention ran, or where a processor calculates its
            weights in another way.

    Example:
        >>> from diffusers.models.attention import BasicTransformerBlock
        >>> from kronoscope.probes import attention
        >>> block = BasicTransformerBlock(dim=4, num_attention_heads=2, attention_head_dim=2).eval()
        >>> maps = attention_maps(block, lambda x, t: block(x))
        >>> attention(block, torch.ones(5, 6, 4), maps=maps).weights.shape
        torch.Size([2, 6, 6])
    """
    layers = {
        name or "itself": layer
        for name, layer in network.named_modules()
        if callable(getattr(layer, "get_processor", None))
    }
    if not layers:
        raise InputError(
            f"network must hold attention layers with a processor, as those of diffusers, got {type(network).__name__} "
            "without one; give attention(maps=) a function of your own"
        )

    def reader(x: Tensor, t: Tensor) -> Sequence[Tensor]:
        recorder = _Recorder()
        handles: list[Any] = []
        try:
            for name, layer in layers.items():
                handles.append(layer.register_forward_pre_hook(recorder.entering(name), with_kwargs=True))
                handles.append(layer.register_forward_hook(recorder.leaving, always_call=True))
            with recorder:
                call(x, t)
        finally:
            for handle in handles:
                handle.remove()
        return _weights_of(recorder.visits, layers)

    return reader


@dataclass
class _Visit:
    """One self-attention that ran."""

    name: str
    weights: list[Tensor] = field(default_factory=list)


class _Recorder(TorchFunctionMode):
    """Records calls of torch's attention function, and assigns them to layers by hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.visits: list[_Visit] = []
        self._open: list[_Visit | None] = []  # None: a layer that attends to something else than its own input

    def entering(self, name: str) -> Callable[..., None]:
        def enter(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            other = kwargs.get("encoder_hidden_states", args[1] if len(args) > 1 else None)
            visit = _Visit(name)
            self._open.append(visit if other is None else None)
            if other is None:
                self.visits.append(visit)

        return enter

    def leaving(self, *_: Any) -> None:
        self._open.pop()

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        visit = self._open[-1] if self._open else None
        if function is nn.functional.scaled_dot_product_attention and visit is not None:
            visit.weights.append(_weights(*args, **kwargs))
        return function(*args, **kwargs)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Tensor:
    """Attention to the unit vectors as values: the weights, whatever mask, scale and heads the call has."""
    units = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device).expand(*key.shape[:-1], -1)
    with torch.no_grad():
        return nn.functional.scaled_dot_product_attention(query, key, units, attn_mask, 0.0, is_causal, **options)


def _weights_of(visits: list[_Visit], layers: dict[str, nn.Module]) -> list[Tensor]:
    if not visits:
        raise InputError(
            f"call must run a self-attention of the network, but none of its {len(layers)} attention layers attended "
            "to its own input"
        )
    for visit in visits:
        if not visit.weights:
            processor = type(getattr(layers[visit.name], "processor", None)).__name__
            raise InputError(
                f"the processor of attention layer {visit.name!r} must call torch's scaled_dot_product_attention, as "
                f"diffusers' AttnProcessor2_0 does, but {processor} does not"
            )
    return [weights for visit in visits for weights in visit.weights]
