"""One forward pass for a whole population: modules written for one GAN, parameters stacked over runs.

`nn.Sequential`s are taken apart; layers that are known run directly on `[runs, batch, ...]` tensors, every other
module runs under `vmap`. Only exact types count as known, since a subclass may compute anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils.parametrize import type_before_parametrizations

from ganbench.errors import UserError
from ganbench.gan.blocks import Added, Together
from ganbench.gan.conditioning import (
    Concatenated,
    Flattened,
    Framed,
    Halves,
    Headed,
    Heard,
    Pictured,
    Projected,
    Translator,
    Untold,
    added,
)
from ganbench.gan.networks.layers import Maxout
from ganbench.gan.normalizations import PixelNorm, Reweighted, as_matrix
from ganbench.gan.tricks import MinibatchDiscrimination, MinibatchStd
from ganbench.problems.base import Given

Tensors = Mapping[str, Tensor]
Tap = Callable[[nn.Module, Tensor], None]

# which do the same whatever axes come before: element by element, or on the last one alone
ACTIVATIONS = (
    nn.Identity, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh, Maxout,
)  # fmt: skip
JOINING = (Concatenated, Flattened, Pictured, Framed, Heard)
"""Modules whose body sees its input joined with what is given."""
IN_PLACE: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.ReLU: lambda _, x: F.relu(x, inplace=True),
    nn.LeakyReLU: lambda module, x: F.leaky_relu(x, module.negative_slope, inplace=module.negative_slope > 0),
}
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
# below this many columns BLAS libraries are several times slower than for the transposed product (measured, MKL)
FEW_COLUMNS = 16
# a convolution with a matrix of up to this many numbers a run is faster as that dense matrix than as a grouped
# convolution with its changes of layout; beyond, what multiplies zeros costs more (measured on a CPU: 1 to 12 channels
# at 8 x 8 pixels 2.5 to 4.6 x faster, 16 to 32 channels at 8 x 8 3 to 7 x slower)
LARGEST_OPERATOR = 2**15


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix products a[r] @ b[r], differentiable any number of times."""
    return _Product.apply(a, b)


def _bmm(a: Tensor, b: Tensor) -> Tensor:
    if b.shape[-1] < FEW_COLUMNS <= a.shape[-2]:
        return torch.bmm(b.mT, a.mT).mT
    return torch.bmm(a, b)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _bmm(a, b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        return (
            product(grad, b.mT) if ctx.needs_input_grad[0] else None,
            product(a.mT, grad) if ctx.needs_input_grad[1] else None,
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return (
            product(grad, weight) if ctx.needs_input_grad[0] else None,
            product(grad.mT, x) if ctx.needs_input_grad[1] else None,
            grad.sum(1) if ctx.needs_input_grad[2] else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x[r] @ weight[r]^T + bias[r] for x [runs, ..., in], weight [runs, out, in], bias [runs, out]."""
    flat = x.flatten(1, -2)
    out = product(flat, weight.mT) if bias is None else _Linear.apply(flat, weight, bias)
    return out.unflatten(1, x.shape[1:-1]) if x.dim() > 3 else out


def forward(
    module: nn.Module,
    tensors: Tensors,
    x: Tensor,
    prefix: str = "",
    tap: Tap | None = None,
    ours: bool = False,
    given: Given = None,
) -> Tensor:
    """Run a module for every run: parameters and buffers [runs, ...] by name, x [runs, batch, ...].

    `tap` is shown the output of each known activation, for diagnostics. With `ours`, nobody else needs x any more.
    given: the second argument of a module that takes one, [runs, batch, ...].
    """
    kind = type(module)
    if module._forward_hooks or module._forward_pre_hooks:
        return _vmapped(module, tensors, x, prefix, given)
    if given is not None:
        return _conditional(module, tensors, x, prefix, tap, given)
    if kind is nn.Sequential:
        ours = False
        for name, child in module.named_children():
            x = forward(child, tensors, x, f"{prefix}{name}.", tap, ours)
            ours = _returns_its_own(child)
        return x
    if kind is Halves:
        halves = zip(module.named_children(), x.chunk(2, -1), strict=True)
        return torch.cat([forward(child, tensors, half, f"{prefix}{name}.", tap) for (name, child), half in halves], -1)
    if kind is Together:
        bodies = module.get_submodule("bodies").named_children()
        return torch.cat([forward(body, tensors, x, f"{prefix}bodies.{name}.", tap) for name, body in bodies], -1)
    if kind in ACTIVATIONS:
        x = IN_PLACE[kind](module, x) if ours and kind in IN_PLACE else module(x)
        if tap:
            tap(module, x)
        return x
    rule = RULES.get(kind)
    out = rule(module, tensors, x, prefix) if rule else None
    return _vmapped(module, tensors, x, prefix) if out is None else out


def hidden(run: Callable[[Tap], Tensor]) -> Tensor:
    """Return the output [runs, batch, features] of the last known activation in a forward pass with a tap.

    The pass's own output does not count; UserError where there is no other.
    """
    seen: list[Tensor] = []
    out = run(lambda _, x: seen.append(x))
    within = [x for x in seen if x is not out]
    if not within:
        raise UserError("The discriminator shows no features: none of its known activations comes before its end.")
    return within[-1].flatten(2)


def _returns_its_own(module: nn.Module) -> bool:
    """Tell whether a module's output is neither a view nor kept for its backward pass."""
    layer = module.layer if type(module) is Reweighted else module
    hooked = module._forward_hooks or module._forward_pre_hooks
    return type(layer) is nn.Linear and layer.bias is not None and not hooked


def _vmapped(module: nn.Module, tensors: Tensors, x: Tensor, prefix: str, given: Given = None) -> Tensor:
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    inputs = (x,) if given is None else (x, given)
    if not own:
        return vmap(module)(*inputs)
    return vmap(lambda state, *one: functional_call(module, state, one))(own, *inputs)


def _conditional(module: nn.Module, tensors: Tensors, x: Tensor, prefix: str, tap: Tap | None, given: Given) -> Tensor:
    """Run a module that takes what is given: those that are known by their plain layers."""
    if type(module) is Untold:
        return forward(module.body, tensors, x, f"{prefix}body.", tap)
    if isinstance(given, Tensor):
        if type(module) is Translator:
            return forward(module.body, tensors, given, f"{prefix}body.", tap)
        if isinstance(module, JOINING) and type(module) in JOINING:
            return forward(module.body, tensors, module.joined(x, given), f"{prefix}body.", tap, ours=False)
        if type(module) is Projected:
            features = forward(module.body, tensors, x, f"{prefix}body.", tap)
            logits = forward(module.last, tensors, features, f"{prefix}last.", tap)
            chosen = tensors[f"{prefix}embedding.weight"].gather(
                1, given.unsqueeze(-1).expand(-1, -1, features.shape[-1])
            )
            return added(logits, (features * chosen).sum(-1, keepdim=True))
    return _vmapped(module, tensors, x, prefix, given)


def _linear(module: nn.Linear, tensors: Tensors, x: Tensor, prefix: str) -> Tensor:
    return linear(x, tensors[prefix + "weight"], tensors.get(prefix + "bias"))


def _conv2d(module: nn.Conv2d, tensors: Tensors, x: Tensor, prefix: str) -> Tensor | None:
    weight, image = tensors[prefix + "weight"], tuple(x.shape[3:])
    if isinstance(module.padding, str):
        return None
    small = tuple(
        (n + 2 * pad - kernel) // stride + 1
        for n, pad, kernel, stride in zip(image, module.padding, module.kernel_size, module.stride, strict=True)
    )
    if not _dense_pays(module, image, small):
        return None
    taps = _taps(image, module.kernel_size, module.stride, module.padding, x.device, x.dtype)
    # [runs, out, in, taps] @ [taps, small x image] -> [runs, out, small, in, image]
    operator = (weight.flatten(3) @ taps).unflatten(3, (small[0] * small[1], -1)).transpose(2, 3)
    return _dense(x, operator, tensors.get(prefix + "bias"), small)


def _conv_transpose2d(module: nn.ConvTranspose2d, tensors: Tensors, x: Tensor, prefix: str) -> Tensor | None:
    weight, small = tensors[prefix + "weight"], tuple(x.shape[3:])
    padding: Any = module.padding
    sizes = zip(small, module.kernel_size, module.stride, padding, module.output_padding, strict=True)
    image = tuple((n - 1) * stride - 2 * pad + kernel + extra for n, kernel, stride, pad, extra in sizes)
    if not _dense_pays(module, image, small):
        return None
    taps = _taps(image, module.kernel_size, module.stride, module.padding, x.device, x.dtype)
    # the adjoint of a convolution: [runs, in, out, small, image] -> [runs, out, image, in, small]
    operator = (weight.flatten(3) @ taps).unflatten(3, (small[0] * small[1], -1)).permute(0, 2, 4, 1, 3)
    return _dense(x, operator, tensors.get(prefix + "bias"), image)


def _dense_pays(module: nn.Conv2d | nn.ConvTranspose2d, image: tuple[int, ...], small: tuple[int, ...]) -> bool:
    plain = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
    operator = module.in_channels * module.out_channels * math.prod(image) * math.prod(small)
    return plain and operator <= LARGEST_OPERATOR


def _dense(x: Tensor, operator: Tensor, bias: Tensor | None, image: tuple[int, ...]) -> Tensor:
    """Apply a convolution as one matrix a run; operator [runs, out, places, in, places of x]."""
    channels, places = operator.shape[1:3]
    if bias is not None:
        bias = bias.unsqueeze(2).expand(-1, -1, places).flatten(1)
    return linear(x.flatten(2), operator.flatten(3).flatten(1, 2), bias).unflatten(2, (channels, *image))


@lru_cache(maxsize=64)
def _taps(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Any,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Return which place of the image each kernel tap reads for each output place, [taps, small x image]."""
    places = math.prod(image)
    each = torch.eye(places).reshape(places, 1, *image)
    read = F.unfold(each, kernel, padding=padding, stride=stride)  # [image, taps, small]
    return read.permute(1, 2, 0).flatten(1).to(device, dtype)


def _group_norm(module: nn.GroupNorm, tensors: Tensors, x: Tensor, prefix: str) -> Tensor | None:
    if not module.affine:
        return None
    grouped = x.reshape(*x.shape[:2], module.num_groups, -1)
    out = F.layer_norm(grouped, grouped.shape[-1:], eps=module.eps).reshape(x.shape)
    shape = (x.shape[0], 1, x.shape[2]) + (1,) * (x.dim() - 3)
    return torch.addcmul(tensors[prefix + "bias"].reshape(shape), out, tensors[prefix + "weight"].reshape(shape))


def _batch_norm(module: nn.BatchNorm1d, tensors: Tensors, x: Tensor, prefix: str) -> Tensor | None:
    if module.track_running_stats or not module.affine:
        return None
    gain, bias = tensors[prefix + "weight"].flatten(), tensors[prefix + "bias"].flatten()
    # the channels of all runs side by side: one fused kernel, ten times faster than reducing over a middle axis
    channels = x.transpose(0, 1).flatten(1, 2)
    out = F.batch_norm(channels, None, None, gain, bias, training=True, eps=module.eps)
    return out.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1)


def _reweighted(module: Reweighted, tensors: Tensors, x: Tensor, prefix: str) -> Tensor:
    weight = _mapped_weight(module, tensors, prefix)
    return forward(module.layer, {**tensors, f"{prefix}layer.weight": weight}, x, f"{prefix}layer.")


def _mapped_weight(module: Reweighted, tensors: Tensors, prefix: str) -> Tensor:
    own = f"{prefix}weight_map."
    state = {name.removeprefix(own): value for name, value in tensors.items() if name.startswith(own)}
    return module.weight(
        tensors[f"{prefix}layer.weight"], lambda matrix: functional_call(module.weight_map, state, (matrix,))
    )


def _flatten(module: nn.Flatten, tensors: Tensors, x: Tensor, prefix: str) -> Tensor | None:
    if module.start_dim < 1:
        return None
    return x.flatten(module.start_dim + 1, module.end_dim + (module.end_dim >= 0))


def _unflatten(module: nn.Unflatten, tensors: Tensors, x: Tensor, prefix: str) -> Tensor | None:
    if not isinstance(module.dim, int) or module.dim < 1:
        return None
    return x.unflatten(module.dim + 1, module.unflattened_size)


def _headed(module: Headed, tensors: Tensors, x: Tensor, prefix: str) -> Tensor:
    heads = [forward(head, tensors, x, f"{prefix}heads.{name}.") for name, head in module.heads.named_children()]
    return torch.cat([forward(module.last, tensors, x, f"{prefix}last."), *heads], dim=-1)


def _minibatch_discrimination(module: MinibatchDiscrimination, tensors: Tensors, x: Tensor, prefix: str) -> Tensor:
    return module.beside(x, product(x, tensors[prefix + "tensor"]))


RULES: dict[type[nn.Module], Callable[..., Tensor | None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.ConvTranspose2d: _conv_transpose2d,
    nn.GroupNorm: _group_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    Reweighted: _reweighted,
    Headed: _headed,
    Added: lambda module, tensors, x, prefix: x + forward(module.body, tensors, x, f"{prefix}body."),
    PixelNorm: lambda module, tensors, x, prefix: module(x, 2),
    MinibatchStd: lambda module, tensors, x, prefix: module(x),
    MinibatchDiscrimination: _minibatch_discrimination,
}


def layer_matrices(module: nn.Module, tensors: Tensors) -> Iterator[tuple[str, Tensor]]:
    """Yield the weight in force of each linear or convolution layer as matrices [runs, out, in], by layer name."""
    reweighted = {f"{name}.layer" if name else "layer": child for name, child in module.named_modules()
                  if isinstance(child, Reweighted)}  # fmt: skip
    labels = layer_names(module)
    for name, child in module.named_modules():
        if isinstance(child, LAYERS):
            prefix = f"{name}." if name else ""
            wrapper = reweighted.get(name)
            weight = (
                _mapped_weight(wrapper, tensors, prefix.removesuffix("layer."))
                if wrapper
                else tensors[prefix + "weight"]
            )
            yield labels[name], as_matrix(weight, child)


def layer_names(module: nn.Module) -> dict[str, str]:
    """Return a readable name like 2_linear, its rank and type, for each module that owns parameters.

    What parametrizes a layer has the layer's name.
    """
    owners = [name for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False))]
    layers = {owner: owner.partition("parametrizations")[0].removesuffix(".") for owner in owners}
    names: dict[str, str] = {}
    for rank, layer in enumerate(dict.fromkeys(layers.values()), 1):
        names[layer] = f"{rank}_{type_before_parametrizations(module.get_submodule(layer)).__name__.lower()}"
    return {**names, **{owner: names[layer] for owner, layer in layers.items()}}
