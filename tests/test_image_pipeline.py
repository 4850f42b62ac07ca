"""The image pipeline gives exactly what the checkpoints' own image processors give for PIL images."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.vlm.image_filters import RESAMPLE_FILTERS, axis_weights
from hybridcert.adapters.vlm.image_pipeline import ImagePipeline, to_levels
from hybridcert.adapters.vlm.image_processor import ProcessorPipeline
from hybridcert.adapters.vlm.image_resample import Window, installed_resize
from hybridcert.errors import ModelError, ParameterError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

SMALL_GRID = [[28, 28], [28, 56], [56, 28], [56, 56], [84, 28]]
PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "onevision": ("LlavaOnevisionImageProcessorPil", {}),
    "onevision tiny": (
        "LlavaOnevisionImageProcessorPil",
        {"size": {"height": 28, "width": 28}, "image_grid_pinpoints": SMALL_GRID},
    ),
    "onevision ragged tiles": (
        "LlavaOnevisionImageProcessorPil",
        {"size": {"height": 28, "width": 28}, "image_grid_pinpoints": [[40, 61], [33, 28]]},
    ),
    "onevision cropped": (
        "LlavaOnevisionImageProcessorPil",
        {
            "size": {"shortest_edge": 32},
            "crop_size": {"height": 24, "width": 24},
            "do_center_crop": True,
            "image_grid_pinpoints": [[48, 48], [24, 72]],
        },
    ),
    "siglip": ("SiglipImageProcessorPil", {}),
    "siglip tiny": ("SiglipImageProcessorPil", {"size": {"height": 28, "width": 28}}),
    "clip": ("CLIPImageProcessorPil", {}),
    "clip padded": (
        "CLIPImageProcessorPil",
        {"size": {"shortest_edge": 30}, "crop_size": {"height": 41, "width": 28}},
    ),
    "vit": ("ViTImageProcessorPil", {}),
    "vit nearest": ("ViTImageProcessorPil", {"resample": 0, "size": {"height": 50, "width": 30}}),
    "vit bounded": ("ViTImageProcessorPil", {"size": {"shortest_edge": 30, "longest_edge": 64}}),
    "vit within": ("ViTImageProcessorPil", {"size": {"max_height": 40, "max_width": 64}, "image_mean": 0.4}),
    "vit other scale": ("ViTImageProcessorPil", {"rescale_factor": 1 / 127.5, "image_std": [0.3, 0.2, 0.1]}),
    "vit levels": ("ViTImageProcessorPil", {"do_rescale": False, "do_resize": False}),
    "vit raw": ("ViTImageProcessorPil", {"do_normalize": False}),
}
CANVASES = [(8, 8), (28, 28), (100, 400), (384, 384), (480, 640), (37, 211), (211, 37)]


def processor(name: str) -> Any:
    kind, settings_ = PROCESSORS[name]
    return getattr(transformers, kind)(**settings_)


def pictures(levels: np.ndarray) -> list[Any]:
    """PIL images of levels (n, C, H, W), grey ones repeated."""
    rgb = np.repeat(levels, 3, axis=1) if levels.shape[1] == 1 else levels
    return [Image.fromarray(np.ascontiguousarray(one.transpose(1, 2, 0))) for one in rgb.astype(np.uint8)]


def drawn(canvas: Canvas, n: int, seed: int) -> np.ndarray:
    shape = (n, canvas.channels, canvas.height, canvas.width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tiny_model() -> Any:
    vision = transformers.SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
        vision_use_head=False,
    )
    text = transformers.Qwen2Config(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=64,
    )
    config = transformers.LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=60,
        image_token_id=60,
        video_token_id=61,
        image_grid_pinpoints=SMALL_GRID,
        vision_aspect_ratio="anyres_max_1",
    )
    torch.manual_seed(0)
    return transformers.LlavaOnevisionForConditionalGeneration(config).eval()


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(RESAMPLE_FILTERS),
)
@settings(max_examples=100, deadline=None)
@example(300, 33, 12, 41, "bicubic")
@example(33, 300, 41, 12, "lanczos")
def test_resizing_is_pillows_to_the_last_level(
    h: int, w: int, height: int, width: int, resample: str
) -> None:
    image = np.random.default_rng([h, w, height, width]).integers(0, 256, (h, w, 3), dtype=np.uint8)
    expected = Image.fromarray(image).resize((width, height), Image.Resampling[resample.upper()])
    levels = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    resized = installed_resize((h, w), (height, width), resample)(levels)
    np.testing.assert_array_equal(resized[0].permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.parametrize("resample", RESAMPLE_FILTERS)
def test_weights_are_fixed_point_and_add_up(resample: str) -> None:
    weights = axis_weights(57, 23, resample)
    assert (weights * 2**22 == np.round(weights * 2**22)).all()
    # Pillow rounds each weight on its own, so that a column may miss one by half a unit for each weight.
    assert (np.abs(weights.sum(axis=0) - 1.0) * 2**22 <= np.count_nonzero(weights, axis=0) / 2).all()
    np.testing.assert_array_equal(axis_weights(9, 9, resample), np.eye(9))


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 12), st.integers(1, 12))
def test_window_is_zero_outside(top: int, left: int, height: int, width: int) -> None:
    levels = torch.arange(1.0, 36.0).view(1, 1, 5, 7)
    cut = Window(top, left, height, width)(levels)[0, 0]
    for i in range(height):
        for j in range(width):
            row, column = top + i, left + j
            inside = 0 <= row < 5 and 0 <= column < 7
            assert cut[i, j] == (levels[0, 0, row, column] if inside else 0.0)


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", CANVASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixel_values_equal_the_processors(name: str, size: tuple[int, int], channels: int) -> None:
    canvas, own = Canvas(*size, channels), processor(name)
    levels = drawn(canvas, 2, seed=1)
    pipeline = ImagePipeline.of(own, canvas=canvas)
    expected = own(pictures(levels), return_tensors="pt")
    found = pipeline(torch.from_numpy(levels) / 255.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected["pixel_values"].float(), rtol=0, atol=0)
    for key, value in pipeline.extras(2, "cpu").items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["onevision tiny", "siglip tiny", "clip"])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_noisy_images_are_clipped_and_rounded(name: str, kind: type) -> None:
    canvas, own = Canvas(20, 33), processor(name)
    rng = np.random.default_rng(2)
    noisy = (drawn(canvas, 3, seed=2) / 255.0 + rng.normal(0, 0.5, (3, 3, 20, 33))).astype(kind)
    assert noisy.min() < 0
    assert noisy.max() > 1
    expected = own(pictures(np.rint(np.clip(noisy, 0, 1) * kind(255))), return_tensors="pt")["pixel_values"]
    pipeline = ImagePipeline.of(own, canvas=canvas)
    torch.testing.assert_close(pipeline(torch.from_numpy(noisy)), expected, rtol=0, atol=0)
    slow = ProcessorPipeline.of(own, canvas=canvas)
    torch.testing.assert_close(slow(torch.from_numpy(noisy)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_levels_of_eight_bit_images_come_back(kind: str) -> None:
    values = torch.arange(256.0, dtype=torch.float64).view(1, 1, 16, 16)
    found = to_levels((values / 255).to(getattr(torch, kind)), Canvas(16, 16, 1))
    assert torch.equal(found.double(), values)


def test_levels_clip_and_round_ties_to_even() -> None:
    values = torch.tensor([-np.inf, -0.1, 127.5 / 255, 128.5 / 255, 1.2, np.inf], dtype=torch.float64)
    found = to_levels(values.view(1, 1, 2, 3), Canvas(2, 3, 1))
    assert found.flatten().tolist() == [0, 0, 128, 128, 255, 255]


@pytest.mark.parametrize("n", [0, 1, 700])
def test_batch_size_changes_nothing(n: int) -> None:
    canvas = Canvas(8, 8, 1)
    pipeline = ImagePipeline.of(processor("onevision tiny"), canvas=canvas)
    images = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    found = pipeline(images)
    assert found.shape == (n, 2, 3, 28, 28)
    assert found.is_contiguous()
    for i in range(0, n, 99):
        assert torch.equal(found[i], pipeline(images[i : i + 1])[0])
    assert pipeline.extras(n, "cpu")["image_sizes"].tolist() == [[8, 8]] * n


def test_equal_views_are_made_once() -> None:
    plan = ImagePipeline.of(processor("onevision"), canvas=Canvas(384, 384)).plan
    assert plan.views == ((),)
    assert plan.order == (0, 0)


def test_pipeline_is_a_picklable_value() -> None:
    pipeline = ImagePipeline.of(processor("onevision tiny"), canvas=Canvas(30, 40))
    again = pickle.loads(pickle.dumps(pipeline))
    images = torch.rand(2, 3, 30, 40, generator=torch.Generator().manual_seed(4))
    assert again == pipeline
    assert torch.equal(again(images), pipeline(images))
    slow = pickle.loads(
        pickle.dumps(ProcessorPipeline.of(processor("onevision tiny"), canvas=Canvas(30, 40)))
    )
    assert torch.equal(slow(images), pipeline(images))


def test_inference_mode_and_gradients_do_not_matter() -> None:
    pipeline = ImagePipeline.of(processor("clip padded"), canvas=Canvas(19, 23))
    images = torch.rand(2, 3, 19, 23, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = pipeline(images)
    assert torch.equal(pipeline(images.clone().requires_grad_()), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pipeline(images), expected)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (100, 400), (61, 17), (90, 31), (480, 640), (33, 34)])
@pytest.mark.parametrize("most", [1, 9])
def test_image_tokens_are_the_features_of_the_model(size: tuple[int, int], most: int) -> None:
    model, canvas = tiny_model(), Canvas(*size)
    mode = f"anyres_max_{most}"
    model.config.vision_aspect_ratio = mode
    pipeline = ImagePipeline.of(processor("onevision tiny"), canvas=canvas)
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        features = model.model.get_image_features(
            pixel_values=pipeline(images), vision_aspect_ratio=mode, **pipeline.extras(1, "cpu")
        ).pooler_output
    assert pipeline.image_tokens(model.config) == len(features[0])


def test_text_with_that_many_image_tokens_runs() -> None:
    model, canvas = tiny_model(), Canvas(50, 30, 1)
    pipeline = ImagePipeline.of(processor("onevision tiny"), canvas=canvas)
    images = torch.rand(3, 1, 50, 30, generator=torch.Generator().manual_seed(7))
    text = torch.tensor([[1, *[60] * pipeline.image_tokens(model.config), 2]]).repeat(3, 1)
    with torch.inference_mode():
        logits = model(input_ids=text, pixel_values=pipeline(images), **pipeline.extras(3, "cpu")).logits
        alone = model(
            input_ids=text[:1], pixel_values=pipeline(images[:1]), **pipeline.extras(1, "cpu")
        ).logits
    torch.testing.assert_close(logits[:1], alone)


def test_configurations_that_disagree_are_refused() -> None:
    config = tiny_model().config
    canvas = Canvas(50, 30)
    with pytest.raises(ModelError, match="take both from one checkpoint"):
        ImagePipeline.of(processor("onevision"), canvas=canvas).image_tokens(config)
    pipeline = ImagePipeline.of(processor("onevision tiny"), canvas=canvas)
    with pytest.raises(ModelError, match="got 'qwen2'"):
        pipeline.image_tokens(config.text_config)
    config.image_grid_pinpoints = [[28, 28]]
    with pytest.raises(ModelError, match="image_grid_pinpoints differ"):
        pipeline.image_tokens(config)
    config.image_grid_pinpoints = SMALL_GRID
    config.vision_aspect_ratio = "pad"
    with pytest.raises(ModelError, match="anyres_max_N, got 'pad'"):
        pipeline.image_tokens(config)
    with pytest.raises(ModelError, match="ask its processor"):
        ImagePipeline.of(processor("clip"), canvas=canvas).image_tokens(config)


def test_unknown_processors_are_named_and_can_be_called_themselves() -> None:
    own = transformers.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=SMALL_GRID
    )
    canvas = Canvas(30, 70, 1)
    with pytest.raises(ModelError, match=r"LlavaNextImageProcessorPil are not known.*use ProcessorPipeline"):
        ImagePipeline.of(own, canvas=canvas)
    slow = ProcessorPipeline.of(own, canvas=canvas)
    levels = drawn(canvas, 2, seed=8)
    expected = own(pictures(levels), return_tensors="pt")
    found = slow(torch.from_numpy(levels) / 255.0)
    torch.testing.assert_close(found, expected["pixel_values"], rtol=0, atol=0)
    assert torch.equal(slow.extras(2, "cpu")["image_sizes"], expected["image_sizes"])
    with pytest.raises(ModelError, match="does not determine the number of image tokens of llava_next"):
        slow.image_tokens(transformers.LlavaNextConfig())


def test_a_subclass_with_steps_of_its_own_is_unknown() -> None:
    class Mirrored(transformers.ViTImageProcessorPil):
        def rescale(self, image: Any, scale: float, **settings_: Any) -> Any:
            return super().rescale(image[..., ::-1], scale, **settings_)

    with pytest.raises(ModelError, match="Mirrored"):
        ImagePipeline.of(Mirrored(), canvas=Canvas(8, 8))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("ViTImageProcessorPil", {"do_pad": True}, "do_pad"),
        (
            "ViTImageProcessorPil",
            {"image_mean": [0.5]},
            "image_mean of ViTImageProcessorPil must have 3 values, got 1",
        ),
        ("CLIPImageProcessorPil", {"crop_size": {"shortest_edge": 9}}, "must have a crop_size"),
    ],
)
def test_settings_that_are_not_known(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ImagePipeline.of(getattr(transformers, kind)(**options), canvas=Canvas(8, 8))


def test_unknown_filters_are_refused() -> None:
    with pytest.raises(ModelError, match=r"resample must be one of .*, got 'magic'"):
        installed_resize((8, 8), (9, 9), "magic")


def test_processor_that_fails_or_gives_no_pixels() -> None:
    with pytest.raises(ModelError, match="CLIPImageProcessorPil fails on an image of 8×8"):
        ProcessorPipeline.of(transformers.CLIPImageProcessorPil(image_mean=[0.5, 0.5]), canvas=Canvas(8, 8))
    with pytest.raises(ModelError, match="dict fails on an image of 8×8"):
        ProcessorPipeline.of({}, canvas=Canvas(8, 8))


@pytest.mark.parametrize("name", ["onevision tiny", "clip", "clip padded", "siglip tiny", "vit"])
def test_torchvision_backends_differ_by_two_levels_at_most(name: str) -> None:
    pytest.importorskip("torchvision")
    kind, options = PROCESSORS[name]
    own = getattr(transformers, kind.removesuffix("Pil"))(**options)
    canvas = Canvas(37, 211)
    images = torch.from_numpy(drawn(canvas, 2, seed=9)) / 255.0
    found = ImagePipeline.of(own, canvas=canvas)(images)
    expected = ProcessorPipeline.of(own, canvas=canvas)(images)
    differing = ((found - expected) * torch.tensor(own.image_std).view(3, 1, 1) * 255).abs()
    assert differing.max() < 2.01
    assert (differing > 0.5).double().mean() < 0.05


@pytest.mark.parametrize(
    ("shape", "kind"), [((2, 3, 8, 9), "float32"), ((3, 8, 8), "float32"), ((2, 3, 8, 8), "uint8")]
)
def test_images_of_another_shape_or_type(shape: tuple[int, ...], kind: str) -> None:
    pipeline = ImagePipeline.of(processor("siglip tiny"), canvas=Canvas(8, 8))
    with pytest.raises(ParameterError, match=r"floats of shape \(n, 3, 8, 8\), got torch"):
        pipeline(torch.zeros(shape, dtype=getattr(torch, kind)))
