"""Our maps and infidelity beside those of Captum 0.9, for the CNN of a run rebuilt in PyTorch with its weights.

PyTorch and Captum get an environment of their own:

    python -m venv /tmp/captum && /tmp/captum/bin/pip install captum==0.9.0
    python scripts/against_captum.py RUN /tmp/captum/bin/python

Images, weights and classes go to it as a file, and its maps come back as another. Both compute in float32. Compared
are:

    gradient, guided backpropagation    Saliency, GuidedBackprop: the largest size over the channels
    gradient × input                    InputXGradient
    integrated gradients                100 steps of the midpoint rule
    occlusion                           windows of 6 × 6 pixels, 3 apart, where both have the same windows
    Grad-CAM                            LayerGradCam, the cells that the logits depend on: of the others ours is zero
    infidelity                          of gradient × input, of the same squares, at the best scale

Captum has no LayerCAM, Score-CAM, Ablation-CAM, RISE or contrast, and its LRP no z^B rule.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

IMAGES, SQUARES, SAME_WINDOWS, SAME_CELLS = 32, 100, 22, 2


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/against_captum.py RUN PYTHON_WITH_CAPTUM")
    case, ours = _ours(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "case.npz"), Path(folder, "captum.npz")
        np.savez(given, **case)
        subprocess.run([sys.argv[2], __file__, "--as-captum", given, found], check=True)
        theirs = dict(np.load(found))
    print(f"{'':24}largest difference, as a share of the largest value")
    for name, values in ours.items():
        print(f"{name:24}{np.abs(values - theirs[name]).max() / np.abs(theirs[name]).max():.1g}")


def _ours(run: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What Captum gets, and the values of ours."""
    from harness.insight.saliency import METHODS
    from harness.insight.saliency.cams import cam_cells
    from harness.insight.saliency.gradients import integrated_gradients
    from harness.insight.trust.infidelity import infidelity, squares_of
    from harness.report.evaluated_model import of_run
    from harness.runs.run_dir import RunDir

    evaluated = of_run(RunDir.open(run))
    model, images, labels = evaluated.logits, evaluated.images[:IMAGES], evaluated.predicted[:IMAGES]
    ours = {name: METHODS[name].explain(model, images, labels) for name in ("gradient", "gradient_times_input")}
    case = {
        "images": np.asarray(images, np.float32),
        "labels": np.asarray(labels),
        "squares": squares_of(images.shape[1:3], SQUARES, seed=0),
        "map": ours["gradient_times_input"],
    }
    for layer in model.layers:
        for kind, weight in zip(("kernel", "bias"), layer.get_weights(), strict=False):
            case[f"{layer.name}.{kind}"] = weight
    ours["guided_backpropagation"] = METHODS["guided_backpropagation"].explain(model, images, labels)
    ours["integrated_gradients"] = integrated_gradients(model, images, labels, steps=100)
    ours["occlusion"] = METHODS["occlusion"].explain(model, images, labels)[:, :SAME_WINDOWS, :SAME_WINDOWS]
    ours["gradcam"] = cam_cells("gradcam", model, images, labels)[:, :SAME_CELLS, :SAME_CELLS]
    ours["infidelity"] = infidelity(model, case["map"], images, labels, squares=SQUARES)
    return case, ours


def _as_captum(given: str, found: str) -> None:
    """Run by the other interpreter."""
    import torch
    from captum import attr
    from captum.metrics import infidelity

    case = dict(np.load(given))

    class Cnn(torch.nn.Module):
        """`cnn`. GuidedBackprop changes relus that are modules, each called once."""

        def __init__(self) -> None:
            super().__init__()
            kernels = [case[f"conv_{number}.kernel"] for number in (1, 2, 3)]
            self.convs = torch.nn.ModuleList(torch.nn.Conv2d(*of.shape[2:], of.shape[:2]) for of in kernels)
            self.dense = torch.nn.Linear(*case["dense.kernel"].shape)
            self.logits = torch.nn.Linear(*case["logits.kernel"].shape)
            self.relus = torch.nn.ModuleList(torch.nn.ReLU() for _ in range(4))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            x = pixels / 255
            for conv, relu in zip(self.convs, self.relus[:3]):  # noqa: B905 (ModuleLists of three)
                x = torch.nn.functional.max_pool2d(relu(conv(x)), 2)
            x = x.permute(0, 2, 3, 1).flatten(1)  # Keras flattens with the channels last
            return self.logits(self.relus[3](self.dense(x)))

    def largest_size(maps: torch.Tensor) -> np.ndarray:
        return np.asarray(maps.detach().abs().amax(dim=1))

    def summed(maps: torch.Tensor) -> np.ndarray:
        return np.asarray(maps.detach().sum(dim=1))

    model = Cnn().eval()
    layers = {f"conv_{number}": conv for number, conv in enumerate(model.convs, 1)}
    for name, layer in (layers | {"dense": model.dense, "logits": model.logits}).items():
        kernel = case[f"{name}.kernel"]
        layer.weight.data = torch.tensor(kernel.transpose((3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)))
        layer.bias.data = torch.tensor(case[f"{name}.bias"])
    images = torch.tensor(np.moveaxis(case["images"], -1, 1), requires_grad=True)
    labels = torch.tensor(case["labels"], dtype=torch.int64)
    channels, side, window = images.shape[1], SAME_WINDOWS, (images.shape[1], 6, 6)
    squares = torch.tensor(case["squares"])[:, None]

    def without_squares(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        missing = squares.repeat(len(pixels) // len(squares), channels, 1, 1)
        return missing.float(), pixels * ~missing

    occlusion = attr.Occlusion(model).attribute(images, window, (channels, 3, 3), target=labels)
    gradcam = attr.LayerGradCam(model, model.relus[2]).attribute(images, labels, relu_attributions=True)
    # Captum sums the products of map and square over the channels too, and our map is already a sum of them.
    told = torch.tensor(case["map"])[:, None].expand(-1, channels, -1, -1) / channels
    np.savez(
        found,
        gradient=largest_size(attr.Saliency(model).attribute(images, labels, abs=False)),
        gradient_times_input=summed(attr.InputXGradient(model).attribute(images, labels)),
        guided_backpropagation=largest_size(attr.GuidedBackprop(model).attribute(images, labels)),
        integrated_gradients=summed(
            attr.IntegratedGradients(model).attribute(images, target=labels, n_steps=100, method="riemann_middle")
        ),
        occlusion=np.asarray(occlusion.detach()[:, 0, :side, :side]),
        gradcam=summed(gradcam)[:, :SAME_CELLS, :SAME_CELLS],
        infidelity=np.asarray(
            infidelity(
                model, without_squares, images, told, target=labels, n_perturb_samples=SQUARES, normalize=True
            ).detach()
        ),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-captum"]:
        _as_captum(sys.argv[2], sys.argv[3])
    else:
        main()
