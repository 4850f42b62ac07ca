"""A denoiser in front: the step of the schedule, the algebra, sizes, files, and a certificate behind it."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.torch_image import TorchClassifier
from hybridcert.denoising import DiffusionDenoiser, denoised
from hybridcert.denoising.noise_grid import PREDICTIONS, NoiseGrid
from hybridcert.errors import ConfigError, ModelError, ParameterError
from hybridcert.sampling.model_digest import model_digest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

EXAMPLE = Path(__file__).parents[1] / "examples" / "tiny_denoiser" / "train.py"
SIGMA = 0.5


def example():
    spec = importlib.util.spec_from_file_location("tiny_denoiser", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits():
    return example().images()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    example().train(folder, steps=120, batch=32, width=16, seed=0)
    return folder


def saved(folder: Path, *, channels: int = 1, size: int | None = 8, **config) -> Path:
    """An untrained checkpoint in DDPMPipeline's layout."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=config.pop("out_channels", channels),
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        add_attention=False,
        num_class_embeds=config.pop("num_class_embeds", None),
    )
    scheduler = diffusers.DDPMScheduler(**config)
    diffusers.DDPMPipeline(unet=network, scheduler=scheduler).save_pretrained(folder)
    return folder


class Perfect(torch.nn.Module):
    """Knows the clean image, and gives the answer that the scheduler's definitions ask for at every step."""

    def __init__(self, clean, scheduler, out_channels=1):
        super().__init__()
        self.clean, self.scheduler, self.out_channels = clean, scheduler, out_channels
        self.weight = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        self.seen = []

    device = property(lambda self: self.weight.device)
    dtype = property(lambda self: self.weight.dtype)

    def forward(self, noisy, step):
        self.seen.append((noisy.clone(), step))
        alpha = self.scheduler.alphas_cumprod[step]
        noise = (noisy - alpha.sqrt() * self.clean) / (1 - alpha).sqrt()
        at = torch.full((len(noisy),), step)
        kinds = {
            "epsilon": noise,
            "sample": self.clean.expand_as(noisy),
            "v_prediction": self.scheduler.get_velocity(self.clean.expand_as(noisy), noise, at),
        }
        answer = kinds[self.scheduler.config.prediction_type]
        return SimpleNamespace(sample=answer.repeat(1, self.out_channels, 1, 1))


def noisy_images(clean, sigma: float = SIGMA, seed: int = 0):
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))


def rmse(found, truth) -> float:
    return float((found - truth).square().mean().sqrt())


# the step


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
@given(data=st.data())
def test_the_step_is_the_nearest_of_all(schedule: str, data: st.DataObject):
    scheduler = diffusers.DDPMScheduler(beta_schedule=schedule)
    grid = NoiseGrid.of(scheduler.config)
    alphas = scheduler.alphas_cumprod.double().numpy()
    levels = np.sqrt((1 - alphas) / alphas)
    low, high = np.log(levels.min() / 2), np.log(levels.max() / 2)
    sigma = float(np.exp(data.draw(st.floats(low + 1e-9, high - 1e-9))))
    ratios = np.maximum(levels / (2 * sigma), 2 * sigma / levels)
    step = grid.nearest(sigma, scale=2.0)
    assert ratios[step] <= ratios.min() * (1 + 1e-12)


def test_every_step_is_found_again_from_its_own_noise(tmp_path: Path):
    scheduler = diffusers.DDPMScheduler()
    folder = saved(tmp_path)
    for step in (0, 1, 258, 999):
        alpha = float(scheduler.alphas_cumprod[step])
        found = DiffusionDenoiser(str(folder), 0.5 * ((1 - alpha) / alpha) ** 0.5)
        assert found.step == step
        assert found.step_sigma == pytest.approx(found.sigma, rel=1e-12)


def test_known_step_of_the_original_schedule(tmp_path: Path):
    # α_bar = 1 / (1 + (2σ)²) = 1/2 at σ = 0.5: between steps 258 and 259 of β = 1e-4 … 0.02 (Ho et al. 2020)
    alphas = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    levels = np.sqrt((1 - alphas) / alphas)
    front = DiffusionDenoiser(str(saved(tmp_path)), SIGMA)
    assert front.step == np.abs(np.log(levels)).argmin()
    assert levels[front.step - 1] < 1 < levels[front.step + 1]
    assert front.described()["step_sigma"] == pytest.approx(levels[front.step] / 2, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.004, 100.0])
def test_noise_outside_the_schedule_is_refused_with_its_range(tmp_path: Path, sigma: float):
    folder = saved(tmp_path)
    with pytest.raises(ParameterError, match=r"sigma must be in \[0\.0050\d*, 78\.7\d*\]"):
        DiffusionDenoiser(str(folder), sigma)


def test_a_step_without_any_image_is_never_taken(tmp_path: Path):
    folder = saved(tmp_path, rescale_betas_zero_snr=True, beta_schedule="scaled_linear")
    assert NoiseGrid.of(json.loads((folder / "scheduler/scheduler_config.json").read_text())).alphas[-1] == 0
    with pytest.raises(ParameterError, match=r"sigma must be in \[[\d.]+, [\d.]+\]"):
        DiffusionDenoiser(str(folder), 1e9)


# the algebra


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("out_channels", [1, 2])
def test_a_perfect_network_gives_the_clean_image_back(tmp_path: Path, prediction: str, out_channels: int):
    folder = saved(tmp_path, prediction_type=prediction, out_channels=out_channels)
    front = DiffusionDenoiser(str(folder), SIGMA)
    front.load()
    clean = torch.rand(1, 1, 8, 8)
    scheduler = diffusers.DDPMScheduler.from_pretrained(folder / "scheduler")
    front._network = Perfect(2 * clean - 1, scheduler, out_channels)
    noisy = noisy_images(clean.expand(5, -1, -1, -1))
    assert torch.allclose(front(noisy), clean.expand(5, -1, -1, -1), atol=2e-6)
    (given, step), *others = front._network.seen
    assert not others
    assert step == front.step
    assert torch.allclose(given, scheduler.alphas_cumprod[step].sqrt() * (2 * noisy - 1), atol=1e-6)


def test_what_the_network_sees_has_the_noise_it_was_trained_on(tmp_path: Path):
    front = DiffusionDenoiser(str(saved(tmp_path)), SIGMA)
    clean = torch.full((200, 1, 8, 8), 0.5)
    front._network = Perfect(torch.zeros(1, 1, 8, 8), diffusers.DDPMScheduler())
    front(noisy_images(clean))
    alpha = float(diffusers.DDPMScheduler().alphas_cumprod[front.step])
    # mid grey is 0 on [-1, 1]: only noise is left; 12 800 values, so 5 % is eight standard errors
    assert float(front._network.seen[0][0].std()) == pytest.approx((1 - alpha) ** 0.5, rel=0.05)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_step_to_the_clean_image_is_the_schedulers(tmp_path: Path, prediction: str):
    folder = saved(tmp_path, prediction_type=prediction)
    front = DiffusionDenoiser(str(folder), 0.3)
    noisy = noisy_images(torch.rand(4, 1, 8, 8), 0.3)
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    scaled = pipeline.scheduler.alphas_cumprod[front.step].sqrt() * (2 * noisy - 1)
    with torch.no_grad():
        output = pipeline.unet(scaled, front.step).sample
    expected = pipeline.scheduler.step(output, front.step, scaled).pred_original_sample
    assert torch.allclose(front(noisy), expected / 2 + 0.5, atol=1e-5)


def test_a_model_trained_on_the_unit_range_gets_noise_sigma(tmp_path: Path):
    folder = str(saved(tmp_path))
    wide, unit = DiffusionDenoiser(folder, 0.2), DiffusionDenoiser(folder, 0.4, pixel_range=(0.0, 1.0))
    assert unit.step == wide.step
    clean = torch.rand(1, 1, 8, 8)
    unit.load()
    unit._network = Perfect(clean, diffusers.DDPMScheduler())
    assert torch.allclose(unit(noisy_images(clean, 0.4)), clean, atol=2e-6)


def test_old_names_of_the_schedule_are_read():
    old = {"_class_name": "GaussianDDPMScheduler", "timesteps": 500, "predict_epsilon": False}
    grid = NoiseGrid.of(old)
    assert (grid.alphas.size, grid.prediction) == (500, "sample")
    with pytest.raises(ConfigError, match="EDMEulerScheduler"):
        NoiseGrid.of({"_class_name": "EDMEulerScheduler"})
    with pytest.raises(ConfigError, match="prediction_type must be one of"):
        NoiseGrid.of({"prediction_type": "flow"})
    with pytest.raises(ConfigError, match="means nothing"):
        NoiseGrid.of({"beta_schedule": "stairs"})


# sizes and channels


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (2, 1, 12, 10), (2, 3, 8, 8), (0, 1, 8, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_canvas_comes_back_in_its_own_shape(tmp_path: Path, shape, channels: int):
    front = DiffusionDenoiser(str(saved(tmp_path, channels=channels)), SIGMA)
    images = noisy_images(torch.rand(shape)).double()
    result = front(images)
    assert (result.shape, result.dtype) == (images.shape, torch.float64)
    if len(result):
        assert 0 <= float(result.min()) <= float(result.max()) <= 1


def test_channels_of_a_colour_image_are_denoised_one_by_one(tmp_path: Path):
    front = DiffusionDenoiser(str(saved(tmp_path)), SIGMA, batch_size=2)
    images = noisy_images(torch.rand(2, 3, 8, 8))
    parts = [front(images[:, i : i + 1]) for i in range(3)]
    assert torch.allclose(front(images), torch.cat(parts, dim=1), atol=1e-6)


def test_a_grey_image_is_the_mean_of_what_an_rgb_model_says(tmp_path: Path):
    front = DiffusionDenoiser(str(saved(tmp_path, channels=3)), SIGMA)
    front.load()
    clean = torch.rand(1, 1, 8, 8)
    front._network = Perfect(2 * clean - 1, diffusers.DDPMScheduler())
    assert torch.allclose(front(noisy_images(clean)), clean, atol=2e-6)
    assert front._network.seen[0][0].shape == (1, 3, 8, 8)


def test_a_size_that_the_network_cannot_take_is_refused(tmp_path: Path):
    keep = DiffusionDenoiser(str(saved(tmp_path)), SIGMA, size="keep")
    assert keep(torch.rand(1, 1, 6, 10)).shape == (1, 1, 6, 10)
    with pytest.raises(ParameterError, match="multiples of 2 for this denoiser, got 7×8"):
        keep(torch.rand(1, 1, 7, 8))
    free = DiffusionDenoiser(str(saved(tmp_path / "free", size=None)), SIGMA)
    with pytest.raises(ParameterError, match="multiples of 2"):
        free(torch.rand(1, 1, 8, 9))
    for wrong in (torch.rand(1, 8, 8), torch.rand(1, 2, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ParameterError, match="floating tensor of shape"):
            keep(wrong)


def test_gradients_reach_the_image_although_it_was_loaded_without(tmp_path: Path):
    front = DiffusionDenoiser(str(saved(tmp_path)), SIGMA)
    with torch.inference_mode():
        front(torch.rand(1, 1, 8, 8))
    images = torch.rand(1, 1, 8, 8, requires_grad=True)
    front(images).sum().backward()
    assert float(images.grad.abs().sum()) > 0


def test_half_precision_stays_near(tmp_path: Path, trained: Path):
    images = noisy_images(torch.rand(4, 1, 8, 8))
    exact = DiffusionDenoiser(str(trained), SIGMA)(images)
    assert rmse(DiffusionDenoiser(str(trained), SIGMA, dtype="bfloat16")(images), exact) < 0.02


# checkpoints


def test_both_layouts_and_a_given_schedule_are_the_same_denoiser(tmp_path: Path):
    folder = saved(tmp_path / "pipeline", prediction_type="v_prediction")
    root = tmp_path / "root"
    shutil.copytree(folder / "unet", root)
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    with pytest.raises(ParameterError, match=r"has no scheduler_config\.json: pass scheduler="):
        DiffusionDenoiser(str(root), SIGMA)
    images = noisy_images(torch.rand(2, 1, 8, 8))
    expected = DiffusionDenoiser(str(folder), SIGMA)
    given = DiffusionDenoiser(str(root), SIGMA, scheduler=config)
    shutil.copy(folder / "scheduler" / "scheduler_config.json", root)
    beside = DiffusionDenoiser(str(root), SIGMA)
    for other in (given, beside):
        assert other.sha256 == expected.sha256
        assert torch.equal(other(images), expected(images))


def test_a_pickle_holds_no_weights_and_refuses_others(tmp_path: Path):
    folder = saved(tmp_path)
    front = DiffusionDenoiser(str(folder), SIGMA)
    images = noisy_images(torch.rand(2, 1, 8, 8))
    expected = front(images)
    content = pickle.dumps(front)
    assert len(content) < 12_000
    assert torch.equal(pickle.loads(content)(images), expected)
    other = diffusers.UNet2DModel.from_pretrained(folder / "unet")
    with torch.no_grad():
        other.conv_in.bias += 1
    other.save_pretrained(folder / "unet")
    with pytest.raises(ModelError, match="has changed since it was described"):
        pickle.loads(content).load()


def test_a_run_is_recognised_by_the_weights_in_front(tmp_path: Path):
    def digest(sigma: float = SIGMA) -> str:
        front = DiffusionDenoiser(str(folder), sigma)
        base = TorchClassifier(torch.nn.Flatten(), classes=range(64), image=Canvas(8, 8, 1), front=front)
        before = model_digest(base)
        base.predict_encoded({"image": np.zeros((1, 64))})
        assert model_digest(base) == before
        return before

    folder = saved(tmp_path)
    first = digest()
    assert digest() == first
    assert digest(0.25) != first
    network = diffusers.UNet2DModel.from_pretrained(folder / "unet")
    with torch.no_grad():
        network.conv_in.bias += 1
    network.save_pretrained(folder / "unet")
    assert digest() != first


def test_a_checkpoint_that_cannot_serve_is_refused(tmp_path: Path):
    with pytest.raises(ParameterError, match="path must be a folder or the hub name"):
        DiffusionDenoiser(str(tmp_path / "nowhere" / "at" / "all"), SIGMA)
    with pytest.raises(ParameterError, match=r"path must be a folder with config\.json"):
        DiffusionDenoiser(str(tmp_path), SIGMA)
    with pytest.raises(ParameterError, match="revision is for hub names"):
        DiffusionDenoiser(str(tmp_path), SIGMA, revision="main")
    with pytest.raises(ConfigError, match="must not depend on a class, got num_class_embeds = 10"):
        DiffusionDenoiser(str(saved(tmp_path / "classes", num_class_embeds=10)), SIGMA)
    latent = saved(tmp_path / "latent")
    config = latent / "unet" / "config.json"
    described = json.loads(config.read_text())
    config.write_text(json.dumps(described | {"_class_name": "UNet2DConditionModel"}))
    with pytest.raises(ConfigError, match="UNet2DModel in pixel space, got 'UNet2DConditionModel'"):
        DiffusionDenoiser(str(latent), SIGMA)
    config.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        DiffusionDenoiser(str(latent), SIGMA)
    config.write_text(json.dumps(described))
    weights = latent / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        DiffusionDenoiser(str(latent), SIGMA).load()
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ParameterError, match=r"must have weights in diffusion_pytorch_model\.safetensors"):
        DiffusionDenoiser(str(latent), SIGMA)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma must be"),
        ({"pixel_range": (1.0, -1.0)}, "pixel_range must be"),
        ({"size": "crop"}, "size must be"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_parameters_are_checked(tmp_path: Path, options, message: str):
    with pytest.raises(ParameterError, match=message):
        DiffusionDenoiser(str(tmp_path), **({"sigma": SIGMA} | options))


# what it is for


@pytest.mark.parametrize("sigma", [0.25, SIGMA])
def test_a_short_training_lowers_the_error_of_unseen_digits(trained: Path, digits, sigma: float):
    training, unseen = digits
    noisy = noisy_images(unseen, sigma)
    result = rmse(DiffusionDenoiser(str(trained), sigma)(noisy), unseen)
    assert result < 0.8 * rmse(noisy.clamp(0, 1), unseen)
    assert result < 0.8 * rmse(training.mean(dim=0, keepdim=True), unseen)  # guessing the mean digit


@pytest.fixture(scope="module")
def reader(digits) -> tuple[torch.nn.Module, LogisticRegression]:
    """A linear reader of clean digits, in torch and in scikit-learn."""
    from sklearn.datasets import load_digits

    images = digits[0].flatten(1).numpy()
    fitted = LogisticRegression(max_iter=2000).fit(images, load_digits().target[: len(images)])
    linear = torch.nn.Linear(64, 10)
    linear.weight.data[:] = torch.from_numpy(fitted.coef_)
    linear.bias.data[:] = torch.from_numpy(fitted.intercept_)
    return torch.nn.Sequential(torch.nn.Flatten(), linear), fitted


def test_certified_radii_are_in_units_of_pixels_for_the_sigma_drawn(trained: Path, digits, reader):
    from scipy.stats import beta, norm
    from sklearn.datasets import load_digits

    images = digits[1][:12, 0].numpy().astype(float)
    labels = load_digits().target[-len(digits[1]) :][:12]
    front = DiffusionDenoiser(str(trained), SIGMA)
    assert front.step_sigma != SIGMA
    runs = [
        hc.SmoothedClassifier(
            TorchClassifier(reader[0], classes=range(10), image=Canvas(8, 8, 1), front=chosen),
            noise={"image": hc.GaussianNoise(SIGMA)},
        ).certify(images, threat=None, samples=200, alpha=0.01, threshold=0.5, seed=1, selection_samples=30)
        for chosen in (front, None)
    ]
    with_front, without = runs
    assert with_front.unit == "pixel values in [0, 1], grey 8×8"
    assert with_front.sigma == SIGMA
    frame = with_front.frame()
    assert frame["certified"].sum() >= 3
    claimed = with_front.counts[np.arange(12), with_front.claimed]
    # Cohen et al. 2019 with the σ that was drawn, not the one of the grid step
    expected = SIGMA * norm.ppf(beta.ppf(0.01, claimed, 201 - claimed))
    certified = frame["certified"].to_numpy()
    assert np.array_equal(certified, expected > 0)
    assert frame["radius"][certified].to_numpy(dtype=float) == pytest.approx(expected[certified], rel=1e-6)
    right = [np.mean(run.claimed == labels) for run in runs]
    assert right[0] >= right[1]
    assert claimed.sum() > without.counts[np.arange(12), without.claimed].sum()


class Digits:
    """scikit-learn behind the seam, without a front of its own."""

    canvas = Canvas(8, 8, 1)
    classes_ = np.arange(10)

    def __init__(self, fitted):
        self.fitted = fitted

    def surfaces(self):
        return {"image": self.canvas.surface()}

    def encode(self, X):
        return {"image": np.stack([self.canvas.read(image, name="image") for image in X])}

    def predict_encoded(self, batch):
        return self.fitted.predict(batch["image"]).astype(np.intp)


def test_any_classifier_can_have_one_in_front(trained: Path, digits, reader):
    front = DiffusionDenoiser(str(trained), SIGMA)
    wrapped = denoised(Digits(reader[1]), front, canvas=Canvas(8, 8, 1), batch_size=7)
    native = TorchClassifier(reader[0], classes=range(10), image=Canvas(8, 8, 1), front=front)
    images = noisy_images(digits[1][:60]).flatten(1).double().numpy()
    answers = wrapped.predict_encoded({"image": images})
    assert np.mean(answers == native.predict_encoded({"image": images})) > 0.95
    assert np.mean(answers == reader[1].predict(images)) < 0.95
    reloaded = pickle.loads(pickle.dumps(wrapped))
    reloaded.load()
    assert np.array_equal(reloaded.predict_encoded({"image": images}), answers)
    smoothed = hc.SmoothedClassifier(wrapped, noise={"image": hc.GaussianNoise(SIGMA)})
    counts = smoothed.counts(digits[1][:2, 0].numpy(), samples=20, seed=0)
    assert counts.sum(axis=1).tolist() == [20, 20]


def test_a_front_that_does_not_fit_is_refused(reader):
    with pytest.raises(ParameterError, match="must have the 192 features of the canvas, got 64"):
        denoised(Digits(reader[1]), abs, canvas=Canvas(8, 8, 3))
    with pytest.raises(ParameterError, match="'picture' must have the 64 features"):
        denoised(Digits(reader[1]), abs, canvas=Canvas(8, 8, 1), modality="picture")
    halved = denoised(Digits(reader[1]), lambda images: images[:1], canvas=Canvas(8, 8, 1))
    with pytest.raises(ModelError, match="front must return images of shape"):
        halved.predict_encoded({"image": np.zeros((2, 64))})


def test_the_package_does_not_need_torch_until_a_denoiser_is_made():
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['diffusers'] = None\n"
        "from hybridcert.denoising import DiffusionDenoiser\n"
        "from hybridcert.errors import ParameterError\n"
        "try:\n    DiffusionDenoiser('x', 0.5)\n"
        "except ParameterError as error:\n    assert 'hybridcert[denoise]' in str(error), error\n"
        "else:\n    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
