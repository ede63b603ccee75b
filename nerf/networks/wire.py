"""WIRE: networks with complex Gabor wavelet activations (Saragadam et al., 2301.05187)."""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.networks.layers import lecun_init, linear

# A complex number is a pair of real arrays, and its weights are real parameters. Optimizers, norms
# and checkpoints then need no support for complex numbers.
Complex = tuple[Float[Array, "*b c"], Float[Array, "*b c"]]


class ComplexLinear(nnx.Module):
    """W h + b with complex W and b.

    Args:
      num_in: number of complex inputs.
      num_out: number of complex outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.real, self.imaginary = (
            linear(num_in, num_out, lecun_init, rngs=rngs) for _ in range(2)
        )

    def __call__(self, real: Float[Array, "*b i"], imaginary: Float[Array, "*b i"]) -> Complex:
        """Return (A + jB)(x + jy) + a + jb = (A x + a) - B y + j (A y + B x + b)."""
        a, b = self.real, self.imaginary
        by_b, by_a = (
            jnp.matmul(imaginary, part.kernel[...], precision="highest") for part in (b, a)
        )
        return a(real) - by_b, b(real) + by_a


def gabor(
    real: Float[Array, "*b c"], imaginary: Float[Array, "*b c"], omega: float, scale: float
) -> Complex:
    """Return the complex Gabor wavelet exp(j omega z - |scale z|^2) of z = x + jy (section 3.1).

    Its magnitude is exp(-omega y - |scale z|^2) and its phase is omega x.

    Args:
      real: (*b, c) real part x.
      imaginary: (*b, c) imaginary part y.
      omega: angular frequency.
      scale: inverse width of the envelope.

    Returns:
      Real and imaginary part, each (*b, c).
    """
    size = jnp.exp(-omega * imaginary - scale**2 * (jnp.square(real) + jnp.square(imaginary)))
    return size * jnp.cos(omega * real), size * jnp.sin(omega * real)


class WireNetwork(nnx.Module):
    """Real features -> complex hidden layers -> real part of a complex linear layer.

    The outputs are Re(W h + b) = A x - B y + a with W = A + jB, h = x + jy and Re(b) = a.

    Args:
      spec: the network's specification.
      num_in: number of real inputs.
      num_out: number of real outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, spec: "Wire", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.omega, self.scale = spec.omega, spec.scale
        self.first = linear(num_in, spec.width, lecun_init, rngs=rngs)
        self.hidden = nnx.List(
            [ComplexLinear(spec.width, spec.width, rngs=rngs) for _ in range(spec.depth - 1)]
        )
        # Its kernel is A stacked on -B.
        self.last = linear(2 * spec.width, num_out, lecun_init, rngs=rngs)

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        real = self.first(x)
        h = gabor(real, jnp.zeros_like(real), self.omega, self.scale)
        for layer in self.hidden:
            h = gabor(*layer(*h), self.omega, self.scale)
        return self.last(jnp.concatenate(h, -1))


@dataclasses.dataclass(frozen=True)
class Wire:
    """Specification of a network of complex Gabor wavelets (section 3.1).

    Equation:
      h <- exp(j omega z - |s z|^2) with z = W h + b

    All of them are complex except the first W and b; j is the imaginary unit.

    Attributes:
      width: number of complex features of the hidden layers. A complex weight is two real
        parameters: width 45 has about as many as a real network of width 64.
      depth: number of hidden layers.
      omega: angular frequency of the wavelets; the paper has 10 for images.
      scale: s, inverse width of the wavelets; the paper has 40 for images.
    """

    width: int = 45
    depth: int = 4
    omega: float = 10.0
    scale: float = 40.0

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> WireNetwork:
        return WireNetwork(self, num_in, num_out, rngs=rngs)
