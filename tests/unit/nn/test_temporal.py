"""The one-matrix form of the temporal convolution, and when it is worked out anew."""

import torch

from egno_md.nn.temporal import SpectralMix


def test_inference_sees_weights_that_a_fused_optimiser_changed() -> None:
    torch.manual_seed(0)
    mix = SpectralMix(4, 2, published=False, scale=1.0)
    optimiser = torch.optim.AdamW(mix.parameters(), 0.1, fused=True)
    values = torch.randn(3, 5, 4)
    for _ in range(2):
        mix.train()
        mix(values).square().sum().backward()
        optimiser.step()
        through_spectrum = mix(values).detach()
        mix.eval()
        with torch.inference_mode():
            torch.testing.assert_close(mix(values), through_spectrum)


def test_inference_sees_loaded_weights() -> None:
    torch.manual_seed(0)
    one, other = (SpectralMix(4, 2, published=False, scale=1.0).eval() for _ in range(2))
    values = torch.randn(3, 5, 4)
    with torch.inference_mode():
        one(values)
        one.load_state_dict(other.state_dict())
        torch.testing.assert_close(one(values), other(values))
